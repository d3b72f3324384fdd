// The mean absolute error and R2.

#include <xtape/metrics/regression.hpp>

#include "metrics/metric_state.hpp"
#include "metrics/samples.hpp"

#include <cmath>

namespace xtape {

template <class T>
void MeanAbsoluteError::update(const Var<T>& prediction, const Target<T>& target,
                               const MetricOptions& options) {
  detail::check_same("MeanAbsoluteError", prediction, target);
  detail::check_not_empty("MeanAbsoluteError", prediction);
  const std::size_t n = prediction.shape().back();
  Array<double> errors(detail::but_last(prediction.shape()));
  detail::check_samples("MeanAbsoluteError", options, errors.shape());
  for (std::size_t i = 0; i < errors.size(); ++i) {
    double sum = 0;
    for (std::size_t k = i * n; k < (i + 1) * n; ++k) {
      sum += std::abs(static_cast<double>(target.data()[k]) -
                      static_cast<double>(prediction.data()[k]));
    }
    errors.data()[i] = sum / static_cast<double>(n);
  }
  Mean::update(errors, options);
}

template <class T>
void R2Score::update(const Var<T>& prediction, const Target<T>& target,
                     const MetricOptions& options) {
  detail::check_same("R2Score", prediction, target);
  detail::check_not_empty("R2Score", prediction);
  const Shape samples = detail::but_last(prediction.shape());
  detail::check_samples("R2Score", options, samples);
  const std::size_t n = prediction.shape().back();
  if (!sums_.empty() && sums_.size() != n) {
    detail::fail<ShapeError>("R2Score", "another number of outputs: prediction has ", n,
                             ", expected ", sums_.size(), " as before; reset() the metric first");
  }
  // The batch by itself first: an exception leaves the metric as it is.
  double all = 0;
  std::vector<Sums> sums(n);
  detail::for_each_sample(options, samples, [&](std::size_t i, double weight) {
    detail::check_not_negative("R2Score", "sample_weight", weight);
    if (weight == 0) return;
    all += weight;
    for (std::size_t k = 0; k < n; ++k) {
      const auto y = static_cast<double>(target.data()[i * n + k]);
      const double error = y - static_cast<double>(prediction.data()[i * n + k]);
      const double before = y - sums[k].mean;
      sums[k].mean += before * (weight / all);
      sums[k].squares += weight * before * (y - sums[k].mean);
      sums[k].residuals += weight * error * error;
    }
  });
  if (all > 0) add(all, sums);
}

/// Adds the sums of other samples (Chan, Golub & LeVeque 1983).
void R2Score::add(double weight, const std::vector<Sums>& sums) {
  sums_.resize(sums.size());
  const double all = weight_ + weight;
  for (std::size_t k = 0; k < sums.size(); ++k) {
    const double apart = sums[k].mean - sums_[k].mean;
    sums_[k].mean += apart * (weight / all);
    sums_[k].squares += sums[k].squares + apart * apart * weight_ * (weight / all);
    sums_[k].residuals += sums[k].residuals;
  }
  weight_ = all;
}

std::vector<double> R2Score::per_output() const {
  std::vector<double> values;
  for (const Sums& s : sums_) {
    values.push_back(s.squares == 0 ? (s.residuals == 0 ? 1.0 : 0.0) : 1 - s.residuals / s.squares);
  }
  return values;
}

double R2Score::result() const {
  double sum = 0;
  for (const double value : per_output()) sum += value;
  return sums_.empty() ? 0 : sum / static_cast<double>(sums_.size());
}

std::vector<double> R2Score::state() const {
  std::vector<double> numbers{static_cast<double>(sums_.size()), weight_};
  for (const Sums& s : sums_) numbers.insert(numbers.end(), {s.mean, s.squares, s.residuals});
  return numbers;
}

std::size_t R2Score::outputs_in(std::span<const double> state) const {
  if (state.empty()) detail::check_state(name_, state, 2);
  const auto n = static_cast<std::size_t>(detail::state_count(name_, state[0]));
  detail::check_state(name_, state, n < state.size() ? 2 + 3 * n : n + 2);
  return n;
}

void R2Score::load_state(std::span<const double> state) {
  sums_.resize(outputs_in(state));
  weight_ = state[1];
  for (std::size_t k = 0; k < sums_.size(); ++k) {
    sums_[k] = {state[3 * k + 2], state[3 * k + 3], state[3 * k + 4]};
  }
}

void R2Score::merge(std::span<const double> state) {
  if (outputs_in(state) == 0) return;
  if (sums_.empty()) return load_state(state);
  detail::check_state(name_, state, 2 + 3 * sums_.size());
  R2Score other(name_);
  other.load_state(state);
  add(other.weight_, other.sums_);
}

#define XTAPE_INSTANTIATE(T)                                                                   \
  template void MeanAbsoluteError::update(const Var<T>&, const Var<T>&, const MetricOptions&); \
  template void R2Score::update(const Var<T>&, const Var<T>&, const MetricOptions&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
