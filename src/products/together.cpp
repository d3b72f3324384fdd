// Several products in one job.

#include "base/instantiate.hpp"
#include "kernels/elementwise.hpp"
#include "products/blocks.hpp"
#include "threads/row_halves.hpp"
#include "threads/scratch.hpp"

#include <algorithm>
#include <array>
#include <type_traits>

namespace xtape::products {
namespace {

constexpr std::size_t kMost = 4;               // products in one job
constexpr Index kBytesOfRightSides = 1 << 17;  // in all, so that they stay in a core's L2
constexpr Index kAddedColumns = 512;           // of a product with add_rounded
constexpr Index kLargeK = 256;                 // for multiply_split_k()

template <class T> bool worthwhile(std::span<const Product<T>> products) {
  double all = 0;
  for (const Product<T>& p : products) all += work(p);
  return all >= kParallelWork && products.size() <= kMost;
}

template <class T, class A> bool in_place(const Product<T>& p) {
  return kernels::GemmKernels<T, A>::reads_unpacked(p.n, p.k, p.b_row, p.b_column);
}

/// Returns whether the products can share rows. `to_pack` gets the elements of their packed right sides.
template <class T, class A>
bool can_share_rows(std::span<const Product<T>> products, Index& to_pack) {
  if (products.size() < 2 || !worthwhile(products)) return false;
  Index elements = 0;
  for (const Product<T>& p : products) {
    if (p.m != products[0].m || p.k == 0 || (p.add_rounded && p.n > kAddedColumns)) return false;
    elements += p.k * p.n;
    if (!in_place<T, A>(p)) to_pack += kernels::GemmKernels<T, A>::packed_size(p.k, p.n);
  }
  return elements * static_cast<Index>(sizeof(T)) <= kBytesOfRightSides;
}

/// Computes C += round(A B): a few rows at a time go to a buffer in L1 and from there to C.
template <class T, class A> void multiply_and_add(kernels::GemmBlock<T> block) {
  alignas(64) T part[kBlockStep * kAddedColumns];
  T* c = block.c;
  const Index c_row = block.c_row;
  const Index rows = block.m;
  block.c = part;
  block.c_row = block.n;
  for (Index row = 0; row < rows; row += kBlockStep) {
    block.m = std::min(kBlockStep, rows - row);
    kernels::GemmKernels<T, A>::multiply(block);
    // One addition for all rows where C has no gap between them.
    const bool dense = c_row == block.n;
    const Index count = dense ? 1 : block.m;
    const Index length = dense ? block.m * block.n : block.n;
    for (Index i = 0; i < count; ++i) {
      kernels::Elementwise<T, A>::add_to(length, part + i * block.n, c + (row + i) * c_row);
    }
    block.a += kBlockStep * block.a_row;
  }
}

template <class T, class A> bool share_rows(std::span<const Product<T>> products) {
  using Kernels = kernels::GemmKernels<T, A>;
  Index to_pack = 0;
  if (!can_share_rows<T, A>(products, to_pack)) return false;
  T* packed = nullptr;
  if (to_pack > 0) {
    packed = detail::scratch<T>(0, to_pack);
    if (packed == nullptr) return false;
  }
  std::array<kernels::GemmBlock<T>, kMost> blocks;
  for (std::size_t i = 0; i < products.size(); ++i) {
    const Product<T>& p = products[i];
    if (in_place<T, A>(p)) {
      blocks[i] = block_of(p);
      continue;
    }
    Kernels::pack(p.k, p.n, 0, p.n, p.b, p.b_row, p.b_column, packed);
    blocks[i] = block_of<T>(p, packed);
    packed += Kernels::packed_size(p.k, p.n);
  }
  const Index m = products[0].m;
  detail::parallel_blocks((m + kBlockStep - 1) / kBlockStep, [&](Index begin, Index end) {
    const Index last = std::min(m, end * kBlockStep);
    for (Index row = begin * kBlockStep; row < last; row += kBlockRows) {
      for (std::size_t i = 0; i < products.size(); ++i) {
        kernels::GemmBlock<T> block = blocks[i];
        block.m = std::min(kBlockRows, last - row);
        block.a += row * block.a_row;
        block.c += row * block.c_row;
        if (products[i].add_rounded) {
          multiply_and_add<T, A>(block);
        } else {
          Kernels::multiply(block);
        }
      }
    }
  });
  return true;
}

template <class T, class A>
bool can_split_k(std::span<const Product<T>> products,
                 std::span<const detail::ColumnSums<T>> columns) {
  if (!detail::two_threads() || products.empty() || !worthwhile(products)) return false;
  for (const Product<T>& p : products) {
    if (p.k != products[0].k || p.k < kLargeK || p.a_column == 1 || p.add_rounded ||
        !in_place<T, A>(p)) {
      return false;
    }
  }
  return detail::SumTiles<T>::fits(columns);
}

/// A product cut into tiles of C, for two threads that each add the terms of their half of k.
template <class T> struct Tiles {
  Product<T> p;
  Index columns = 0, across = 0, count = 0;

  Tiles() = default;
  explicit Tiles(const Product<T>& product) : p(product) {
    const Blocks blocks(p.m, p.n, true);
    columns = std::min(blocks.columns, kBlockColumns);
    across = (p.n + columns - 1) / columns;
    count = blocks.rows * across;
  }
  [[nodiscard]] Product<T> at(Index tile, Range terms) const {
    const Index row = tile / across * kBlockStep;
    const Index column = tile % across * columns;
    return part_of(p, {row, std::min(p.m, row + kBlockStep)},
                   {column, std::min(p.n, column + columns)}, terms);
  }
};

template <class T, class A>
bool split_k(std::span<const Product<T>> products, std::span<const detail::ColumnSums<T>> columns) {
  if (!can_split_k<T, A>(products, columns)) return false;
  std::array<Tiles<T>, kMost> tiles;
  Index of_products = 0;
  for (std::size_t i = 0; i < products.size(); ++i) {
    tiles[i] = Tiles<T>(products[i]);
    of_products += tiles[i].count;
  }
  detail::SumTiles<T> sums(columns);
  detail::parallel_row_halves(
      of_products + sums.tiles(), products[0].k, detail::SumTiles<T>::kStep,
      [&](Index tile, Index from, Index to) {
        if (tile >= of_products) return sums.add(tile - of_products, from, to);
        std::size_t i = 0;
        for (; tile >= tiles[i].count; ++i) tile -= tiles[i].count;
        kernels::GemmKernels<T, A>::multiply(block_of(tiles[i].at(tile, {from, to})));
      });
  sums.store();
  return true;
}

/// Returns f(tag of the instruction set), or false where products go to BLAS.
template <class F> bool with_own_kernels(const F& f) {
  return kernels::on_isa([&](auto isa) {
    if constexpr (!kernels::kFuses<decltype(isa)>) {
      return false;
    } else {
      return f(isa);
    }
  });
}

}  // namespace

template <class T> bool multiply_sharing_rows(std::span<const Product<T>> products) {
  return with_own_kernels([&](auto isa) { return share_rows<T, decltype(isa)>(products); });
}
XTAPE_FOR_REALS(multiply_sharing_rows);

template <class T>
bool multiply_split_k(std::span<const Product<T>> products,
                      std::span<const detail::ColumnSums<T>> columns) {
  return with_own_kernels([&](auto isa) { return split_k<T, decltype(isa)>(products, columns); });
}
XTAPE_FOR_REALS(multiply_split_k);

}  // namespace xtape::products
