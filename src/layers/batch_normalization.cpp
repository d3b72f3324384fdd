#include <xtape/layers/batch_normalization.hpp>

#include "base/instantiate.hpp"
#include "layers/common.hpp"
#include "params/layer_state.hpp"

#include <xtape/ops/reductions.hpp>
#include <xtape/ops/shape.hpp>

#include <algorithm>
#include <cmath>

namespace xtape {

using detail::fail;

namespace {

constexpr double kTiny = 1e-7;  // Keras's epsilon, added to the count of a mask

template <class T> struct Moments {
  Var<T> mean, variance;  // with axes of 1 for those that were averaged
};

/// Returns mean and variance over `axes`; with a mask over the positions that count.
template <class T>
Moments<T> moments(const Var<T>& x, const OptionalArray<bool>& mask, const Axes& axes) {
  if (!mask) return {mean(x, axes, true), variance(x, axes, true)};
  Array<bool> wide = *mask;
  Shape shape = mask->shape();
  shape.push_back(1);
  wide.reshape(shape);
  const auto count =
      static_cast<double>(std::count(mask->data(), mask->data() + mask->size(), true));
  const T divisor = static_cast<T>(count + kTiny);
  const Var<T> zero(T(0));
  const Var<T> m = sum(where(wide, x, zero), axes, true) / divisor;
  return {m, sum(square(where(wide, x - m, zero)), axes, true) / divisor};
}

template <class T> bool all_finite(const Array<T>& array) {
  return std::all_of(array.data(), array.data() + array.size(),
                     [](T value) { return std::isfinite(value); });
}

}  // namespace

template <class T>
BatchNormalization<T>::BatchNormalization(const Scope<T>& scope, Options options)
    : path_(scope.path()), options_(std::move(options)) {
  detail::check_option(options_.epsilon >= 0, path_, "epsilon", options_.epsilon, ">= 0");
  detail::check_unit(path_, "momentum", options_.momentum, true);
  if (options_.scale) {
    gamma_ = scope.reserve("gamma", options_.trainable, options_.gamma_regularizer,
                           options_.gamma_constraint);
  }
  if (options_.center) {
    beta_ = scope.reserve("beta", options_.trainable, options_.beta_regularizer,
                          options_.beta_constraint);
  }
  moving_mean_ = detail::reserve_state(scope, "moving_mean");
  moving_variance_ = detail::reserve_state(scope, "moving_variance");
}

template <class T> std::size_t BatchNormalization<T>::feature_axis(const Shape& input) const {
  const auto rank = static_cast<int>(input.size());
  const int axis = options_.axis < 0 ? options_.axis + rank : options_.axis;
  if (rank < 2 || axis < 0 || axis >= rank) {
    fail<ShapeError>(path_, "input does not fit: x is ", to_string(input),
                     ", expected two axes or more, with axis ", options_.axis, " the features");
  }
  return static_cast<std::size_t>(axis);
}

template <class T> void BatchNormalization<T>::build(const Shape& input) const {
  const Shape shape{input[feature_axis(input)]};
  if (options_.scale) gamma_.build(shape, options_.gamma_initializer, Fans{});
  if (options_.center) beta_.build(shape, options_.beta_initializer, Fans{});
  moving_mean_.build(shape, options_.moving_mean_initializer, Fans{});
  moving_variance_.build(shape, options_.moving_variance_initializer, Fans{});
}

/// Returns whether a call uses the batch's statistics.
template <class T>
bool BatchNormalization<T>::trains(const Var<T>& x, const CallOptions& call) const {
  const detail::TapeState<T>* state = x.node_ref().state;
  if (!call.training.value_or(state != nullptr && state->training)) return false;
  return options_.trainable && (!options_.scale || gamma_.trainable()) &&
         (!options_.center || beta_.trainable());
}

/// Moves a state towards the batch's statistic.
template <class T>
void BatchNormalization<T>::move(const Parameter<T>& state, const Array<T>& now) const {
  const Array<T>& before = state.value();
  Array<T> after(before.shape());
  const T old_part = static_cast<T>(options_.momentum);
  const T new_part = static_cast<T>(1 - options_.momentum);
  for (std::size_t i = 0; i < after.size(); ++i) {
    after.data()[i] = before.data()[i] * old_part + now.data()[i] * new_part;
  }
  state.slot().value = detail::ArrayPtr<T>(std::move(after));
}

template <class T>
Var<T> BatchNormalization<T>::operator()(const Var<T>& x, const CallOptions& call) const {
  const std::size_t axis = feature_axis(x.shape());
  const Shape positions(x.shape().begin(), x.shape().end() - 1);
  if (call.mask && (axis + 1 != x.rank() || call.mask->shape() != positions)) {
    fail<ShapeError>(path_, "mask does not fit: mask is ", to_string(call.mask->shape()),
                     " with axis ", options_.axis, ", expected ", to_string(positions),
                     " and features on the last axis");
  }
  const bool train = trains(x, call);
  if (train && x.size() == 0) {
    fail<ShapeError>(path_, "nothing to normalize: x is ", to_string(x.shape()),
                     ", expected at least one element");
  }
  build(x.shape());
  Axes axes;
  Shape wide(x.shape());  // of the statistics
  for (std::size_t i = 0; i < x.rank(); ++i) {
    if (i == axis) continue;
    axes.push_back(static_cast<int>(i));
    wide[i] = 1;
  }
  const auto widened = [&](const Var<T>& v) { return reshape(v, wide); };
  Moments<T> m;
  if (train) {
    m = moments(x, call.mask, axes);
  } else {
    m = {widened(moving_mean_.value_for(x)), widened(moving_variance_.value_for(x))};
  }
  Var<T> factor = rsqrt(m.variance + static_cast<T>(options_.epsilon));
  if (options_.scale) factor = factor * widened(gamma_.value_for(x));
  Var<T> input = x;
  if (call.mask && !all_finite(x.value())) {  // what is masked may hold anything
    Array<bool> counts = *call.mask;
    Shape column = positions;
    column.push_back(1);
    counts.reshape(column);
    input = where(counts, x, T(0));
  }
  Var<T> y = (input - m.mean) * factor;
  if (options_.center) y = y + widened(beta_.value_for(x));
  // A recomputation in backward has been counted by its forward.
  const detail::TapeState<T>* state = x.node_ref().state;
  const bool again = state != nullptr && state->in_backward;
  const bool any =
      !call.mask || std::count(call.mask->data(), call.mask->data() + call.mask->size(), true) > 0;
  if (train && !again && any && all_finite(m.mean.value()) && all_finite(m.variance.value())) {
    move(moving_mean_, m.mean.value());
    move(moving_variance_, m.variance.value());
  }
  return detail::note_layer_call(path_, "BatchNormalization", y);
}

XTAPE_CLASS_FOR_REALS(BatchNormalization);

}  // namespace xtape
