#pragma once
// One pass over contiguous memory per call; binary operations also over broadcast operands.

#include "kernels/isa.hpp"
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

/// One per element type and instruction set (`A`, a tag of isa.hpp); the functions below choose.
template <class T, class A>
struct Elementwise {
  static void unary(Unary op, Index n, const T* x, T* y, const Parameters& p);
  static void binary(Binary op, const Loop<3>& loop, const T* a, const T* b, T* y);
  static void select(const Loop<4>& loop, const bool* condition, const T* a, const T* b, T* y);
  static void fill(Index n, T value, T* y);
  static void add_to(Index n, const T* x, T* y);
  static void scale(Index n, T factor, const T* x, T* y);
  static Index first_non_finite(Index n, const T* x);
};

template <class T>
void unary(Unary op, Index n, const T* x, T* y, const Parameters& p = {}) {
  on_isa([&](auto isa) { Elementwise<T, decltype(isa)>::unary(op, n, x, y, p); });
}

// Operands of the loop: a, b, y.
template <class T>
void binary(Binary op, const Loop<3>& loop, const T* a, const T* b, T* y) {
  on_isa([&](auto isa) { Elementwise<T, decltype(isa)>::binary(op, loop, a, b, y); });
}
// The same for three contiguous arrays of n elements.
template <class T>
void binary(Binary op, Index n, const T* a, const T* b, T* y) {
  Loop<3> loop;
  loop.push(n, {1, 1, 1});
  binary(op, loop, a, b, y);
}

// y = condition ? a : b. Operands of the loop: condition, a, b, y.
template <class T>
void select(const Loop<4>& loop, const bool* condition, const T* a, const T* b, T* y) {
  on_isa([&](auto isa) { Elementwise<T, decltype(isa)>::select(loop, condition, a, b, y); });
}

template <class T>
void fill(Index n, T value, T* y) {
  on_isa([&](auto isa) { Elementwise<T, decltype(isa)>::fill(n, value, y); });
}
// y += x
template <class T>
void add_to(Index n, const T* x, T* y) {
  on_isa([&](auto isa) { Elementwise<T, decltype(isa)>::add_to(n, x, y); });
}
// y = x * factor
template <class T>
void scale(Index n, T factor, const T* x, T* y) {
  on_isa([&](auto isa) { Elementwise<T, decltype(isa)>::scale(n, factor, x, y); });
}

// Index of the first element that is NaN or infinite, or -1.
template <class T>
Index first_non_finite(Index n, const T* x) {
  return on_isa([&](auto isa) { return Elementwise<T, decltype(isa)>::first_non_finite(n, x); });
}

}  // namespace xtape::kernels
