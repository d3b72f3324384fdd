// Precision, recall, F1, AUC and the confusion matrix.

#include <xtape/metrics/classification.hpp>

#include "metrics/metric_state.hpp"
#include "metrics/samples.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace xtape {

using detail::fail;

using Ids = Array<std::int64_t>;

namespace {

double ratio(double part, double whole) { return whole == 0 ? 0.0 : part / whole; }

/// Returns the count that a state begins with. ValueError unless `numbers(count)` more follow it.
template <class Numbers>
std::size_t leading_count(const std::string& who, std::span<const double> state,
                          const Numbers& numbers) {
  if (state.empty()) detail::check_state(who, state, 1);
  const auto count = static_cast<std::size_t>(detail::state_count(who, state[0]));
  // A larger count than there are numbers would overflow numbers(count).
  detail::check_state(who, state, count < state.size() ? 1 + numbers(count) : count + 1);
  return count;
}

/// Throws ShapeError if a metric of `before` classes, or of none so far, meets another number.
void check_same_classes(const std::string& who, std::size_t before, std::size_t now) {
  if (before == 0 || before == now) return;
  fail<ShapeError>(who, "another number of classes: prediction has ", now, ", expected ", before,
                   " as before; reset() the metric first");
}

}  // namespace

namespace detail {

ClassMetric::ClassMetric(const char* kind, ClassMetricOptions options, std::string name)
    : kind_(kind), options_(options), name_(std::move(name)) {
  check_number(kind, "threshold", options.threshold);
}

void ClassMetric::check_classes(std::size_t classes) const {
  check_same_classes(kind_, counts_.size(), classes);
}

void ClassMetric::add(const std::vector<Counts>& counts) {
  counts_.resize(std::max(counts_.size(), counts.size()));
  for (std::size_t k = 0; k < counts.size(); ++k) {
    counts_[k].hits += counts[k].hits;
    counts_[k].false_alarms += counts[k].false_alarms;
    counts_[k].misses += counts[k].misses;
  }
}

template <class T>
void ClassMetric::update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
                         const MetricOptions& options) {
  const Ids ids = squeezed_labels(kind_, labels, prediction.shape());
  check_samples(kind_, options, ids.shape());
  const std::size_t classes = prediction.shape().back();
  check_labels(kind_, ids, classes == 1 ? 2 : classes, options);
  check_classes(classes);
  const Ids answer = answers(prediction, options_.threshold);
  // One column counts the class 1 alone.
  const std::size_t first = classes == 1 ? 1 : 0;
  std::vector<Counts> counts(first + classes);
  for_each_sample(options, ids.shape(), [&](std::size_t i, double weight) {
    const auto truth = static_cast<std::size_t>(ids.data()[i]);
    if (answer.data()[i] == ids.data()[i]) {
      counts[truth].hits += weight;
      return;
    }
    counts[truth].misses += weight;
    const std::int64_t said = answer.data()[i];
    if (said >= 0) counts[static_cast<std::size_t>(said)].false_alarms += weight;
  });
  add({counts.begin() + static_cast<std::ptrdiff_t>(first), counts.end()});
}

template <class T>
void ClassMetric::update(const Var<T>& prediction, const Target<T>& target,
                         const MetricOptions& options) {
  check_same(kind_, prediction, target);
  check_not_empty(kind_, prediction);
  const Shape samples = but_last(prediction.shape());
  check_samples(kind_, options, samples);
  const std::size_t classes = prediction.shape().back();
  check_classes(classes);
  std::vector<Counts> counts(classes);
  for_each_sample(options, samples, [&](std::size_t i, double weight) {
    for (std::size_t k = 0; k < classes; ++k) {
      const bool said = is_above(prediction, i * classes + k, options_.threshold);
      const bool truth = target.data()[i * classes + k] != T(0);
      if (said && truth) counts[k].hits += weight;
      if (said && !truth) counts[k].false_alarms += weight;
      if (!said && truth) counts[k].misses += weight;
    }
  });
  add(counts);
}

std::vector<double> ClassMetric::per_class() const {
  std::vector<double> values;
  for (const Counts& counts : counts_) values.push_back(value(counts));
  return values;
}

double ClassMetric::result() const {
  Counts all;
  double sum = 0, weighted = 0;
  for (const Counts& c : counts_) {
    all.hits += c.hits;
    all.false_alarms += c.false_alarms;
    all.misses += c.misses;
    sum += value(c);
    weighted += value(c) * (c.hits + c.misses);
  }
  switch (options_.average) {
    case Average::micro: return value(all);
    case Average::weighted:
      return counts_.size() == 1 ? sum : ratio(weighted, all.hits + all.misses);
    case Average::macro: break;
  }
  return ratio(sum, static_cast<double>(counts_.size()));
}

std::vector<double> ClassMetric::state() const {
  std::vector<double> numbers{static_cast<double>(counts_.size())};
  for (const Counts& c : counts_) {
    numbers.insert(numbers.end(), {c.hits, c.false_alarms, c.misses});
  }
  return numbers;
}

std::vector<ClassMetric::Counts> ClassMetric::counts_in(std::span<const double> state) const {
  const std::size_t n = leading_count(name_, state, [](std::size_t k) { return 3 * k; });
  std::vector<Counts> counts;
  for (std::size_t k = 0; k < n; ++k) {
    counts.push_back({state[3 * k + 1], state[3 * k + 2], state[3 * k + 3]});
  }
  return counts;
}

void ClassMetric::load_state(std::span<const double> state) { counts_ = counts_in(state); }

void ClassMetric::merge(std::span<const double> state) {
  const std::vector<Counts> counts = counts_in(state);
  if (!counts.empty() && !counts_.empty()) check_state(name_, state, 1 + 3 * counts_.size());
  add(counts);
}

}  // namespace detail

double Precision::value(const Counts& c) const { return ratio(c.hits, c.hits + c.false_alarms); }

double Recall::value(const Counts& c) const { return ratio(c.hits, c.hits + c.misses); }

double F1::value(const Counts& c) const {
  return ratio(2 * c.hits, 2 * c.hits + c.false_alarms + c.misses);
}

ConfusionMatrix::ConfusionMatrix(double threshold, std::string name)
    : threshold_(threshold), name_(std::move(name)) {
  detail::check_number("ConfusionMatrix", "threshold", threshold);
}

template <class T>
void ConfusionMatrix::update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
                             const MetricOptions& options) {
  const char* op = "ConfusionMatrix";
  const Ids ids = detail::squeezed_labels(op, labels, prediction.shape());
  detail::check_samples(op, options, ids.shape());
  const std::size_t classes = std::max<std::size_t>(2, prediction.shape().back());
  detail::check_labels(op, ids, classes, options);
  check_same_classes(op, classes_, classes);
  const Ids answer = detail::answers(prediction, threshold_);
  detail::for_each_sample(options, ids.shape(), [&](std::size_t i, double) {
    if (answer.data()[i] >= 0) return;
    detail::fail<NonFiniteError>(op, "prediction is not a number: sample ", i, " of ",
                                 to_string(ids.shape()),
                                 " is NaN, expected a class; leave it out "
                                 "with a mask");
  });
  classes_ = classes;
  counts_.resize(classes * classes);
  detail::for_each_sample(options, ids.shape(), [&](std::size_t i, double weight) {
    counts_[static_cast<std::size_t>(ids.data()[i]) * classes +
            static_cast<std::size_t>(answer.data()[i])] += weight;
  });
}

template <class T>
void ConfusionMatrix::update(const Var<T>& prediction, const Target<T>& target,
                             const MetricOptions& options) {
  detail::check_same("ConfusionMatrix", prediction, target);
  detail::check_not_empty("ConfusionMatrix", prediction);
  update(prediction, detail::answers(target, 0.5), options);
}

double ConfusionMatrix::result() const {
  double right = 0;
  for (std::size_t k = 0; k < classes_; ++k) right += counts_[k * (classes_ + 1)];
  return ratio(right, std::accumulate(counts_.begin(), counts_.end(), 0.0));
}

Array<double> ConfusionMatrix::matrix() const {
  Array<double> out(Shape{classes_, classes_});
  std::copy(counts_.begin(), counts_.end(), out.data());
  return out;
}

std::vector<double> ConfusionMatrix::state() const {
  std::vector<double> numbers{static_cast<double>(classes_)};
  numbers.insert(numbers.end(), counts_.begin(), counts_.end());
  return numbers;
}

std::size_t ConfusionMatrix::classes_in(std::span<const double> state) const {
  return leading_count(name_, state, [](std::size_t k) { return k * k; });
}

void ConfusionMatrix::load_state(std::span<const double> state) {
  classes_ = classes_in(state);
  counts_.assign(state.begin() + 1, state.end());
}

void ConfusionMatrix::merge(std::span<const double> state) {
  if (classes_in(state) == 0) return;
  if (classes_ == 0) return load_state(state);
  detail::check_state(name_, state, 1 + counts_.size());
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += state[i + 1];
}

AUC::AUC(Options options, std::string name) : options_(options), name_(std::move(name)) {
  constexpr std::int64_t kMost = 1 << 24;
  detail::check_option(options.num_thresholds >= 2 && options.num_thresholds <= kMost, "AUC",
                       "num_thresholds", options.num_thresholds, "2 to ", kMost);
  AUC::reset();
}

void AUC::reset() { counts_.assign(2 * static_cast<std::size_t>(options_.num_thresholds), 0.0); }

void AUC::load_state(std::span<const double> state) {
  detail::check_state(name_, state, counts_.size());
  counts_.assign(state.begin(), state.end());
}

template <class T, class Positive>
void AUC::add(const Var<T>& prediction, const MetricOptions& options, const Shape& samples,
              const Positive& positive) {
  detail::check_samples("AUC", options, samples);
  const std::size_t n = counts_.size() / 2;
  const std::size_t columns = prediction.shape().back();
  // Interval b lies between the thresholds b / (n - 1) and (b + 1) / (n - 1), as in Keras.
  const auto interval = [&](std::size_t i) {
    auto p = static_cast<double>(prediction.data()[i]);
    if (options_.from_logits) p = 1 / (1 + std::exp(-p));
    if (!(p >= 0 && p <= 1)) {
      fail<ValueError>("AUC", "probability out of range: element ", i, " of prediction ",
                       to_string(prediction.shape()), " is ", p,
                       ", expected 0 to 1; set from_logits for logits");
    }
    return static_cast<std::size_t>(std::max(0.0, std::ceil(p * static_cast<double>(n - 1)) - 1));
  };
  std::vector<double> counts = counts_;
  detail::for_each_sample(options, samples, [&](std::size_t i, double weight) {
    for (std::size_t k = i * columns; k < (i + 1) * columns; ++k) {
      counts[interval(k) + (positive(k) ? 0 : n)] += weight;
    }
  });
  counts_ = std::move(counts);
}

template <class T>
void AUC::update(const Var<T>& prediction, const ArrayArg<std::int64_t>& labels,
                 const MetricOptions& options) {
  const Ids ids = detail::squeezed_labels("AUC", labels, prediction.shape());
  if (prediction.shape().back() != 1) {
    fail<ShapeError>("AUC", "more than one column: prediction is ", to_string(prediction.shape()),
                     ", expected a last axis of 1 with labels; give targets of the prediction's "
                     "shape, or the column of one class");
  }
  detail::check_labels("AUC", ids, 2, options);
  add(prediction, options, ids.shape(), [&](std::size_t i) { return ids.data()[i] == 1; });
}

template <class T>
void AUC::update(const Var<T>& prediction, const Target<T>& target, const MetricOptions& options) {
  detail::check_same("AUC", prediction, target);
  add(prediction, options, detail::but_last(prediction.shape()),
      [&](std::size_t i) { return target.data()[i] != T(0); });
}

double AUC::result() const {
  const std::size_t n = counts_.size() / 2;
  // Positive and negative samples above each threshold.
  std::vector<double> tp(counts_.begin(), counts_.begin() + static_cast<std::ptrdiff_t>(n));
  std::vector<double> fp(counts_.begin() + static_cast<std::ptrdiff_t>(n), counts_.end());
  for (std::size_t i = n - 1; i-- > 0;) {
    tp[i] += tp[i + 1];
    fp[i] += fp[i + 1];
  }
  double area = 0;
  for (std::size_t i = 0; i + 1 < n; ++i) {
    if (options_.curve == Curve::pr && options_.summation == Summation::interpolation) {
      // The number of true positives, not the precision, is linear in between (Davis & Goadrich 2006).
      const double p = tp[i] + fp[i], next = tp[i + 1] + fp[i + 1];
      const double slope = ratio(tp[i] - tp[i + 1], std::max(p - next, 0.0));
      const double intercept = tp[i + 1] - slope * next;
      const double growth = p > 0 && next > 0 ? p / next : 1.0;
      area += ratio(slope * (tp[i] - tp[i + 1] + intercept * std::log(growth)), tp[0]);
      continue;
    }
    const auto x = [&](std::size_t k) {
      return options_.curve == Curve::roc ? ratio(fp[k], fp[0]) : ratio(tp[k], tp[0]);
    };
    const auto y = [&](std::size_t k) {
      return options_.curve == Curve::roc ? ratio(tp[k], tp[0]) : ratio(tp[k], tp[k] + fp[k]);
    };
    double height = (y(i) + y(i + 1)) / 2;
    if (options_.summation == Summation::minoring) height = std::min(y(i), y(i + 1));
    if (options_.summation == Summation::majoring) height = std::max(y(i), y(i + 1));
    area += (x(i) - x(i + 1)) * height;
  }
  return area;
}

#define XTAPE_UPDATES(T, Class)                                                                    \
  template void Class::update(const Var<T>&, const ArrayArg<std::int64_t>&, const MetricOptions&); \
  template void Class::update(const Var<T>&, const Var<T>&, const MetricOptions&);
#define XTAPE_INSTANTIATE(T)            \
  XTAPE_UPDATES(T, detail::ClassMetric) \
  XTAPE_UPDATES(T, ConfusionMatrix)     \
  XTAPE_UPDATES(T, AUC)
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
