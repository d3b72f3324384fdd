#pragma once
/// \file
/// RMS normalization.

#include <xtape/ops/normalization.hpp>
#include <xtape/params/params.hpp>

namespace xtape {

/// Keras's RMSNormalization, PyTorch's RMSNorm: divides by the root of the mean square over `axes`
/// jointly, then multiplies by scale, of the axes' extents in ascending order (Zhang & Sennrich
/// 2019).
template <class T> class RMSNormalization {
 public:
  /// Options, with their defaults.
  struct Options {
    Axes axes = {-1};                          ///< the axes that are normalized jointly
    double epsilon = 1e-6;                     ///< added to the mean square
    bool scale = true;                         ///< with a scale
    Initializer scale_initializer = "ones";    ///< initial values of the scale
    bool trainable = true;                     ///< whether an optimizer updates the parameters
    Regularizer<T> scale_regularizer = {};     ///< penalty on the scale
    Regularizer<T> activity_regularizer = {};  ///< of the output, divided by its first extent
    Constraint<T> scale_constraint = {};       ///< limit of the scale after each update
  };

  /// Reserves "scale" in the scope. ValueError for a negative epsilon or no axes.
  explicit RMSNormalization(const Scope<T>& scope, Options options = {});
  /// Moves. The source must not be used afterwards.
  RMSNormalization(RMSNormalization&&) noexcept = default;
  /// Moves. The source must not be used afterwards.
  RMSNormalization& operator=(RMSNormalization&&) noexcept = default;

  /// Same shape as x. ShapeError naming the path for axes out of range or another width than before.
  Var<T> operator()(const Var<T>& x) const;
  /// Makes the parameter for inputs of this shape without computing.
  void build(const Shape& input) const;

 private:
  std::string path_;
  Options options_;
  Parameter<T> scale_;
};

}  // namespace xtape
