#pragma once
/// \file
/// Metrics of classes: precision, recall, F1, the area under a curve, and the confusion matrix.
///
///     F1 f1;
///     ConfusionMatrix confusion;
///     for (auto& batch : batches) {
///       f1.update(model(batch.x), batch.labels);
///       confusion.update(model(batch.x), batch.labels);
///     }
///     std::cout << f1.result() << '\n' << confusion.matrix() << '\n';
///
/// A prediction with a last axis of 1 is compared with a threshold. Errors as those of
/// <xtape/metrics/metrics.hpp>. Each of these metrics has a state that merges.

#include <xtape/metrics/metrics.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace xtape {

/// The way from a value per class to one value: the mean over all classes, the value of the sums over all
/// classes, or the mean weighted by the samples of each class. A prediction with one column has one value.
enum class Average { macro, micro, weighted };

/// Options of Precision, Recall and F1.
struct ClassMetricOptions {
  double threshold = 0.5;            ///< finite
  Average average = Average::macro;  ///< how the classes become one number
};

namespace detail {

/// Counts hits, false alarms and misses per class.
class ClassMetric : public Metric {
 public:
  [[nodiscard]] std::string name() const override { return name_; }
  /// The average over the classes. A class without a denominator has the value 0, as in scikit-learn.
  [[nodiscard]] double result() const override;
  /// The value of each class; of the positive class alone for a prediction with one column.
  [[nodiscard]] std::vector<double> per_class() const;
  void reset() override { counts_.clear(); }
  [[nodiscard]] bool higher_is_better() const noexcept override { return true; }
  /// The number of classes, then the hits, false alarms and misses of each.
  [[nodiscard]] std::vector<double> state() const override;
  void load_state(std::span<const double> state) override;
  void merge(std::span<const double> state) override;

  /// Labels: prediction (..., classes) and labels (...) or (..., 1). The answer is the first largest
  /// entry (scikit-learn's measure of classes), or for one column 1 above the threshold.
  template <class T>
  void update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
              const MetricOptions& options = {});
  /// Targets of the prediction's shape: each column is a decision of its own, true above the threshold
  /// (Keras's measure of elements). A target other than 0 is true. A column is a class.
  template <class T>
  void update(const Var<T>& prediction, const Target<T>& target, const MetricOptions& options = {});

 protected:
  ClassMetric(const char* kind, ClassMetricOptions options, std::string name);
  struct Counts {
    double hits = 0, false_alarms = 0, misses = 0;
  };

 private:
  [[nodiscard]] virtual double value(const Counts& counts) const = 0;
  void check_classes(std::size_t classes) const;
  void add(const std::vector<Counts>& counts);
  [[nodiscard]] std::vector<Counts> counts_in(std::span<const double> state) const;

  const char* kind_;
  ClassMetricOptions options_;
  std::string name_;
  std::vector<Counts> counts_;  // one per class, none before the first update
};

}  // namespace detail

/// hits / (hits + false alarms): the part of the positive answers that is right.
class Precision final : public detail::ClassMetric {
 public:
  /// Makes the metric; the name is that in reports.
  explicit Precision(ClassMetricOptions options = {}, std::string name = "precision")
      : ClassMetric("Precision", options, std::move(name)) {}

 private:
  [[nodiscard]] double value(const Counts& counts) const override;
};

/// hits / (hits + misses): the part of the positive samples that is found.
class Recall final : public detail::ClassMetric {
 public:
  /// Makes the metric; the name is that in reports.
  explicit Recall(ClassMetricOptions options = {}, std::string name = "recall")
      : ClassMetric("Recall", options, std::move(name)) {}

 private:
  [[nodiscard]] double value(const Counts& counts) const override;
};

/// 2 hits / (2 hits + false alarms + misses), the harmonic mean of precision and recall, as scikit-learn's
/// f1_score. (Keras's F1Score adds 1e-7 to its divisors.)
class F1 final : public detail::ClassMetric {
 public:
  /// Makes the metric; the name is that in reports.
  explicit F1(ClassMetricOptions options = {}, std::string name = "f1_score")
      : ClassMetric("F1", options, std::move(name)) {}

 private:
  [[nodiscard]] double value(const Counts& counts) const override;
};

/// The samples of each pair of classes. Its result() is the part on the diagonal, the accuracy.
class ConfusionMatrix final : public Metric {
 public:
  /// ValueError for a threshold that is not finite.
  explicit ConfusionMatrix(double threshold = 0.5, std::string name = "confusion_matrix");
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] double result() const override;
  /// (classes, classes): the row is the label, the column the answer, as in scikit-learn. One column of
  /// predictions has two classes. (0, 0) before the first update.
  [[nodiscard]] Array<double> matrix() const;
  void reset() override { classes_ = 0, counts_.clear(); }
  [[nodiscard]] bool higher_is_better() const noexcept override { return true; }
  /// The number of classes, then the matrix by rows.
  [[nodiscard]] std::vector<double> state() const override;
  void load_state(std::span<const double> state) override;
  void merge(std::span<const double> state) override;

  /// Labels: prediction (..., classes) and labels (...) or (..., 1). NonFiniteError for a prediction that is NaN.
  template <class T>
  void update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
              const MetricOptions& options = {});
  /// Targets of the prediction's shape: the largest entry is the label, or for one column 1 above 0.5.
  template <class T>
  void update(const Var<T>& prediction, const Target<T>& target, const MetricOptions& options = {});

 private:
  [[nodiscard]] std::size_t classes_in(std::span<const double> state) const;

  double threshold_;
  std::string name_;
  std::size_t classes_ = 0;
  std::vector<double> counts_;
};

/// The curve whose area AUC measures.
enum class Curve { roc, pr };

/// The area under the curve of a binary decision over its threshold, as Keras's AUC: thresholds are evenly
/// spaced, so the result is exact if no two scores of different samples share an interval. Predictions are
/// probabilities. Elements of a last axis longer than 1 are samples of their own.
class AUC final : public Metric {
 public:
  /// The height of the curve between two thresholds: interpolated, the lower one, or the higher one.
  enum class Summation { interpolation, minoring, majoring };
  /// Options, with their defaults.
  struct Options {
    std::int64_t num_thresholds = 200;  ///< 2 or more
    Curve curve = Curve::roc;  ///< true positives over false ones, or precision over recall
    Summation summation = Summation::interpolation;  ///< how the curve is integrated
    bool from_logits = false;                        ///< predictions are logits, any finite numbers
  };
  explicit AUC() : AUC(Options()) {}
  /// ValueError for fewer than two thresholds.
  explicit AUC(Options options, std::string name = "auc");
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] double result() const override;
  void reset() override;
  [[nodiscard]] bool higher_is_better() const noexcept override { return true; }
  /// The positive samples by interval, then the negative ones.
  [[nodiscard]] std::vector<double> state() const override { return counts_; }
  void load_state(std::span<const double> state) override;

  /// Labels 0 and 1: prediction (..., 1) and labels (...) or (..., 1). ValueError for a probability
  /// outside 0 to 1 of a sample that counts.
  template <class T>
  void update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
              const MetricOptions& options = {});
  /// Targets of the prediction's shape; other than 0 is positive.
  template <class T>
  void update(const Var<T>& prediction, const Target<T>& target, const MetricOptions& options = {});

 private:
  template <class T, class Positive>
  void add(const Var<T>& prediction, const MetricOptions& options, const Shape& samples,
           const Positive& positive);

  Options options_;
  std::string name_;
  std::vector<double> counts_;
};

}  // namespace xtape
