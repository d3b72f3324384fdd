#pragma once
// Loops over elements, loop nests and reductions, cut into fixed blocks for the library's threads. The cuts do not
// change a result.

#include "kernels/elementwise.hpp"
#include "threads/column_sums.hpp"
#include "threads/row_halves.hpp"

#include <algorithm>

namespace xtape::detail {

/// Elements below which a second thread is not worth waking. A block of a loop nest has about as many.
inline constexpr kernels::Index kElementGrain = 16384;

/// Calls body(begin, end) for ranges of elements that cover 0 ... count - 1. The ranges are small, so that two
/// threads get about the same number of elements.
template <class Body> void parallel_for(kernels::Index count, const Body& body) {
  parallel_for(count, count <= kElementGrain ? count : kElementGrain / 4, body);
}

/// Adds x to y.
template <class T> void parallel_add_to(kernels::Index n, const T* x, T* y) {
  parallel_for(n, [=](kernels::Index begin, kernels::Index end) {
    kernels::add_to(end - begin, x + begin, y + begin);
  });
}

/// Calls body(part of the loop nest, offset of each operand). The outermost loop is cut into parts of at least
/// `least` iterations.
template <int Operands, class Body>
void parallel_for(const kernels::Loop<Operands>& loop, const Body& body, kernels::Index least = 1) {
  using kernels::Index;
  const Index size = loop.size();
  const Index none[Operands] = {};
  if (size <= kElementGrain || loop.rank == 0) {
    body(loop, none);
    return;
  }
  const int outer = loop.rank - 1;
  const Index each = size / loop.dim[outer];
  parallel_for(loop.dim[outer], std::max<Index>(least, kElementGrain / each),
               [&](Index begin, Index end) {
                 kernels::Loop<Operands> part = loop;
                 part.dim[outer] = end - begin;
                 Index offset[Operands];
                 for (int k = 0; k < Operands; ++k) offset[k] = begin * loop.stride[outer][k];
                 body(part, offset);
               });
}

/// Sums the columns of a matrix by two threads, each of which adds its half of the rows.
template <class T> void sum_columns_by_halves(kernels::Index rows, const ColumnSums<T>& matrix) {
  using Tiles = SumTiles<T>;
  for (kernels::Index j = 0; j < matrix.n; j += Tiles::kColumns) {
    const ColumnSums<T> columns{std::min(Tiles::kColumns, matrix.n - j), matrix.step, matrix.x + j,
                                matrix.y + j};
    Tiles sums(std::span(&columns, 1));
    parallel_row_halves(sums.tiles(), rows, Tiles::kStep,
                        [&](kernels::Index tile, kernels::Index from, kernels::Index to) {
                          sums.add(tile, from, to);
                        });
    sums.store();
  }
}

/// Computes kernels::reduce, cut along the outermost loop that is kept.
template <class T>
void parallel_reduce(kernels::Reduce kind, const kernels::Loop<1>& kept,
                     const kernels::Loop<1>& reduced, const T* x, T* y) {
  using kernels::Index;
  const Index size = kept.size() * reduced.size();
  if (size <= kElementGrain || kept.rank == 0) {
    kernels::reduce(kind, kept, reduced, x, y);
    return;
  }
  const bool contiguous = kept.stride[0][0] == 1;
  const bool sums_columns = kind == kernels::Reduce::sum && kept.rank == 1 && contiguous &&
                            reduced.rank == 1 && reduced.stride[0][0] != 1;
  if (sums_columns && two_threads()) {
    sum_columns_by_halves<T>(reduced.dim[0], {kept.dim[0], reduced.stride[0][0], x, y});
    return;
  }
  const int outer = kept.rank - 1;
  const Index each = size / kept.dim[outer];
  const Index results = kept.size() / kept.dim[outer];
  // Adjacent columns are read together: 32 floats are two cache lines.
  const Index least = outer == 0 && contiguous ? 32 : 1;
  parallel_for(kept.dim[outer], std::max(least, kElementGrain / each), [&](Index begin, Index end) {
    kernels::Loop<1> part = kept;
    part.dim[outer] = end - begin;
    kernels::reduce(kind, part, reduced, x + begin * kept.stride[outer][0], y + begin * results);
  });
}

}  // namespace xtape::detail
