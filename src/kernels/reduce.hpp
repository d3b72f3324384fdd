#pragma once
// Reductions over any axes. Sums are accumulated in double, in a fixed order.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <cstdint>

namespace xtape::kernels {

enum class Reduce { sum, max, min, sum_of_squares };

/// Specialized per element type and instruction set (`A`, a tag of isa.hpp); the functions below choose.
template <class T, class A> struct Reductions {
  static void reduce(Reduce op, const Loop<1>& kept, const Loop<1>& reduced, const T* x, T* y);
  static void add_rows(Index rows, Index n, Index step, const T* x, double* sums);
  static void arg_extreme(bool largest, Index outer, Index length, Index inner, const T* x,
                          std::int64_t* y);
};

/// Stores the reduction of x over `reduced` for every position of `kept`, row-major into contiguous y. Both
/// loops give strides of x. A max or min with a NaN is NaN. An empty `reduced` gives 0, -inf or inf.
XTAPE_KERNEL(reduce, Reductions, reduce)

/// Adds sums[j] += x[i * step + j] over i < rows, for j < n. `sums` is aligned to 64 bytes and whole vectors
/// long. Calls for parts of the rows that begin at multiples of four give the bits of reduce().
XTAPE_KERNEL(add_rows, Reductions, add_rows)

/// Stores the index along the axis of the first largest (or smallest) element, for extents outer, length,
/// inner. A NaN counts as the extreme, as in NumPy.
XTAPE_KERNEL(arg_extreme, Reductions, arg_extreme)

}  // namespace xtape::kernels
