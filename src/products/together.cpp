#include "kernels/elementwise.hpp"
#include "kernels/isa.hpp"
#include "kernels/reduce.hpp"
#include "products/blocks.hpp"
#include "products/gemm.hpp"
#include "threads/row_halves.hpp"
#include "threads/scratch.hpp"

#include <algorithm>
#include <array>
#include <type_traits>

namespace xtape::blas {
namespace {

constexpr std::size_t kMost = 4;        // products together
constexpr Index kRightSides = 1 << 17;  // bytes of all: they stay in a core's own cache
constexpr Index kAdded = 512;           // columns of a product that is added to what is there
constexpr Index kManyRows = 256;        // of a sum over rows

template <class T>
bool worthwhile(std::span<const Product<T>> products) {
  double work = 0;
  for (const Product<T>& p : products) {
    work += static_cast<double>(p.s.m) * static_cast<double>(p.s.n) * static_cast<double>(p.s.k);
  }
  return work >= kParallelWork && products.size() <= kMost;
}

/// Of a product whose right side is as it is, or packed.
template <class T>
kernels::GemmBlock<T> whole(const Product<T>& p, const T* packed) {
  kernels::GemmBlock<T> to;
  to.m = p.s.m;
  to.n = p.s.n;
  to.k = p.s.k;
  to.a = p.a;
  to.a_row = p.s.a_row;
  to.a_column = p.s.a_column;
  to.b = packed == nullptr ? p.b : packed;
  to.b_row = packed == nullptr ? p.s.b_row : 0;
  to.accumulate = p.accumulate;
  to.bias = p.bias;
  to.c = p.c;
  to.c_row = p.s.c_row;
  return to;
}

template <class T, class A>
bool in_rows(std::span<const Product<T>> products) {
  using Kernels = kernels::GemmKernels<T, A>;
  const auto as_it_is = [](const Gemm& s) {
    return Kernels::reads_unpacked(s.n, s.k, s.b_row, s.b_column);
  };
  if (products.size() < 2 || !worthwhile(products)) return false;
  const Index m = products[0].s.m;
  Index size = 0;
  Index to_pack = 0;
  for (const Product<T>& p : products) {
    if (p.s.m != m || p.s.k == 0 || (p.add && p.s.n > kAdded)) return false;
    size += p.s.k * p.s.n;
    if (!as_it_is(p.s)) to_pack += Kernels::packed_size(p.s.k, p.s.n);
  }
  if (size * static_cast<Index>(sizeof(T)) > kRightSides) return false;
  T* packed = nullptr;
  if (to_pack > 0) {
    packed = detail::scratch<T>(0, to_pack);
    if (packed == nullptr) return false;
  }
  std::array<kernels::GemmBlock<T>, kMost> blocks;
  for (std::size_t i = 0; i < products.size(); ++i) {
    const Product<T>& p = products[i];
    if (as_it_is(p.s)) {
      blocks[i] = whole(p, static_cast<const T*>(nullptr));
      continue;
    }
    Kernels::pack(p.s.k, p.s.n, 0, p.s.n, p.b, p.s.b_row, p.s.b_column, packed);
    blocks[i] = whole(p, packed);
    packed += Kernels::packed_size(p.s.k, p.s.n);
  }
  const auto compute = [&](const Product<T>& p, kernels::GemmBlock<T> block, Index row,
                           Index rows) {
    block.a += row * block.a_row;
    block.c += row * block.c_row;
    block.m = rows;
    if (!p.add) {
      Kernels::multiply(block);
      return;
    }
    alignas(64) T part[kBlockStep * kAdded];
    T* c = block.c;
    block.c = part;
    block.c_row = block.n;
    for (Index r = 0; r < rows; r += kBlockStep) {
      block.m = std::min(kBlockStep, rows - r);
      Kernels::multiply(block);
      if (p.s.c_row == block.n) {
        kernels::Elementwise<T, A>::add_to(block.m * block.n, part, c + r * block.n);
      } else {
        for (Index i = 0; i < block.m; ++i) {
          kernels::Elementwise<T, A>::add_to(block.n, part + i * block.n, c + (r + i) * p.s.c_row);
        }
      }
      block.a += kBlockStep * block.a_row;
    }
  };
  detail::parallel_blocks((m + kBlockStep - 1) / kBlockStep, [&](Index begin, Index end) {
    const Index last = std::min(m, end * kBlockStep);
    for (Index row = begin * kBlockStep; row < last; row += kBlockRows) {
      const Index rows = std::min(kBlockRows, last - row);
      for (std::size_t i = 0; i < products.size(); ++i) compute(products[i], blocks[i], row, rows);
    }
  });
  return true;
}

// Of a product that is a sum over many rows: tiles of C.
template <class T, class A>
struct SumBlocks {
  Product<T> p;
  Index columns = 0, across = 0, count = 0;

  SumBlocks() = default;
  explicit SumBlocks(const Product<T>& product) : p(product) {
    const Blocks blocks(p.s.m, p.s.n, true);
    columns = std::min(blocks.columns, kBlockColumns);
    across = (p.s.n + columns - 1) / columns;
    count = blocks.rows * across;
  }
  /// With the terms from ... to - 1.
  void compute(Index tile, Index from, Index to) const {
    const Index row = tile / across * kBlockStep;
    const Index column = tile % across * columns;
    kernels::GemmBlock<T> block = whole(p, static_cast<const T*>(nullptr));
    block.m = std::min(kBlockStep, p.s.m - row);
    block.n = std::min(columns, p.s.n - column);
    block.k = to - from;
    block.a += row * p.s.a_row + from * p.s.a_column;
    block.b += from * p.s.b_row + column;
    block.c += row * p.s.c_row + column;
    if (block.bias != nullptr) block.bias += column;
    if (from > 0) block.accumulate = Accumulate::add;
    kernels::GemmKernels<T, A>::multiply(block);
  }
};

template <class T, class A>
bool in_sums(std::span<const Product<T>> products, std::span<const detail::ColumnSums<T>> columns) {
  if (!detail::two_threads() || products.empty() || !worthwhile(products)) return false;
  const Index rows = products[0].s.k;
  for (const Product<T>& p : products) {
    if (p.s.k != rows || rows < kManyRows || p.s.a_column == 1 || p.add ||
        !kernels::GemmKernels<T, A>::reads_unpacked(p.s.n, rows, p.s.b_row, p.s.b_column)) {
      return false;
    }
  }
  if (!detail::SumTiles<T>::fits(columns)) return false;
  std::array<SumBlocks<T, A>, kMost> blocks;
  Index tiles = 0;
  for (std::size_t i = 0; i < products.size(); ++i) {
    blocks[i] = SumBlocks<T, A>(products[i]);
    tiles += blocks[i].count;
  }
  detail::SumTiles<T> sums(columns);
  detail::parallel_row_halves(tiles + sums.tiles(), rows, detail::SumTiles<T>::kStep,
                              [&](Index tile, Index from, Index to) {
                                if (tile >= tiles) return sums.add(tile - tiles, from, to);
                                std::size_t i = 0;
                                for (; tile >= blocks[i].count; ++i) tile -= blocks[i].count;
                                blocks[i].compute(tile, from, to);
                              });
  sums.store();
  return true;
}

}  // namespace

template <class T>
bool rows_together(std::span<const Product<T>> products) {
  return kernels::on_isa([&](auto isa) {
    using A = decltype(isa);
    if constexpr (std::is_same_v<A, kernels::Baseline>) {
      return false;
    } else {
      return in_rows<T, A>(products);
    }
  });
}

template <class T>
bool sums_together(std::span<const Product<T>> products,
                   std::span<const detail::ColumnSums<T>> columns) {
  return kernels::on_isa([&](auto isa) {
    using A = decltype(isa);
    if constexpr (std::is_same_v<A, kernels::Baseline>) {
      return false;
    } else {
      return in_sums<T, A>(products, columns);
    }
  });
}

#define XTAPE_INSTANTIATE(T)                                \
  template bool rows_together(std::span<const Product<T>>); \
  template bool sums_together(std::span<const Product<T>>, std::span<const detail::ColumnSums<T>>);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::blas
