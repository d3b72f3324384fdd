#pragma once
// Shared by metrics: labels and samples, checked.

#include "losses/reduction.hpp"

#include <xtape/metrics/metrics.hpp>
#include <xtape/ops/reductions.hpp>

namespace xtape::detail {

/// Returns the labels without a last axis of 1, in the shape of the samples.
Array<std::int64_t> squeezed_labels(const char* op, const Array<std::int64_t>& labels,
                                    const Shape& prediction);

/// Throws ValueError for a label outside 0 to classes - 1 of a sample that counts.
void check_labels(const char* op, const Array<std::int64_t>& labels, std::size_t classes,
                  const MetricOptions& options);

/// Checks mask and weights against the shape of the samples.
void check_samples(const char* op, const MetricOptions& options, const Shape& samples);

template <class T> bool is_above(const Var<T>& prediction, std::size_t i, double threshold) {
  return static_cast<double>(prediction.data()[i]) > threshold;
}

/// Returns the class that a prediction (..., classes) says for each sample: the first largest entry, or 1
/// above the threshold where there is one column. It says -1 if that entry is NaN.
template <class T> Array<std::int64_t> answers(const Var<T>& prediction, double threshold) {
  const std::size_t classes = prediction.shape().back();
  const bool several = classes > 1 && prediction.size() > 0;
  Array<std::int64_t> out =
      several ? argmax(prediction) : Array<std::int64_t>(but_last(prediction.shape()));
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!several) out.data()[i] = is_above(prediction, i, threshold) ? 1 : 0;
    const std::size_t at = several ? i * classes + static_cast<std::size_t>(out.data()[i]) : i;
    if (std::isnan(prediction.data()[at])) out.data()[i] = -1;
  }
  return out;
}

/// Calls visit(i, weight) for each sample that counts, after check_samples().
template <class Visit>
void for_each_sample(const MetricOptions& options, const Shape& samples, const Visit& visit) {
  std::optional<Array<double>> weights;
  if (options.sample_weight) weights = weights_of<double>(*options.sample_weight, samples);
  const std::size_t n = size_of(samples);
  for (std::size_t i = 0; i < n; ++i) {
    if (options.mask && !options.mask->data()[i]) continue;
    visit(i, weights ? weights->data()[i] : 1.0);
  }
}

}  // namespace xtape::detail
