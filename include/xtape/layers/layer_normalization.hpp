#pragma once
/// \file
/// Layer normalization.

#include <xtape/ops/normalization.hpp>
#include <xtape/params/params.hpp>

namespace xtape {

/// Keras's LayerNormalization: normalizes over `axes` jointly, with biased variance, then scales by
/// gamma and shifts by beta, both of the axes' extents in ascending order (Ba et al. 2016).
template <class T> class LayerNormalization {
 public:
  /// Options, with their defaults.
  struct Options {
    Axes axes = {-1};                          ///< the axes that are normalized jointly
    double epsilon = 1e-3;                     ///< added to the variance
    bool center = true;                        ///< with beta
    bool scale = true;                         ///< with gamma
    Initializer beta_initializer = "zeros";    ///< initial values of the beta
    Initializer gamma_initializer = "ones";    ///< initial values of the gamma
    bool trainable = true;                     ///< whether an optimizer updates the parameters
    Regularizer<T> beta_regularizer = {};      ///< penalty on the beta
    Regularizer<T> gamma_regularizer = {};     ///< penalty on the gamma
    Regularizer<T> activity_regularizer = {};  ///< of the output, divided by its first extent
    Constraint<T> beta_constraint = {};        ///< limit of the beta after each update
    Constraint<T> gamma_constraint = {};       ///< limit of the gamma after each update
  };

  /// Reserves "gamma" and "beta" in the scope. ValueError for a negative epsilon or no axes.
  explicit LayerNormalization(const Scope<T>& scope, Options options = {});
  /// Moves. The source must not be used afterwards.
  LayerNormalization(LayerNormalization&&) noexcept = default;
  /// Moves. The source must not be used afterwards.
  LayerNormalization& operator=(LayerNormalization&&) noexcept = default;

  /// Same shape as x. ShapeError naming the path for axes out of range or another width than before.
  Var<T> operator()(const Var<T>& x) const;
  /// Makes the parameters for inputs of this shape without computing.
  void build(const Shape& input) const;

 private:
  std::string path_;
  Options options_;
  Parameter<T> gamma_;
  Parameter<T> beta_;
};

}  // namespace xtape
