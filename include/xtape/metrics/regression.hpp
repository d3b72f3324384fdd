#pragma once
/// \file
/// Metrics of regressions: the mean absolute error and R2. Errors as those of <xtape/metrics/metrics.hpp>.

#include <xtape/metrics/metrics.hpp>

#include <string>
#include <vector>

namespace xtape {

/// |target - prediction|, averaged over the last axis, then over samples (Keras's MeanAbsoluteError).
class MeanAbsoluteError final : public Mean {
 public:
  /// Makes the metric; the name is that in reports.
  explicit MeanAbsoluteError(std::string name = "mean_absolute_error") : Mean(std::move(name)) {}
  /// Adds samples. ShapeError unless the target has the prediction's shape.
  template <class T>
  void update(const Var<T>& prediction, const Target<T>& target, const MetricOptions& options = {});
};

/// The coefficient of determination, 1 - sum((target - prediction)^2) / sum((target - mean)^2), averaged
/// over the outputs, which are the last axis. As in scikit-learn a constant target has 1 if all
/// predictions are right, else 0. Sums are about the running mean, so that large means cost no digits.
class R2Score final : public Metric {
 public:
  /// Makes the metric; the name is that in reports.
  explicit R2Score(std::string name = "r2_score") : name_(std::move(name)) {}
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] double result() const override;
  /// The value of each output.
  [[nodiscard]] std::vector<double> per_output() const;
  void reset() override { weight_ = 0, sums_.clear(); }
  [[nodiscard]] bool higher_is_better() const noexcept override { return true; }
  /// The number of outputs, the weight, then each output's mean and sums of squares.
  [[nodiscard]] std::vector<double> state() const override;
  void load_state(std::span<const double> state) override;
  void merge(std::span<const double> state) override;
  /// Targets of the prediction's shape (..., outputs). ValueError for a negative weight.
  template <class T>
  void update(const Var<T>& prediction, const Target<T>& target, const MetricOptions& options = {});

 private:
  struct Sums {
    double mean = 0, squares = 0, residuals = 0;
  };
  [[nodiscard]] std::size_t outputs_in(std::span<const double> state) const;
  void add(double weight, const std::vector<Sums>& sums);

  std::string name_;
  double weight_ = 0;
  std::vector<Sums> sums_;
};

}  // namespace xtape
