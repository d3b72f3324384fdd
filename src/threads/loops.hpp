#pragma once
// Loop nests cut into fixed blocks for the library's threads. No element depends on where the cuts are.

#include "kernels/elementwise.hpp"
#include "kernels/loop.hpp"
#include "kernels/reduce.hpp"
#include "threads/column_sums.hpp"
#include "threads/row_halves.hpp"

#include <algorithm>

namespace xtape::detail {

/// Arrays of no more elements are not worth waking another thread; of a nest of loops, one thread takes
/// about as many at a time.
inline constexpr kernels::Index kElementGrain = 16384;

/// Calls body(begin, end) over 0 ... count elements. In parts so small that two threads have as many
/// each, or nearly.
template <class Body>
void parallel_for(kernels::Index count, const Body& body) {
  parallel_for(count, count <= kElementGrain ? count : kElementGrain / 4, body);
}

/// kernels::add_to: y += x.
template <class T>
void parallel_add_to(kernels::Index n, const T* x, T* y) {
  parallel_for(n, [=](kernels::Index begin, kernels::Index end) {
    kernels::add_to(end - begin, x + begin, y + begin);
  });
}

/// Calls body(part of the loop, offset of every operand), cut along the outermost loop into parts of at
/// least so many.
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

/// kernels::reduce, cut along the outermost loop that is kept.
template <class T>
void parallel_reduce(kernels::Reduce kind, const kernels::Loop<1>& kept,
                     const kernels::Loop<1>& reduced, const T* x, T* y) {
  using kernels::Index;
  const Index size = kept.size() * reduced.size();
  if (size <= kElementGrain || kept.rank == 0) {
    kernels::reduce(kind, kept, reduced, x, y);
    return;
  }
  if (kind == kernels::Reduce::sum && kept.rank == 1 && kept.stride[0][0] == 1 &&
      reduced.rank == 1 && reduced.stride[0][0] != 1 && two_threads()) {
    using Tiles = SumTiles<T>;
    for (Index j = 0; j < kept.dim[0]; j += Tiles::kColumns) {
      const ColumnSums<T> columns{std::min(Tiles::kColumns, kept.dim[0] - j), reduced.stride[0][0],
                                  x + j, y + j};
      Tiles sums(std::span(&columns, 1));
      parallel_row_halves(sums.tiles(), reduced.dim[0], Tiles::kStep,
                          [&](Index tile, Index from, Index to) { sums.add(tile, from, to); });
      sums.store();
    }
    return;
  }
  const int outer = kept.rank - 1;
  const Index each = size / kept.dim[outer];
  const Index results = kept.size() / kept.dim[outer];
  // Columns side by side are read together: two lines of the cache, of floats.
  const Index least = outer == 0 && kept.stride[0][0] == 1 ? 32 : 1;
  parallel_for(kept.dim[outer], std::max(least, kElementGrain / each), [&](Index begin, Index end) {
    kernels::Loop<1> part = kept;
    part.dim[outer] = end - begin;
    kernels::reduce(kind, part, reduced, x + begin * kept.stride[outer][0], y + begin * results);
  });
}

}  // namespace xtape::detail
