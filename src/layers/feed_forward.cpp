#include <xtape/layers/feed_forward.hpp>

#include "layers/common.hpp"

namespace xtape {

using detail::fail;

namespace {

template <class T>
typename Dense<T>::Options common(const typename FeedForward<T>::Options& o) {
  return {.use_bias = o.use_bias,
          .kernel_initializer = o.kernel_initializer,
          .bias_initializer = o.bias_initializer,
          .trainable = o.trainable,
          .kernel_regularizer = o.kernel_regularizer,
          .bias_regularizer = o.bias_regularizer};
}

template <class T>
typename Dense<T>::Options intermediate(const std::string& path,
                                        const typename FeedForward<T>::Options& o) {
  if (o.intermediate_dim <= 0) {
    fail<ValueError>(path, "intermediate_dim out of range: intermediate_dim is ",
                     o.intermediate_dim, ", expected a positive integer");
  }
  typename Dense<T>::Options options = common<T>(o);
  options.units = o.intermediate_dim;
  options.activation = o.activation;
  return options;
}

template <class T>
typename Dense<T>::Options output(const typename FeedForward<T>::Options& o) {
  typename Dense<T>::Options options = common<T>(o);
  options.units_at_call = true;
  return options;
}

}  // namespace

template <class T>
FeedForward<T>::FeedForward(const Scope<T>& scope, Options options)
    : path_(scope.path()),
      dropout_({.rate = options.dropout, .name = scope.path() + "/dropout"}),
      intermediate_(scope / "intermediate", intermediate<T>(scope.path(), options)),
      output_(scope / "output", output<T>(options)) {}

template <class T>
Var<T> FeedForward<T>::operator()(const Var<T>& x, std::optional<bool> training) const {
  const Var<T> hidden = dropout_(intermediate_(x), training);
  return detail::announce(path_, "FeedForward", output_(hidden, Shape{x.shape().back()}));
}

template class FeedForward<float>;
template class FeedForward<double>;

}  // namespace xtape
