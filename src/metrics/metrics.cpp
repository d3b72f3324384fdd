#include <xtape/metrics/metrics.hpp>

#include "metrics/metric_state.hpp"
#include "metrics/samples.hpp"

#include <algorithm>
#include <cmath>

namespace xtape {

using detail::but_last;
using detail::check_labels;
using detail::check_samples;

using Ids = Array<std::int64_t>;

Ids detail::squeezed_labels(const char* op, const Ids& labels, const Shape& prediction) {
  if (prediction.size() > 0) {
    const Shape samples = but_last(prediction);
    Shape column = prediction;
    column.back() = 1;
    const bool fits = labels.shape() == samples || labels.shape() == column;
    if (fits && prediction.back() == 0 && labels.size() > 0) {
      fail<ShapeError>(op, "no classes: prediction is ", to_string(prediction), ", labels is ",
                       to_string(labels.shape()),
                       ", expected at least one class along the last axis");
    }
    if (labels.shape() == samples) return labels;
    if (fits) {
      Ids out = labels;
      out.reshape(samples);
      return out;
    }
  }
  fail<ShapeError>(op, "shapes differ: labels is ", to_string(labels.shape()), ", prediction is ",
                   to_string(prediction),
                   ", expected the shape of the prediction without its last axis");
}

void detail::check_labels(const char* op, const Ids& labels, std::size_t classes,
                          const MetricOptions& options) {
  const auto n = static_cast<std::int64_t>(classes);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::int64_t label = labels.data()[i];
    if ((options.mask && !options.mask->data()[i]) || (label >= 0 && label < n)) continue;
    fail<ValueError>(op, "label out of range: element ", i, " of labels ",
                     to_string(labels.shape()), " is ", label, ", expected 0 to ", n - 1,
                     "; leave samples out with a mask");
  }
}

void detail::check_samples(const char* op, const MetricOptions& options, const Shape& samples) {
  check_samples(op, LossOptions{.mask = options.mask, .sample_weight = options.sample_weight},
                samples);
}

namespace {

/// Returns 1 for each sample whose index satisfies the condition, else 0.
template <class F> Array<double> where_right(const Shape& samples, F right) {
  Array<double> out(samples);
  for (std::size_t i = 0; i < out.size(); ++i) out.data()[i] = right(i) ? 1 : 0;
  return out;
}

/// Returns whether element i of a prediction says `label`, 0 or 1. A NaN says neither.
template <class T>
bool says(const Var<T>& prediction, std::size_t i, double threshold, double label) {
  const auto p = static_cast<double>(prediction.data()[i]);
  return !std::isnan(p) && label == (p > threshold ? 1 : 0);
}

}  // namespace

void Metric::load_state(std::span<const double> state) {
  detail::check_state(name(), state, this->state().size());
}

void Metric::merge(std::span<const double> state) {
  std::vector<double> sums = this->state();
  detail::check_state(name(), state, sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += state[i];
  load_state(sums);
}

void Mean::load_state(std::span<const double> state) {
  detail::check_state(name_, state, 2);
  sum_ = state[0];
  weight_ = state[1];
}

void Mean::update(double value, double weight) {
  detail::check_number(name_, "weight", weight);
  if (weight == 0) return;
  sum_ += value * weight;
  weight_ += weight;
}

template <class T> void Mean::update(const Array<T>& values, const MetricOptions& options) {
  check_samples(name_.c_str(), options, values.shape());
  detail::for_each_sample(options, values.shape(), [&](std::size_t i, double weight) {
    update(static_cast<double>(values.data()[i]), weight);
  });
}

Accuracy::Accuracy(double threshold, std::string name)
    : Mean(std::move(name), true), threshold_(threshold) {
  detail::check_number("Accuracy", "threshold", threshold);
}

template <class T>
void Accuracy::update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
                      const MetricOptions& options) {
  const Ids ids = detail::squeezed_labels("Accuracy", labels, prediction.shape());
  check_samples("Accuracy", options, ids.shape());
  const std::size_t classes = prediction.shape().back();
  check_labels("Accuracy", ids, classes == 1 ? 2 : classes, options);
  if (classes == 1) {
    const auto right = [&](std::size_t i) {
      return says(prediction, i, threshold_, static_cast<double>(ids.data()[i]));
    };
    Mean::update(where_right(ids.shape(), right), options);
    return;
  }
  if (ids.size() == 0) return;
  const Ids best = argmax(prediction);
  const auto right = [&](std::size_t i) {
    const std::int64_t k = best.data()[i];
    return k == ids.data()[i] &&
           !std::isnan(prediction.data()[i * classes + static_cast<std::size_t>(k)]);
  };
  Mean::update(where_right(ids.shape(), right), options);
}

template <class T>
void Accuracy::update(const Var<T>& prediction, const Target<T>& target,
                      const MetricOptions& options) {
  detail::check_same("Accuracy", prediction, target);
  const Shape samples = but_last(prediction.shape());
  check_samples("Accuracy", options, samples);
  if (prediction.shape().back() == 1) {
    const auto right = [&](std::size_t i) {
      return says(prediction, i, threshold_, static_cast<double>(target.data()[i]));
    };
    Mean::update(where_right(samples, right), options);
    return;
  }
  detail::check_not_empty("Accuracy", prediction);
  if (target.size() > 0) update(prediction, argmax(target), options);
}

BinaryAccuracy::BinaryAccuracy(double threshold, std::string name)
    : Mean(std::move(name), true), threshold_(threshold) {
  detail::check_number("BinaryAccuracy", "threshold", threshold);
}

template <class T>
void BinaryAccuracy::update(const Var<T>& prediction, const Target<T>& target,
                            const MetricOptions& options) {
  const char* op = "BinaryAccuracy";
  detail::check_same(op, prediction, target);
  detail::check_not_empty(op, prediction);
  const std::size_t n = prediction.shape().back();
  Array<double> right(but_last(prediction.shape()));
  check_samples(op, options, right.shape());
  for (std::size_t i = 0; i < right.size(); ++i) {
    double sum = 0;
    for (std::size_t k = i * n; k < (i + 1) * n; ++k) {
      sum += says(prediction, k, threshold_, static_cast<double>(target.data()[k])) ? 1 : 0;
    }
    right.data()[i] = sum / static_cast<double>(n);
  }
  Mean::update(right, options);
}

TopKAccuracy::TopKAccuracy(std::int64_t k, std::string name) : Mean(std::move(name), true), k_(k) {
  detail::check_count("TopKAccuracy", "k", k);
}

template <class T>
void TopKAccuracy::update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
                          const MetricOptions& options) {
  const Ids ids = detail::squeezed_labels("TopKAccuracy", labels, prediction.shape());
  check_samples("TopKAccuracy", options, ids.shape());
  const std::size_t classes = prediction.shape().back();
  check_labels("TopKAccuracy", ids, classes, options);
  const auto among_k = [&](std::size_t i) {
    if (options.mask && !options.mask->data()[i]) return false;
    const T* row = prediction.data() + i * classes;
    const T mine = row[ids.data()[i]];
    const auto larger = std::count_if(row, row + classes, [=](T x) { return x > mine; });
    return std::isfinite(mine) && larger < k_;
  };
  Mean::update(where_right(ids.shape(), among_k), options);
}

double Perplexity::result() const { return mean_.weight() == 0 ? 0 : std::exp(mean_.result()); }

template <class T>
void Perplexity::update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
                        const MetricOptions& options) {
  // Without a tape, so that nothing is recorded.
  const Var<T> values(prediction.value());
  const Ids ids = detail::squeezed_labels("Perplexity", labels, prediction.shape());
  MetricOptions counted = options;
  check_samples("Perplexity", counted, ids.shape());
  if (options_.mask_token_id) {
    if (!counted.mask) counted.mask = detail::full<bool>(ids.shape(), true);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids.data()[i] == *options_.mask_token_id) counted.mask->data()[i] = false;
    }
  }
  const Var<T> losses = sparse_categorical_crossentropy(
      values, ids,
      {.from_logits = options_.from_logits, .mask = counted.mask, .reduction = Reduction::none});
  mean_.update(losses.value(), counted);
}

#define XTAPE_INSTANTIATE(T)                                                                \
  template void Mean::update(const Array<T>&, const MetricOptions&);                        \
  template void Accuracy::update(const Var<T>&, const ArrayArg<std::int64_t>&,              \
                                 const MetricOptions&);                                     \
  template void Accuracy::update(const Var<T>&, const Var<T>&, const MetricOptions&);       \
  template void BinaryAccuracy::update(const Var<T>&, const Var<T>&, const MetricOptions&); \
  template void TopKAccuracy::update(const Var<T>&, const ArrayArg<std::int64_t>&,          \
                                     const MetricOptions&);                                 \
  template void Perplexity::update(const Var<T>&, const ArrayArg<std::int64_t>&,            \
                                   const MetricOptions&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
