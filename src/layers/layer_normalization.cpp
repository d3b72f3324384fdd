#include <xtape/layers/layer_normalization.hpp>

#include "base/instantiate.hpp"
#include "layers/common.hpp"
#include "layers/normalization.hpp"

namespace xtape {

template <class T>
LayerNormalization<T>::LayerNormalization(const Scope<T>& scope, Options options)
    : path_(scope.path()), options_(std::move(options)) {
  detail::check_normalization(path_, options_.axes, options_.epsilon);
  if (options_.scale) {
    gamma_ = scope.reserve("gamma", options_.trainable, options_.gamma_regularizer,
                           options_.gamma_constraint);
  }
  if (options_.center) {
    beta_ = scope.reserve("beta", options_.trainable, options_.beta_regularizer,
                          options_.beta_constraint);
  }
}

template <class T> void LayerNormalization<T>::build(const Shape& input) const {
  const Shape shape = detail::normalized_extents(path_, options_.axes, input);
  if (options_.scale) gamma_.build(shape, options_.gamma_initializer, Fans{});
  if (options_.center) beta_.build(shape, options_.beta_initializer, Fans{});
}

template <class T> Var<T> LayerNormalization<T>::operator()(const Var<T>& x) const {
  build(x.shape());
  std::optional<Var<T>> gamma;
  std::optional<Var<T>> beta;
  if (options_.scale) gamma = gamma_.value_for(x);
  if (options_.center) beta = beta_.value_for(x);
  const Var<T> y = layer_normalization(x, gamma, beta, options_.axes, options_.epsilon);
  detail::penalize_output(path_, options_.activity_regularizer, y, y.shape()[0]);
  return detail::note_layer_call(path_, "LayerNormalization", y);
}

XTAPE_CLASS_FOR_REALS(LayerNormalization);

}  // namespace xtape
