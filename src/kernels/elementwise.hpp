#pragma once
// One pass over contiguous memory per call; binary operations also over broadcast operands.

#include "kernels/loop.hpp"

namespace xtape::kernels {

// `Slope` is the first derivative of the function before it, `Slope2` the second.
enum class Unary {
  negate,
  abs,
  sign,
  square,
  sqrt,
  rsqrt,
  exp,
  expm1,
  log,
  log1p,
  sin,
  cos,
  tanh,
  sigmoid,
  erf,
  reciprocal,
  relu,
  relu_slope,  // p: negative slope, maximum, threshold
  elu,
  elu_slope,
  elu_slope2,  // p: alpha, scale of the whole, scale inside exp
  gelu,
  gelu_slope,
  gelu_slope2,
  gelu_tanh,
  gelu_tanh_slope,
  gelu_tanh_slope2,
  silu,
  silu_slope,
  silu_slope2,
  softplus,
  softsign,
  softsign_slope,
  softsign_slope2,
  mish,
  mish_slope,
  mish_slope2,
  squareplus,
  squareplus_slope,
  squareplus_slope2,  // p: b
  sparse_plus,
  sparse_plus_slope,
  sparse_plus_slope2,
  hard_sigmoid,
  hard_sigmoid_slope,  // p: gain, shift
  hard_silu,
  hard_silu_slope,
  hard_silu_slope2,
  hard_shrink,
  hard_shrink_slope,  // p: threshold
  soft_shrink,        // p: threshold
  threshold,
  threshold_slope,  // p: threshold, default
  clip,
  clip_slope,  // p: low, high
  power,       // p: exponent
};

struct Parameters {
  double p[3] = {0, 0, 0};
};

template <class T>
void unary(Unary op, Index n, const T* x, T* y, Parameters p = {});

enum class Binary {
  add,
  subtract,
  multiply,
  divide,
  power,
  maximum,
  minimum,
  less,
  less_equal,
  equal,  // 1 or 0
};

// Operands of the loop: a, b, y.
template <class T>
void binary(Binary op, const Loop<3>& loop, const T* a, const T* b, T* y);
// The same for three contiguous arrays of n elements.
template <class T>
void binary(Binary op, Index n, const T* a, const T* b, T* y);

// y = condition ? a : b. Operands of the loop: condition, a, b, y.
template <class T>
void select(const Loop<4>& loop, const bool* condition, const T* a, const T* b, T* y);

template <class T>
void fill(Index n, T value, T* y);
// y += x
template <class T>
void add_to(Index n, const T* x, T* y);
// y = x * factor
template <class T>
void scale(Index n, T factor, const T* x, T* y);

// Index of the first element that is NaN or infinite, or -1.
template <class T>
Index first_non_finite(Index n, const T* x);

}  // namespace xtape::kernels
