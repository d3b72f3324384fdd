#pragma once
// Reductions over any axes. Sums are accumulated in double, in a fixed order.

#include "kernels/loop.hpp"

#include <cstdint>

namespace xtape::kernels {

enum class Reduce { sum, max, min, sum_of_squares };

// For every position of `kept` (row-major, into consecutive y): the reduction of x over `reduced`.
// Both loops give strides of x. NaN wins a max or a min. An empty `reduced` gives 0, -inf or inf.
template <class T>
void reduce(Reduce op, const Loop<1>& kept, const Loop<1>& reduced, const T* x, T* y);

// Index along the axis of the first largest (or smallest) element, for extents outer, length, inner.
// A NaN counts as the extreme, as in NumPy.
template <class T>
void arg_extreme(bool largest, Index outer, Index length, Index inner, const T* x, std::int64_t* y);

}  // namespace xtape::kernels
