#include <xtape/layers/layer_normalization.hpp>

#include "array/shapes.hpp"

#include <algorithm>

namespace xtape {

using detail::fail;

template <class T>
LayerNormalization<T>::LayerNormalization(const Scope<T>& scope, Options options)
    : path_(scope.path()), options_(std::move(options)) {
  if (!(options_.epsilon >= 0)) {
    fail<ValueError>(path_, "epsilon out of range: epsilon is ", options_.epsilon,
                     ", expected >= 0");
  }
  if (options_.axes.empty()) fail<ValueError>(path_, "no axes: expected at least one axis");
  if (options_.scale) {
    gamma_ = scope.reserve("gamma", options_.trainable, options_.gamma_regularizer,
                           options_.gamma_constraint);
  }
  if (options_.center) {
    beta_ = scope.reserve("beta", options_.trainable, options_.beta_regularizer,
                          options_.beta_constraint);
  }
}

template <class T>
void LayerNormalization<T>::build(const Shape& input) const {
  std::vector<std::size_t> axes = detail::normalize_axes(path_, options_.axes, input.size());
  std::sort(axes.begin(), axes.end());
  std::vector<std::size_t> extents;
  for (const std::size_t axis : axes) {
    if (input[axis] == 0) {
      fail<ShapeError>(path_, "nothing to normalize: input is ", to_string(input),
                       ", expected at least one element on the axes");
    }
    extents.push_back(input[axis]);
  }
  const Shape shape(extents.begin(), extents.end());
  if (options_.scale) gamma_.build(shape, options_.gamma_initializer, {});
  if (options_.center) beta_.build(shape, options_.beta_initializer, {});
}

template <class T>
Var<T> LayerNormalization<T>::operator()(const Var<T>& x) const {
  build(x.shape());
  std::optional<Var<T>> gamma;
  std::optional<Var<T>> beta;
  if (options_.scale) gamma = gamma_.on(x);
  if (options_.center) beta = beta_.on(x);
  return layer_normalization(x, gamma, beta, options_.axes, options_.epsilon);
}

template class LayerNormalization<float>;
template class LayerNormalization<double>;

}  // namespace xtape
