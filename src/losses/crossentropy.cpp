#include "losses/reduction.hpp"

#include "base/instantiate.hpp"

#include <xtape/ops/activations.hpp>
#include <xtape/ops/cross_entropy.hpp>
#include <xtape/ops/indexing.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>

namespace xtape {

using detail::kept;
using detail::kTiny;
using detail::reduced;

namespace {

LossOptions common_of(const CrossentropyOptions& options) {
  return {options.mask, options.sample_weight, options.reduction};
}

void check_smoothing(const char* op, const CrossentropyOptions& options) {
  detail::check_unit(op, "label_smoothing", options.label_smoothing, true);
}

void check_focus(const char* op, const Focus& focus) {
  detail::check_not_negative(op, "gamma", focus.gamma);
  detail::check_unit(op, "alpha", focus.alpha, true);
}

/// Checks the arguments of the losses whose target has the prediction's shape.
template <class T>
void check_dense(const char* op, const Var<T>& prediction, const Var<T>& target,
                 const CrossentropyOptions& options) {
  detail::check_same(op, prediction, target);
  check_smoothing(op, options);
  if (options.ignore_class) {
    detail::fail<ValueError>(op, "no labels to ignore: ignore_class is ", *options.ignore_class,
                             ", expected none; use mask, or sparse_categorical_crossentropy");
  }
  detail::check_samples(op, common_of(options), detail::but_last(prediction.shape()));
}

/// Renormalises and limits probabilities, as Keras does before the logarithm.
template <class T> Var<T> safe(const Var<T>& p) {
  return clip(p / sum(p, {-1}, true), kTiny, 1 - kTiny);
}

template <class T> Var<T> smoothed(const Var<T>& target, double smoothing, std::size_t classes) {
  if (smoothing == 0) return target;
  return target * static_cast<T>(1 - smoothing) +
         static_cast<T>(smoothing / static_cast<double>(classes));
}

/// Returns x ^ exponent. The exponent 0 gives gradient 0 also at x = 0.
template <class T> Var<T> power(const Var<T>& x, double exponent) {
  return exponent == 0 ? Var<T>(T(1)) : pow(x, exponent);
}

/// Returns the labels, with -1 for samples that do not count. Checks the others.
Array<std::int64_t> counted(const char* op, const Array<std::int64_t>& labels, std::size_t classes,
                            const CrossentropyOptions& options, OptionalArray<bool>& mask) {
  const auto n = static_cast<std::int64_t>(classes);
  if (n == 0) {
    detail::fail<ValueError>(op, "label out of range: labels is ", to_string(labels.shape()),
                             ", expected none where the prediction has no classes");
  }
  Array<std::int64_t> out = labels;
  if (options.ignore_class && !mask) mask = detail::full<bool>(labels.shape(), true);
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::int64_t& label = out.data()[i];
    if (options.ignore_class && label == *options.ignore_class) mask->data()[i] = false;
    if (mask && !mask->data()[i]) {
      label = -1;
    } else if (label < 0 || label >= n) {
      detail::fail<ValueError>(op, "label out of range: element ", i, " of labels ",
                               to_string(labels.shape()), " is ", label, ", expected 0 to ", n - 1,
                               "; name a class to leave out with ignore_class, or mask it");
    }
  }
  return out;
}

/// Returns the entry at the label along the last axis, and the first entry for the label -1.
template <class T> Var<T> picked(const Var<T>& x, Array<std::int64_t> labels) {
  const Shape samples = labels.shape();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels.data()[i] = std::max<std::int64_t>(labels.data()[i], 0);
  }
  labels.reshape(detail::reduced_shape(x.shape(), {x.rank() - 1}, true));
  return reshape(take_along_axis(x, labels, -1), samples);
}

}  // namespace

template <class T>
Var<T> sparse_categorical_crossentropy(const Var<T>& prediction,
                                       const ArrayArg<std::int64_t>& labels,
                                       const CrossentropyOptions& options) {
  const char* op = "sparse_categorical_crossentropy";
  if (prediction.rank() == 0 || labels.shape() != detail::but_last(prediction.shape())) {
    detail::fail<ShapeError>(op, "shapes differ: labels is ", to_string(labels.shape()),
                             ", prediction is ", to_string(prediction.shape()),
                             ", expected the shape of the prediction without its last axis");
  }
  check_smoothing(op, options);
  LossOptions common = common_of(options);
  detail::check_samples(op, common, labels.shape());
  const std::size_t classes = prediction.shape().back();
  const Array<std::int64_t> ids = counted(op, labels, classes, options, common.mask);
  if (options.from_logits) {
    return reduced(sparse_softmax_cross_entropy(prediction, ids, -1, options.label_smoothing),
                   common);
  }
  const auto s = static_cast<T>(options.label_smoothing);
  const Var<T> log_p = log(safe(kept(prediction, common.mask)));
  const Var<T> hard = -picked(log_p, ids);
  if (s == 0) return reduced(hard, common);
  return reduced(hard * (T(1) - s) - mean(log_p, {-1}) * s, common);
}
XTAPE_FOR_REALS(sparse_categorical_crossentropy);

template <class T>
Var<T> categorical_crossentropy(const Var<T>& prediction, const Target<T>& target,
                                const CrossentropyOptions& options) {
  check_dense("categorical_crossentropy", prediction, target, options);
  const Var<T> p = kept(prediction, options.mask);
  const Var<T> t =
      smoothed(kept(target, options.mask), options.label_smoothing, prediction.shape().back());
  const Var<T> log_p = options.from_logits ? log_softmax(p) : log(safe(p));
  return reduced(-sum(log_p * t, {-1}), common_of(options));
}
XTAPE_FOR_REALS(categorical_crossentropy);

template <class T>
Var<T> binary_crossentropy(const Var<T>& prediction, const Target<T>& target,
                           const CrossentropyOptions& options) {
  const char* op = "binary_crossentropy";
  check_dense(op, prediction, target, options);
  detail::check_not_empty(op, prediction);
  const Var<T> x = kept(prediction, options.mask);
  const Var<T> t = smoothed(kept(target, options.mask), options.label_smoothing, 2);
  if (options.from_logits) {
    return reduced(mean(softplus(x) - x * t, {-1}), common_of(options));
  }
  const Var<T> p = clip(x, kTiny, 1 - kTiny);
  return reduced(-mean(t * log(p) + (T(1) - t) * log(T(1) - p), {-1}), common_of(options));
}
XTAPE_FOR_REALS(binary_crossentropy);

template <class T>
Var<T> categorical_focal_crossentropy(const Var<T>& prediction, const Target<T>& target,
                                      Focus focus, const CrossentropyOptions& options) {
  const char* op = "categorical_focal_crossentropy";
  check_dense(op, prediction, target, options);
  check_focus(op, focus);
  detail::check_option(!focus.balance, op, "balance", "true", "false; it is for the binary loss");
  const Var<T> x = kept(prediction, options.mask);
  const Var<T> t =
      smoothed(kept(target, options.mask), options.label_smoothing, prediction.shape().back());
  const Var<T> p = safe(options.from_logits ? softmax(x) : x);
  const Var<T> weight = power(T(1) - p, focus.gamma) * static_cast<T>(focus.alpha);
  return reduced(-sum(weight * t * log(p), {-1}), common_of(options));
}
XTAPE_FOR_REALS(categorical_focal_crossentropy);

template <class T>
Var<T> binary_focal_crossentropy(const Var<T>& prediction, const Target<T>& target, Focus focus,
                                 const CrossentropyOptions& options) {
  const char* op = "binary_focal_crossentropy";
  check_dense(op, prediction, target, options);
  check_focus(op, focus);
  detail::check_not_empty(op, prediction);
  const Var<T> x = kept(prediction, options.mask);
  const Var<T> t = smoothed(kept(target, options.mask), options.label_smoothing, 2);
  const Var<T> p = options.from_logits ? sigmoid(x) : x;
  const Var<T> limited = clip(p, kTiny, 1 - kTiny);
  const Var<T> loss = -(t * log(limited) + (T(1) - t) * log(T(1) - limited));
  Var<T> doubt = T(1) - (t * p + (T(1) - t) * (T(1) - p));
  // The slope of a root at 0 is infinite, and that of the loss there is 0.
  if (focus.gamma < 1) doubt = maximum(doubt, Var<T>(static_cast<T>(kTiny)));
  Var<T> each = power(doubt, focus.gamma) * loss;
  if (focus.balance) {
    const auto alpha = static_cast<T>(focus.alpha);
    each = (t * alpha + (T(1) - t) * (T(1) - alpha)) * each;
  }
  return reduced(mean(each, {-1}), common_of(options));
}
XTAPE_FOR_REALS(binary_focal_crossentropy);

}  // namespace xtape
