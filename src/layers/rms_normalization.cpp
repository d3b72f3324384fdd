#include <xtape/layers/rms_normalization.hpp>

#include "base/instantiate.hpp"
#include "layers/common.hpp"
#include "layers/normalization.hpp"

namespace xtape {

template <class T>
RMSNormalization<T>::RMSNormalization(const Scope<T>& scope, Options options)
    : path_(scope.path()), options_(std::move(options)) {
  detail::check_normalization(path_, options_.axes, options_.epsilon);
  if (options_.scale) {
    scale_ = scope.reserve("scale", options_.trainable, options_.scale_regularizer,
                           options_.scale_constraint);
  }
}

template <class T> void RMSNormalization<T>::build(const Shape& input) const {
  const Shape shape = detail::normalized_extents(path_, options_.axes, input);
  if (options_.scale) scale_.build(shape, options_.scale_initializer, Fans{});
}

template <class T> Var<T> RMSNormalization<T>::operator()(const Var<T>& x) const {
  build(x.shape());
  std::optional<Var<T>> scale;
  if (options_.scale) scale = scale_.value_for(x);
  const Var<T> y = rms_normalization(x, scale, options_.axes, options_.epsilon);
  detail::penalize_output(path_, options_.activity_regularizer, y, y.shape()[0]);
  return detail::note_layer_call(path_, "RMSNormalization", y);
}

XTAPE_CLASS_FOR_REALS(RMSNormalization);

}  // namespace xtape
