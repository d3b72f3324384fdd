#pragma once
/// \file
/// Softmax as a layer.

#include <xtape/ops/softmax.hpp>

namespace xtape {

/// Softmax over one or several axes jointly, with an optional mask (Keras's Softmax).
template <class T> class Softmax {
 public:
  /// Options, with their defaults.
  struct Options {
    Axes axes = {-1};  ///< the axes that sum to 1 together
  };
  Softmax() = default;
  /// Makes a layer; it has no parameters.
  explicit Softmax(Options options) : options_(std::move(options)) {}

  /// mask: true = keep; it broadcasts to x and may have fewer axes, not more. A row with nothing
  /// kept is zeros with zero gradient.
  Var<T> operator()(const Var<T>& x, const OptionalArray<bool>& mask = std::nullopt) const {
    return softmax(x, options_.axes, mask);
  }

 private:
  Options options_;
};

}  // namespace xtape
