#include "products/gemm.hpp"

#include "base/instantiate.hpp"
#include "products/blocks.hpp"
#include "products/choice.hpp"
#include "products/kept.hpp"
#include "threads/pool.hpp"
#include "threads/scratch.hpp"

#include <algorithm>
#include <type_traits>

#include <cblas.h>

// Weak, so that a CBLAS other than OpenBLAS links too.
extern "C" __attribute__((weak)) void openblas_set_num_threads(int);

namespace xtape::products {
namespace {

constexpr Index kPanelRows = 256;   // of B: with kPanelColumns floats each, half of an L2 of 2 MiB
constexpr Index kPackedLines = 32;  // rows or columns of B in one block of packing
constexpr Index kBlasRows = 64;     // rows of C in one call of BLAS

/// Returns the product at position i of the batch.
template <class T>
Product<T> product_at(const Product<T>& p, const kernels::Loop<3>& batch, Index i) {
  Product<T> one = p;
  for (int axis = 0; axis < batch.rank; ++axis) {
    const Index at = i % batch.dim[axis];
    i /= batch.dim[axis];
    one.a += at * batch.stride[axis][0];
    one.b += at * batch.stride[axis][1];
    one.c += at * batch.stride[axis][2];
  }
  return one;
}

/// Calls body(begin, end) for runs of blocks, on the library's threads if `parallel`.
template <class Body> void share(bool parallel, Index blocks, const Body& body) {
  if (parallel) {
    detail::parallel_blocks(blocks, body);
  } else {
    body(Index{0}, blocks);
  }
}

/// Packs all of B.
template <class T>
void pack(const GemmTable<T>& kernels, const Product<T>& p, bool parallel, T* packed) {
  const bool row_major = p.b_column == 1;
  const Index lines = row_major ? p.k : p.n;
  share(parallel, (lines + kPackedLines - 1) / kPackedLines, [&](Index begin, Index end) {
    const Index first = begin * kPackedLines;
    const Index last = std::min(lines, end * kPackedLines);
    if (row_major) {
      kernels.pack_rows(p.k, p.n, first, last, p.b, p.b_row, packed);
    } else {
      kernels.pack(p.k, p.n, first, last, p.b, p.b_row, p.b_column, packed);
    }
  });
}

/// Computes a product block by block; `packed` is null where the kernel reads B in place.
template <class T>
void multiply_blocks(const GemmTable<T>& kernels, const Product<T>& p, bool parallel,
                     const T* packed) {
  const kernels::BlockSize& size = kernels.block;
  const Blocks blocks(p.m, p.n, size, parallel);
  // A thread computes blocks below each other together.
  const Index together = blocks.across == 1 ? size.rows / size.step : 1;
  share(parallel, blocks.count(), [&](Index begin, Index end) {
    for (Index i = begin; i < end; i += together) {
      const Index row = i / blocks.across * size.step;
      const Range rows{row, std::min(p.m, row + std::min(together, end - i) * size.step)};
      const Index column = i % blocks.across * blocks.columns;
      const Index last = std::min(p.n, column + blocks.columns);
      const Product<T> part = part_of(p, rows, {column, last}, {0, p.k});
      kernels.multiply(packed == nullptr
                           ? block_of(part)
                           : block_of(part, packed + kernels.packed_size(p.k, column)));
    }
  });
}

/// Computes one product, with B packed panel by panel unless the kernel reads it in place. Returns false, before
/// any work, where there is no memory for a panel.
template <class T> bool multiply_panels(const GemmTable<T>& kernels, const Product<T>& p) {
  if (multiply_split_k<T>(std::span(&p, 1), {})) return true;
  const bool parallel = work(p) >= kParallelWork && detail::pool_threads() > 1;
  const bool in_place = kernels.reads_unpacked(p.n, p.k, p.b_row, p.b_column);
  const auto size = [&](const Layout& panel) { return kernels.packed_size(panel.k, panel.n); };
  T* space = nullptr;
  if (!in_place) {
    const Product<T> largest =
        part_of(p, {0, p.m}, {0, std::min(kPanelColumns, p.n)}, {0, std::min(kPanelRows, p.k)});
    space = detail::scratch<T>(0, size(largest));
    if (space == nullptr) return false;
  }
  KeptPanels<T>* const kept = KeptPanels<T>::in_use();
  for (Index j = 0; j < p.n; j += kPanelColumns) {
    const Range columns{j, std::min(p.n, j + kPanelColumns)};
    Index k = 0;
    do {  // also once for k = 0, because C begins with zeros or a bias
      const Range terms{k, in_place ? p.k : std::min(p.k, k + kPanelRows)};
      const Product<T> panel = part_of(p, {0, p.m}, columns, terms);
      const T* packed = nullptr;
      if (kept != nullptr && !in_place) {
        packed = kept->packed(&kernels, panel, size(panel),
                              [&](T* to) { pack(kernels, panel, parallel, to); });
      }
      if (packed == nullptr && !in_place) {
        pack(kernels, panel, parallel, space);
        packed = space;
      }
      multiply_blocks(kernels, panel, parallel, packed);
      k = terms.end;
    } while (k < p.k);
  }
  return true;
}

template <class T>
void with_own_kernels(const GemmTable<T>& kernels, const Product<T>& p,
                      const kernels::Loop<3>& batch) {
  const Index count = batch.size();
  const double each = work(p);
  // Few products share the threads within each, many among each other.
  const bool within = count < 4 || each * static_cast<double>(count) < kParallelWork;
  const Index group =
      within ? count : std::max<Index>(1, static_cast<Index>(kParallelWork / 8 / each));
  detail::parallel_for(count, group, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Product<T> one = product_at(p, batch, i);
      if (each >= kSmallWork && multiply_panels(kernels, one)) continue;
      kernels.small(block_of<T>(one, nullptr), one.b, one.b_row, one.b_column);
    }
  });
}

// BLAS takes int. Larger extents are cut before or do not fit in memory.
int narrow(Index i) { return static_cast<int>(i); }

template <class T> void call_blas(const Product<T>& p, T beta) {
  const bool at = p.a_column != 1 && p.k > 1;
  const bool bt = p.b_column != 1 && p.n > 1;
  const auto ta = at ? CblasTrans : CblasNoTrans;
  const auto tb = bt ? CblasTrans : CblasNoTrans;
  // BLAS wants strides of at least a row, also across an extent of 1, where they mean nothing.
  const int lda = narrow(std::max(at ? p.a_column : p.a_row, at ? p.m : p.k));
  const int ldb = narrow(std::max(bt ? p.b_column : p.b_row, bt ? p.k : p.n));
  const int ldc = narrow(std::max(p.c_row, p.n));
  const int m = narrow(p.m);
  const int n = narrow(p.n);
  const int k = narrow(p.k);
  if constexpr (sizeof(T) == sizeof(float)) {
    cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1.0F, p.a, lda, p.b, ldb, beta, p.c, ldc);
  } else {
    cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, 1.0, p.a, lda, p.b, ldb, beta, p.c, ldc);
  }
}

/// Computes one block of rows with BLAS.
template <class T> void multiply_with_blas(const Product<T>& p) {
  for (Index i = 0; i < p.m; ++i) {
    if (p.accumulate == Accumulate::bias) std::copy_n(p.bias, p.n, p.c + i * p.c_row);
    if (p.accumulate == Accumulate::overwrite && p.k == 0)
      std::fill_n(p.c + i * p.c_row, p.n, T(0));
  }
  if (p.k > 0) call_blas(p, p.accumulate == Accumulate::overwrite ? T(0) : T(1));
}

template <class T> void with_blas(const Product<T>& p, const kernels::Loop<3>& batch) {
  use_one_thread();
  const double each = work(p);
  // Blocks of rows depend neither on the number of threads nor on the size of the batch.
  const Index rows = each > kParallelWork ? kBlasRows : p.m;
  const Index row_blocks = (p.m + rows - 1) / rows;
  const Index blocks = batch.size() * row_blocks;
  const Index group = each * static_cast<double>(batch.size()) < kParallelWork
                          ? blocks
                          : std::max<Index>(1, static_cast<Index>(kParallelWork / 8 / each));
  detail::parallel_for(blocks, group, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Index row = i % row_blocks * rows;
      multiply_with_blas(part_of(product_at(p, batch, i / row_blocks),
                                 {row, std::min(p.m, row + rows)}, {0, p.n}, {0, p.k}));
    }
  });
}

}  // namespace

// OpenBLAS's own threads would change bits with their number.
void use_one_thread() {
  static const bool once = [] {
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
    return true;
  }();
  static_cast<void>(once);
}

template <class T> void multiply(const Product<T>& product, const kernels::Loop<3>& batch) {
  if (batch.size() == 0 || product.m == 0 || product.n == 0) return;
  Product<T> p = product;
  // Without terms A and B are empty and may be null: no pointer arithmetic on them.
  if (p.k == 0) p.a_row = p.a_column = p.b_row = p.b_column = 0;
  if (const GemmTable<T>* own = own_kernels<T>(p.rounding, p.m, p.n, p.k)) {
    with_own_kernels(*own, p, batch);
  } else {
    with_blas(p, batch);
  }
}
XTAPE_FOR_REALS(multiply);

}  // namespace xtape::products
