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
  static void copy_add(const Loop<2>& loop, const T* source, T* target);
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

/// Adds target[...] += source[...]; positions of the target may coincide.
template <class T> void copy_add(const Loop<2>& loop, const T* source, T* target) {
  on_isa([&](auto isa) { Arithmetic<T, decltype(isa)>::copy_add(loop, source, target); });
}

/// Stores y[o, k, i] = x[o, ids[k], i] for extents outer, count, inner; x has `length` entries on the axis.
template <class T>
void gather(Index outer, Index length, Index inner, const std::int64_t* ids, Index count,
            const T* x, T* y) {
  on_isa([&](auto isa) {
    Arithmetic<T, decltype(isa)>::gather(outer, length, inner, ids, count, x, y);
  });
}

/// Adds x[o, ids[k], i] += g[o, k, i], in the order of k.
template <class T>
void scatter_add(Index outer, Index length, Index inner, const std::int64_t* ids, Index count,
                 const T* g, T* x) {
  on_isa([&](auto isa) {
    Arithmetic<T, decltype(isa)>::scatter_add(outer, length, inner, ids, count, g, x);
  });
}

/// Stores y[o, j, i] = sum of x[o, 0..j, i], or of x[o, j.., i] if `reverse`; accumulated in double.
template <class T>
void cumsum(Index outer, Index length, Index inner, bool reverse, const T* x, T* y) {
  on_isa(
      [&](auto isa) { Arithmetic<T, decltype(isa)>::cumsum(outer, length, inner, reverse, x, y); });
}

/// Copies the elements with column - row <= diagonal of each matrix, or >= if `upper`, and zeros elsewhere.
template <class T>
void triangle(Index batch, Index rows, Index columns, Index diagonal, bool upper, const T* x,
              T* y) {
  on_isa([&](auto isa) {
    Arithmetic<T, decltype(isa)>::triangle(batch, rows, columns, diagonal, upper, x, y);
  });
}

}  // namespace xtape::kernels
