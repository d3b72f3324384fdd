#include <xtape/layers/feed_forward.hpp>

#include "base/instantiate.hpp"
#include "layers/common.hpp"

namespace xtape {

template <class T>
static typename Dense<T>::Options intermediate(const std::string& path,
                                               const typename FeedForward<T>::Options& o) {
  detail::check_positive_integer(path, "intermediate_dim", o.intermediate_dim);
  return detail::forward_weight_options<typename Dense<T>::Options>(
      o, {.units = o.intermediate_dim, .activation = o.activation});
}

template <class T>
FeedForward<T>::FeedForward(const Scope<T>& scope, Options options)
    : path_(scope.path()),
      dropout_({.rate = options.dropout, .name = scope.path() + "/dropout"}),
      intermediate_(scope / "intermediate", intermediate<T>(scope.path(), options)),
      output_(scope / "output", detail::forward_weight_options<typename Dense<T>::Options>(
                                    options, {.units_at_call = true})) {}

template <class T>
Var<T> FeedForward<T>::operator()(const Var<T>& x, std::optional<bool> training) const {
  const Var<T> hidden = dropout_(intermediate_(x), training);
  return detail::note_layer_call(path_, "FeedForward", output_(hidden, Shape{x.shape().back()}));
}

XTAPE_CLASS_FOR_REALS(FeedForward);

}  // namespace xtape
