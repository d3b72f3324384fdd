#pragma once
// How a product is cut into blocks of C, which threads share.

#include "products/gemm.hpp"
#include "threads/pool.hpp"

#include <algorithm>

namespace xtape::products {

inline constexpr double kParallelWork = 1
                                        << 18U;  // multiplications below which one thread does all
inline constexpr Index kNarrowColumns = 32;
inline constexpr Index kPanelColumns = 1024;  // of C at a time
inline constexpr Index kBlocksOfThread = 8;   // or more, so that threads end at about the same time

/// Returns the number of multiplications, at least m n.
inline double work(const Layout& p) {
  return static_cast<double>(p.m) * static_cast<double>(p.n) *
         static_cast<double>(std::max<Index>(p.k, 1));
}

/// Blocks of size.step rows of at most kPanelColumns columns; of fewer where there are few rows for several threads.
struct Blocks {
  Index rows, across;  // number of blocks
  Index columns;       // of one block

  Blocks(Index m, Index n, const kernels::BlockSize& size, bool parallel)
      : rows((m + size.step - 1) / size.step), across(1), columns(n) {
    const Index enough = kBlocksOfThread * static_cast<Index>(detail::pool_threads());
    if (!parallel || rows >= 2 * enough) return;
    columns = kPanelColumns;
    while (columns > kNarrowColumns && rows * ((n + columns - 1) / columns) < enough) {
      columns /= 2;
    }
    across = (n + columns - 1) / columns;
  }
  [[nodiscard]] Index count() const { return rows * across; }
};

struct Range {
  Index begin, end;
};

/// Returns the product of a range of rows of A and of columns of B, with a range of the k terms. Terms after the
/// first are added to what is in C.
template <class T> Product<T> part_of(const Product<T>& p, Range rows, Range columns, Range terms) {
  Product<T> part = p;
  part.m = rows.end - rows.begin;
  part.n = columns.end - columns.begin;
  part.k = terms.end - terms.begin;
  part.a += rows.begin * p.a_row + terms.begin * p.a_column;
  part.b += terms.begin * p.b_row + columns.begin * p.b_column;
  part.c += rows.begin * p.c_row + columns.begin;
  if (p.bias != nullptr) part.bias += columns.begin;
  if (terms.begin > 0) part.accumulate = Accumulate::add;
  return part;
}

/// Returns the kernel's argument for a product whose B is packed.
template <class T> kernels::GemmBlock<T> block_of(const Product<T>& p, const T* packed) {
  return {p.m, p.n, p.k, p.a, p.a_row, p.a_column, packed, 0, p.accumulate, p.bias, p.c, p.c_row};
}

/// Returns the kernel's argument for a product whose B the kernel reads in place (GemmKernels::reads_unpacked).
template <class T> kernels::GemmBlock<T> block_of(const Product<T>& p) {
  kernels::GemmBlock<T> block = block_of(p, p.b);
  block.b_row = p.b_row;
  return block;
}

}  // namespace xtape::products
