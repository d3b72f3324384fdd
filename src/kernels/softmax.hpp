#pragma once
// Softmax and its logarithm over rows of n contiguous elements.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

namespace xtape::kernels {

/// Specialized per element type and instruction set (`A`, a tag of isa.hpp); the functions below choose.
template <class T, class A> struct Softmax {
  static void row(bool log, Index n, const T* x, const bool* mask, Index step, T* y);
  static void rows(bool log, Index rows, Index n, const T* x, T* y);
  static void gradient(Index rows, Index n, const T* y, const T* g, T* dx);
};

/// Stores y = softmax(x) of one row, or its logarithm. Elements whose mask is false take no part. `mask` may
/// be null; its elements are `step` apart.
template <class T>
void softmax_row(bool log, Index n, const T* x, const bool* mask, Index step, T* y) {
  on_isa([&](auto isa) { Softmax<T, decltype(isa)>::row(log, n, x, mask, step, y); });
}
/// Stores softmax_row() of several rows, without a mask.
template <class T> void softmax_rows(bool log, Index rows, Index n, const T* x, T* y) {
  on_isa([&](auto isa) { Softmax<T, decltype(isa)>::rows(log, rows, n, x, y); });
}

/// Stores dx = y * (g - sum(y * g)), and 0 where y is 0, whatever g holds.
template <class T> void softmax_gradient(Index rows, Index n, const T* y, const T* g, T* dx) {
  on_isa([&](auto isa) { Softmax<T, decltype(isa)>::gradient(rows, n, y, g, dx); });
}

}  // namespace xtape::kernels
