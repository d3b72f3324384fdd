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
  struct Options {
    Axes axes = {-1};
    double epsilon = 1e-3;
    bool center = true;  ///< with beta
    bool scale = true;   ///< with gamma
    Initializer beta_initializer = "zeros";
    Initializer gamma_initializer = "ones";
    bool trainable = true;
    Regularizer<T> beta_regularizer = {};
    Regularizer<T> gamma_regularizer = {};
    Regularizer<T> activity_regularizer = {};  ///< of the output, divided by its first extent
    Constraint<T> beta_constraint = {};
    Constraint<T> gamma_constraint = {};
  };

  /// Reserves "gamma" and "beta" in the scope. ValueError for a negative epsilon or no axes.
  explicit LayerNormalization(const Scope<T>& scope, Options options = {});
  LayerNormalization(LayerNormalization&&) noexcept = default;
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
