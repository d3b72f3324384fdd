#pragma once
// Elementwise kernels: one pass over memory per call. Operands of binary kernels may broadcast.

#include "kernels/functions.hpp"
#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

namespace xtape::kernels {

/// Options of a function of functions.hpp: its p0, p1 and p2.
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

/// The kernels of an element type and an instruction set `A`, a tag of isa.hpp. The functions below choose.
template <class T, class A> struct UnaryFunctions {
  static void apply(Unary f, Index n, const T* x, T* y, const Parameters& p);
};
template <class T, class A> struct Elementwise {
  static void binary(Binary op, const Loop<3>& loop, const T* a, const T* b, T* y);
  static void select(const Loop<4>& loop, const bool* condition, const T* a, const T* b, T* y);
  static void fill(Index n, T value, T* y);
  static void add_to(Index n, const T* x, T* y);
  static void scale(Index n, T factor, const T* x, T* y);
  static Index first_non_finite(Index n, const T* x);
};

// y = f(x)
template <class T> void unary(Unary f, Index n, const T* x, T* y, const Parameters& p = {}) {
  on_isa([&](auto isa) { UnaryFunctions<T, decltype(isa)>::apply(f, n, x, y, p); });
}

// y = a op b. Operands of the loop: a, b, y.
template <class T> void binary(Binary op, const Loop<3>& loop, const T* a, const T* b, T* y) {
  on_isa([&](auto isa) { Elementwise<T, decltype(isa)>::binary(op, loop, a, b, y); });
}
// y = a op b for contiguous arrays of n elements.
template <class T> void binary(Binary op, Index n, const T* a, const T* b, T* y) {
  Loop<3> loop;
  loop.push(n, {1, 1, 1});
  binary(op, loop, a, b, y);
}

// y = condition ? a : b. Operands of the loop: condition, a, b, y.
template <class T>
void select(const Loop<4>& loop, const bool* condition, const T* a, const T* b, T* y) {
  on_isa([&](auto isa) { Elementwise<T, decltype(isa)>::select(loop, condition, a, b, y); });
}

XTAPE_KERNEL(fill, Elementwise, fill)
// y += x
XTAPE_KERNEL(add_to, Elementwise, add_to)
// y = x * factor
XTAPE_KERNEL(scale, Elementwise, scale)

// Returns the index of the first element that is NaN or infinite, or -1.
XTAPE_KERNEL(first_non_finite, Elementwise, first_non_finite)

}  // namespace xtape::kernels
