#pragma once
// The common part of all losses: checks, masked samples, and the reduction.

#include "array/shapes.hpp"
#include "base/check.hpp"

#include <xtape/losses/losses.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reductions.hpp>

namespace xtape::detail {

/// Keras's epsilon.
inline constexpr double kTiny = 1e-7;

template <class T> void check_same(const char* op, const Var<T>& prediction, const Var<T>& target) {
  if (prediction.shape() != target.shape()) {
    fail<ShapeError>(op, "shapes differ: target is ", to_string(target.shape()), ", expected ",
                     to_string(prediction.shape()), ", the shape of the prediction");
  }
  if (prediction.rank() == 0) {
    fail<ShapeError>(op, "no last axis: prediction is (), expected at least one axis");
  }
}

/// Throws ShapeError for an empty last axis, whose mean would be NaN.
template <class T> void check_not_empty(const char* op, const Var<T>& prediction) {
  if (prediction.shape().back() == 0) {
    fail<ShapeError>(op, "nothing to average: prediction is ", to_string(prediction.shape()),
                     ", expected at least one element on the last axis");
  }
}

inline Shape but_last(const Shape& shape) {
  return reduced_shape(shape, {shape.size() - 1}, false);
}

/// Checks mask and weights against the shape of the samples.
void check_samples(const char* op, const LossOptions& options, const Shape& samples);

/// Broadcasts weights to one per sample.
template <class T> Array<T> weights_of(const Array<double>& weights, const Shape& samples);

/// Returns x with ones in the place of masked samples, so that neither their value nor their gradient
/// takes part in any computation. The samples are x without `axes`.
template <class T>
Var<T> kept(const Var<T>& x, const OptionalArray<bool>& mask,
            const std::vector<std::size_t>& axes) {
  if (!mask) return x;
  Array<bool> wide = *mask;
  wide.reshape(reduced_shape(x.shape(), axes, true));
  return where(wide, x, Var<T>(T(1)));
}

/// Returns kept() of samples along the last axis.
template <class T> Var<T> kept(const Var<T>& x, const OptionalArray<bool>& mask) {
  return kept(x, mask, {x.rank() - 1});
}

/// Reduces the losses of the samples. The options are checked before.
template <class T> Var<T> reduced(const Var<T>& losses, const LossOptions& options) {
  Var<T> each = options.mask ? where(*options.mask, losses, Var<T>(T(0))) : losses;
  double divisor = 0;
  const auto counts = [&](std::size_t i) { return !options.mask || options.mask->data()[i]; };
  if (options.sample_weight) {
    Array<T> weights = weights_of<T>(*options.sample_weight, losses.shape());
    if (options.reduction == Reduction::mean_with_sample_weight) {
      for (std::size_t i = 0; i < weights.size(); ++i) {
        if (counts(i)) divisor += static_cast<double>(weights.data()[i]);
      }
    }
    each = each * Var<T>(std::move(weights));
  }
  if (options.reduction == Reduction::none) return each;
  if (options.reduction == Reduction::sum) return sum(each);
  if (!options.sample_weight || options.reduction != Reduction::mean_with_sample_weight) {
    for (std::size_t i = 0; i < losses.size(); ++i) divisor += counts(i) ? 1 : 0;
  }
  // In Keras, too, a divisor of 0 gives a loss of 0.
  if (divisor == 0) return sum(each) * T(0);
  // A mean may be a number where the sum is none, which a tape that checks numbers would refuse.
  if (!std::isfinite(sum(Var<T>(each.value())).item())) return sum(each / static_cast<T>(divisor));
  return sum(each) / static_cast<T>(divisor);
}

}  // namespace xtape::detail
