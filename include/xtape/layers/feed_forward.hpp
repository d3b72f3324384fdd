#pragma once
/// \file
/// FeedForward: the two dense layers that a Transformer applies to each position.

#include <xtape/layers/dense.hpp>
#include <xtape/layers/dropout.hpp>

namespace xtape {

/// output(dropout(activation(intermediate(x)))), with as many outputs as x has features.
template <class T> class FeedForward {
 public:
  /// Options, with their defaults.
  struct Options {
    int intermediate_dim = 0;                           ///< width between the two; positive
    Activation<T> activation = "relu";                  ///< "glu" halves the width between
    double dropout = 0.0;                               ///< rate after the activation
    bool use_bias = true;                               ///< whether a bias is added
    Initializer kernel_initializer = "glorot_uniform";  ///< initial values of the kernel
    Initializer bias_initializer = "zeros";             ///< initial values of the bias
    bool trainable = true;                   ///< whether an optimizer updates the parameters
    Regularizer<T> kernel_regularizer = {};  ///< of each kernel, by itself
    Regularizer<T> bias_regularizer = {};    ///< penalty on the bias
  };

  /// Reserves "intermediate/kernel", "intermediate/bias", "output/kernel" and "output/bias" in the
  /// scope. ValueError naming the argument for options out of range.
  FeedForward(const Scope<T>& scope, Options options);
  /// Moves. The source must not be used afterwards.
  FeedForward(FeedForward&&) noexcept = default;

  /// x (..., features) -> the same shape. `training` replaces the tape's. ShapeError naming the path
  /// for another width than before.
  Var<T> operator()(const Var<T>& x, std::optional<bool> training = std::nullopt) const;

 private:
  std::string path_;
  Dropout<T> dropout_;
  Dense<T> intermediate_;
  Dense<T> output_;
};

}  // namespace xtape
