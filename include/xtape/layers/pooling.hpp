#pragma once
/// \file
/// Global pooling: one vector for each sample, the mean or the largest over its positions.

#include <xtape/tape/var.hpp>

namespace xtape {

/// Options of the global poolings.
struct PoolingOptions {
  bool keep_dims = false;  ///< leaves the pooled axes as 1
};

/// The mean over all axes between the first and the last, the features (Keras's GlobalAveragePooling1D to
/// 3D). Masked positions do not count, whatever they hold.
template <class T> class GlobalAveragePooling {
 public:
  /// The options of the constructor.
  using Options = PoolingOptions;
  /// Makes a layer; it has no parameters.
  explicit GlobalAveragePooling(Options options = {}) : options_(options) {}

  /// x (batch, positions..., features) -> (batch, features). mask (batch, positions...), true = counts; a
  /// sample without such a position gives zeros. ShapeError for fewer axes or a mask of another shape.
  Var<T> operator()(const Var<T>& x, const OptionalArray<bool>& mask = std::nullopt) const;

 private:
  Options options_;
};

/// The largest over the same axes (Keras's GlobalMaxPooling1D to 3D, with a mask besides).
template <class T> class GlobalMaxPooling {
 public:
  /// The options of the constructor.
  using Options = PoolingOptions;
  /// Makes a layer; it has no parameters.
  explicit GlobalMaxPooling(Options options = {}) : options_(options) {}

  /// Shapes, mask and errors are those of GlobalAveragePooling, and ShapeError where there are no positions. Equal
  /// elements share the gradient.
  Var<T> operator()(const Var<T>& x, const OptionalArray<bool>& mask = std::nullopt) const;

 private:
  Options options_;
};

}  // namespace xtape
