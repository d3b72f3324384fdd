#pragma once
// Moving elements between layouts: transposes, slices, broadcasts, gathers and their gradients.

#include "kernels/loop.hpp"

#include <cstdint>

namespace xtape::kernels {

// target[...] = source[...]. Operands of the loop: source, target. T is float, double, bool or int64.
template <class T>
void copy(const Loop<2>& loop, const T* source, T* target);

// target[...] += source[...]; positions of target may coincide.
template <class T>
void copy_add(const Loop<2>& loop, const T* source, T* target);

// y[o, k, i] = x[o, ids[k], i] for extents outer, count, inner; x has `length` entries on the axis.
template <class T>
void gather(Index outer, Index length, Index inner, const std::int64_t* ids, Index count,
            const T* x, T* y);

// x[o, ids[k], i] += g[o, k, i], in the order of k.
template <class T>
void scatter_add(Index outer, Index length, Index inner, const std::int64_t* ids, Index count,
                 const T* g, T* x);

// y[o, j, i] = sum of x[o, 0..j, i], or of x[o, j.., i] when `reverse`; accumulated in double.
template <class T>
void cumsum(Index outer, Index length, Index inner, bool reverse, const T* x, T* y);

// Keeps column - row <= diagonal of each matrix (lower), or >= (upper); zeros elsewhere.
template <class T>
void triangle(Index batch, Index rows, Index columns, Index diagonal, bool upper, const T* x, T* y);

}  // namespace xtape::kernels
