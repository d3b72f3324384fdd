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
XTAPE_KERNEL(softmax_row, Softmax, row)
/// Stores softmax_row() of several rows, without a mask.
XTAPE_KERNEL(softmax_rows, Softmax, rows)

/// Stores dx = y * (g - sum(y * g)), and 0 where y is 0, whatever g holds.
XTAPE_KERNEL(softmax_gradient, Softmax, gradient)

}  // namespace xtape::kernels
