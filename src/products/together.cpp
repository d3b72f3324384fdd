// Several products in one job.

#include "base/instantiate.hpp"
#include "kernels/elementwise.hpp"
#include "products/blocks.hpp"
#include "products/choice.hpp"
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

/// Returns the kernels of the products, which are rounded alike; null where they go to BLAS.
template <class T> const GemmTable<T>* own_kernels_of(std::span<const Product<T>> products) {
  return products.empty() ? nullptr : own_kernels<T>(products[0].rounding);
}

template <class T> bool worthwhile(std::span<const Product<T>> products) {
  double all = 0;
  for (const Product<T>& p : products) all += work(p);
  return all >= kParallelWork && products.size() <= kMost;
}

template <class T> bool in_place(const GemmTable<T>& kernels, const Product<T>& p) {
  return kernels.reads_unpacked(p.n, p.k, p.b_row, p.b_column);
}

/// Returns whether the products can share rows. `to_pack` gets the elements of their packed right sides.
template <class T>
bool can_share_rows(const GemmTable<T>& kernels, std::span<const Product<T>> products,
                    Index& to_pack) {
  if (products.size() < 2 || !worthwhile(products)) return false;
  Index elements = 0;
  for (const Product<T>& p : products) {
    if (p.m != products[0].m || p.k == 0 || (p.add_rounded && p.n > kAddedColumns)) return false;
    elements += p.k * p.n;
    if (!in_place(kernels, p)) to_pack += kernels.packed_size(p.k, p.n);
  }
  return elements * static_cast<Index>(sizeof(T)) <= kBytesOfRightSides;
}

/// Computes C += round(A B): a few rows at a time go to a buffer in L1 and from there to C.
template <class T> void multiply_and_add(const GemmTable<T>& kernels, kernels::GemmBlock<T> block) {
  constexpr Index kMostRows = 16;
  alignas(64) T part[kMostRows * kAddedColumns];
  const Index step = std::min(kernels.block.step, kMostRows);
  T* c = block.c;
  const Index c_row = block.c_row;
  const Index rows = block.m;
  block.c = part;
  block.c_row = block.n;
  for (Index row = 0; row < rows; row += step) {
    block.m = std::min(step, rows - row);
    kernels.multiply(block);
    // One addition for all rows where C has no gap between them.
    const bool dense = c_row == block.n;
    const Index count = dense ? 1 : block.m;
    const Index length = dense ? block.m * block.n : block.n;
    for (Index i = 0; i < count; ++i) {
      kernels::add_to(length, part + i * block.n, c + (row + i) * c_row);
    }
    block.a += step * block.a_row;
  }
}

template <class T>
bool share_rows(const GemmTable<T>& kernels, std::span<const Product<T>> products) {
  Index to_pack = 0;
  if (!can_share_rows(kernels, products, to_pack)) return false;
  T* packed = nullptr;
  if (to_pack > 0) {
    packed = detail::scratch<T>(0, to_pack);
    if (packed == nullptr) return false;
  }
  std::array<kernels::GemmBlock<T>, kMost> blocks;
  for (std::size_t i = 0; i < products.size(); ++i) {
    const Product<T>& p = products[i];
    if (in_place(kernels, p)) {
      blocks[i] = block_of(p);
      continue;
    }
    kernels.pack(p.k, p.n, 0, p.n, p.b, p.b_row, p.b_column, packed);
    blocks[i] = block_of<T>(p, packed);
    packed += kernels.packed_size(p.k, p.n);
  }
  const Index m = products[0].m;
  const Index step = kernels.block.step;
  const Index rows = kernels.block.rows;
  detail::parallel_blocks((m + step - 1) / step, [&](Index begin, Index end) {
    const Index last = std::min(m, end * step);
    for (Index row = begin * step; row < last; row += rows) {
      for (std::size_t i = 0; i < products.size(); ++i) {
        kernels::GemmBlock<T> block = blocks[i];
        block.m = std::min(rows, last - row);
        block.a += row * block.a_row;
        block.c += row * block.c_row;
        if (products[i].add_rounded) {
          multiply_and_add(kernels, block);
        } else {
          kernels.multiply(block);
        }
      }
    }
  });
  return true;
}

template <class T>
bool can_split_k(const GemmTable<T>& kernels, std::span<const Product<T>> products,
                 std::span<const detail::ColumnSums<T>> columns) {
  if (!detail::two_threads() || products.empty() || !worthwhile(products)) return false;
  for (const Product<T>& p : products) {
    if (p.k != products[0].k || p.k < kLargeK || p.a_column == 1 || p.add_rounded ||
        !in_place(kernels, p)) {
      return false;
    }
  }
  return detail::SumTiles<T>::fits(columns);
}

/// A product cut into tiles of C, for two threads that each add the terms of their half of k.
template <class T> struct Tiles {
  Product<T> p;
  Index step = 0, columns = 0, across = 0, count = 0;

  Tiles() = default;
  Tiles(const Product<T>& product, const kernels::BlockSize& size) : p(product), step(size.step) {
    const Blocks blocks(p.m, p.n, size, true);
    columns = blocks.columns;
    across = blocks.across;
    count = blocks.count();
  }
  [[nodiscard]] Product<T> at(Index tile, Range terms) const {
    const Index row = tile / across * step;
    const Index column = tile % across * columns;
    return part_of(p, {row, std::min(p.m, row + step)}, {column, std::min(p.n, column + columns)},
                   terms);
  }
};

template <class T>
bool split_k(const GemmTable<T>& kernels, std::span<const Product<T>> products,
             std::span<const detail::ColumnSums<T>> columns) {
  if (!can_split_k(kernels, products, columns)) return false;
  std::array<Tiles<T>, kMost> tiles;
  Index of_products = 0;
  for (std::size_t i = 0; i < products.size(); ++i) {
    tiles[i] = Tiles<T>(products[i], kernels.block);
    of_products += tiles[i].count;
  }
  detail::SumTiles<T> sums(columns);
  detail::parallel_row_halves(of_products + sums.tiles(), products[0].k, detail::SumTiles<T>::kStep,
                              [&](Index tile, Index from, Index to) {
                                if (tile >= of_products)
                                  return sums.add(tile - of_products, from, to);
                                std::size_t i = 0;
                                for (; tile >= tiles[i].count; ++i) tile -= tiles[i].count;
                                kernels.multiply(block_of(tiles[i].at(tile, {from, to})));
                              });
  sums.store();
  return true;
}

}  // namespace

template <class T> bool multiply_sharing_rows(std::span<const Product<T>> products) {
  const GemmTable<T>* own = own_kernels_of(products);
  return own != nullptr && share_rows(*own, products);
}
XTAPE_FOR_REALS(multiply_sharing_rows);

template <class T>
bool multiply_split_k(std::span<const Product<T>> products,
                      std::span<const detail::ColumnSums<T>> columns) {
  const GemmTable<T>* own = own_kernels_of(products);
  return own != nullptr && split_k(*own, products, columns);
}
XTAPE_FOR_REALS(multiply_split_k);

}  // namespace xtape::products
