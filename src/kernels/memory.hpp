#pragma once
// Kernels that move elements: transposes, slices, broadcasts, gathers and their gradients.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <cstdint>

namespace xtape::kernels {

/// Specialized per element type (float, double, bool or int64) and instruction set (`A`, a tag of isa.hpp);
/// the functions below choose.
template <class T, class A> struct Memory {
  static void copy(const Loop<2>& loop, const T* source, T* target);
};
template <class T, class A> struct Arithmetic {  // float or double
  static void gather(Index outer, Index length, Index inner, const std::int64_t* ids, Index count,
                     const T* x, T* y);
  static void scatter_add(Index outer, Index length, Index inner, const std::int64_t* ids,
                          Index count, const T* g, T* x);
  static void cumsum(Index outer, Index length, Index inner, bool reverse, const T* x, T* y);
  static void triangle(Index batch, Index rows, Index columns, Index diagonal, bool upper,
                       const T* x, T* y);
};

/// Stores target[...] = source[...]. Operands of the loop: source, target. T is float, double, bool or int64.
template <class T> void copy(const Loop<2>& loop, const T* source, T* target) {
  on_isa([&](auto isa) { Memory<T, decltype(isa)>::copy(loop, source, target); });
}

/// Stores y[o, k, i] = x[o, ids[k], i] for extents outer, count, inner; x has `length` entries on the axis.
XTAPE_KERNEL(gather, Arithmetic, gather)

/// Adds x[o, ids[k], i] += g[o, k, i], in the order of k.
XTAPE_KERNEL(scatter_add, Arithmetic, scatter_add)

/// Stores y[o, j, i] = sum of x[o, 0..j, i], or of x[o, j.., i] if `reverse`; accumulated in double.
XTAPE_KERNEL(cumsum, Arithmetic, cumsum)

/// Copies the elements with column - row <= diagonal of each matrix, or >= if `upper`, and zeros elsewhere.
XTAPE_KERNEL(triangle, Arithmetic, triangle)

}  // namespace xtape::kernels
