#include <xtape/layers/dense.hpp>

#include "array/shapes.hpp"
#include "base/instantiate.hpp"
#include "layers/common.hpp"
#include "ops/projections.hpp"

namespace xtape {

using detail::fail;

Shape Extents::shape(const std::string& what) const {
  std::vector<std::size_t> out;
  for (const std::ptrdiff_t extent : values_) {
    if (extent <= 0) {
      fail<ValueError>(what, "extent out of range: it is ", extent,
                       ", expected a positive integer");
    }
    out.push_back(static_cast<std::size_t>(extent));
  }
  return {out.begin(), out.end()};
}

template <class T>
Dense<T>::Dense(const Scope<T>& scope, Options options)
    : path_(scope.path()), options_(std::move(options)) {
  if (options_.units.empty() != options_.units_at_call) {
    fail<ValueError>(path_,
                     "units missing or given twice: expected a positive integer or several, "
                     "or units_at_call");
  }
  units_ = options_.units.shape(path_ + ": units");
  detail::check_option(options_.axes >= 1, path_, "axes", options_.axes, "at least 1");
  kernel_ = scope.reserve("kernel", options_.trainable, options_.kernel_regularizer,
                          options_.kernel_constraint);
  if (options_.use_bias) {
    bias_ = scope.reserve("bias", options_.trainable, options_.bias_regularizer,
                          options_.bias_constraint);
  }
}

template <class T> void Dense<T>::check_input(const Shape& input) const {
  const auto axes = static_cast<std::size_t>(options_.axes);
  if (input.size() < axes) {
    fail<ShapeError>(path_, "too few axes: input is ", to_string(input), ", expected at least ",
                     axes, axes == 1 ? " axis" : " axes", " to contract");
  }
  if (!kernel_.built()) return;
  Shape expected = input;
  for (std::size_t i = 0; i < axes; ++i) {
    expected[input.size() - axes + i] = kernel_.value().shape()[i];
  }
  if (expected != input) {
    fail<ShapeError>(path_, "input does not fit: input is ", to_string(input), ", expected ",
                     to_string(expected), ", the width of the kernel ",
                     to_string(kernel_.value().shape()),
                     "; give every call the same width, or make another layer");
  }
}

template <class T> void Dense<T>::build(const Shape& input, const Shape& units) const {
  check_input(input);
  const auto axes = static_cast<std::size_t>(options_.axes);
  std::vector<std::size_t> shape(input.end() - static_cast<std::ptrdiff_t>(axes), input.end());
  Fans fans;
  for (const std::size_t extent : shape) fans.in *= static_cast<double>(extent);
  for (const std::size_t extent : units) fans.out *= static_cast<double>(extent);
  shape.insert(shape.end(), units.begin(), units.end());
  kernel_.build(Shape(shape.begin(), shape.end()), options_.kernel_initializer, fans);
  if (options_.use_bias) bias_.build(units, options_.bias_initializer, fans);
}

template <class T>
Shape Dense<T>::compute_output_shape(const Shape& input, const Shape& units) const {
  check_input(input);
  std::vector<std::size_t> shape(input.begin(), input.end() - options_.axes);
  shape.insert(shape.end(), units.begin(), units.end());
  detail::check_rank(path_.c_str(), shape.size());
  return detail::checked(path_.c_str(), Shape(shape.begin(), shape.end()));
}

/// Returns the kernel and bias for x, after checking x and making them.
template <class T>
detail::Projection<T> Dense<T>::projection(const Var<T>& x, const Shape& units) const {
  static_cast<void>(compute_output_shape(x.shape(), units));
  build(x.shape(), units);
  Var<T> bias;
  if (options_.use_bias) bias = bias_.value_for(x);
  return {kernel_.value_for(x), std::move(bias)};
}

/// Returns the layer's result for a product: activation, penalty and note.
template <class T> Var<T> Dense<T>::finish(const Var<T>& x, const Var<T>& projected) const {
  const Var<T> y = options_.activation(projected);
  detail::penalize_output(path_, options_.activity_regularizer, y,
                          x.rank() > static_cast<std::size_t>(options_.axes) ? x.shape()[0] : 1);
  return detail::note_layer_call(path_, "Dense", y);
}

template <class T> Var<T> Dense<T>::operator()(const Var<T>& x, const Shape& units) const {
  return finish(x, detail::project<T>("dense", x, static_cast<std::size_t>(options_.axes),
                                      {projection(x, units)})[0]);
}

template <class T>
std::vector<Var<T>> Dense<T>::together(const Var<T>& x,
                                       std::initializer_list<const Dense*> layers) {
  if (layers.size() == 0) return {};
  const int axes = (*layers.begin())->options_.axes;
  for (const Dense* layer : layers) {
    if (layer->options_.axes != axes || layer->options_.units_at_call) {
      fail<ValueError>(layer->path_, "not to be computed together: axes is ", layer->options_.axes,
                       layer->options_.units_at_call ? " and units are given at the call" : "",
                       ", expected ", axes, " like the first and units given; call it alone");
    }
  }
  for (const Dense* layer : layers) layer->check_input(x.shape());
  std::vector<detail::Projection<T>> projections;
  projections.reserve(layers.size());
  for (const Dense* layer : layers) projections.push_back(layer->projection(x, layer->units_));
  std::vector<Var<T>> values =
      detail::project("dense", x, static_cast<std::size_t>(axes), std::move(projections));
  std::size_t i = 0;
  for (const Dense* layer : layers) {
    values[i] = layer->finish(x, values[i]);
    ++i;
  }
  return values;
}

XTAPE_CLASS_FOR_REALS(Dense);

}  // namespace xtape
