#pragma once
/// \file
/// Flatten and Reshape as layers, for Sequential. The first axis, the batch, stays.

#include <xtape/ops/shape.hpp>

#include <vector>

namespace xtape {

/// x (batch, ...) -> (batch, elements of a sample), as Keras's Flatten; (batch,) gives (batch, 1).
template <class T> class Flatten {
 public:
  struct Options {};
  Flatten() = default;
  /// Makes a layer; it has no parameters.
  explicit Flatten(Options) {}
  /// ShapeError for a scalar.
  Var<T> operator()(const Var<T>& x) const;
};

/// x (batch, ...) -> (batch, target_shape...), as Keras's Reshape.
template <class T> class Reshape {
 public:
  /// Options, with their defaults.
  struct Options {
    std::vector<int> target_shape = {};  ///< without the batch; one extent may be -1, which follows
  };
  /// ValueError for an extent below -1, and for more than one -1.
  explicit Reshape(Options options);
  /// ShapeError when a sample has another number of elements.
  Var<T> operator()(const Var<T>& x) const;

 private:
  Options options_;
};

}  // namespace xtape
