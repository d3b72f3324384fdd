#include "products/gemm.hpp"

#include "kernels/gemm.hpp"
#include "kernels/isa.hpp"
#include "products/blocks.hpp"
#include "threads/pool.hpp"
#include "threads/scratch.hpp"

#include <algorithm>
#include <type_traits>

#include <cblas.h>

// OpenBLAS's own threads change bits with their number; the library cuts the work itself. Weak, so
// that another CBLAS links too.
extern "C" __attribute__((weak)) void openblas_set_num_threads(int);

namespace xtape::blas {
namespace {

constexpr Index kRows = 64;  // rows of C in one block of a parallel product

// Of our own kernels. They beat OpenBLAS 0.3.21, whose choice of kernels knows no processor younger
// than itself (bench/README.md); where there are no wide vectors, BLAS is faster.
constexpr double kSmallWork = 1 << 15U;  // multiplications below which B is packed on the stack
constexpr Index kPackedRows = 512;       // of B, packed at a time
constexpr Index kPackedColumns = 1024;
constexpr Index kTogether = 32;  // of the rows or the columns, packed by one thread

// BLAS takes int; larger extents are cut by the caller's blocks or are out of any memory's reach.
int narrow(Index i) { return static_cast<int>(i); }

template <class T>
void call(const Gemm& s, Index rows, const T* a, const T* b, T beta, T* c) {
  const bool at = s.a_column != 1 && s.k > 1;
  const bool bt = s.b_column != 1 && s.n > 1;
  const auto ta = at ? CblasTrans : CblasNoTrans;
  const auto tb = bt ? CblasTrans : CblasNoTrans;
  // Strides across an extent of 1 are meaningless: BLAS wants them at least as large as a row.
  const int lda = narrow(std::max(at ? s.a_column : s.a_row, at ? rows : s.k));
  const int ldb = narrow(std::max(bt ? s.b_column : s.b_row, bt ? s.k : s.n));
  const int ldc = narrow(std::max(s.c_row, s.n));
  const int m = narrow(rows);
  const int n = narrow(s.n);
  const int k = narrow(s.k);
  if constexpr (sizeof(T) == sizeof(float)) {
    cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1.0F, a, lda, b, ldb, beta, c, ldc);
  } else {
    cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, 1.0, a, lda, b, ldb, beta, c, ldc);
  }
}

struct Offsets {
  Index a, b, c;
};
Offsets offsets(const kernels::Loop<3>& batch, Index at) {
  Offsets o{0, 0, 0};
  for (int i = 0; i < batch.rank; ++i) {
    const Index digit = at % batch.dim[i];
    at /= batch.dim[i];
    o.a += digit * batch.stride[i][0];
    o.b += digit * batch.stride[i][1];
    o.c += digit * batch.stride[i][2];
  }
  return o;
}

// One product: each block of C is a task. False when there is no memory for B, before any work.
template <class T, class A>
bool large(const Gemm& s, const T* a, const T* b, Accumulate accumulate, const T* bias, T* c) {
  using Kernels = kernels::GemmKernels<T, A>;
  const bool parallel =
      static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k) >=
      kParallelWork;
  const auto spans = [parallel](Index count, const auto& body) {
    if (parallel) {
      detail::parallel_blocks(count, body);
    } else {
      body(Index{0}, count);
    }
  };
  // Of a sum over many rows, the gradient of weights, each thread adds those that it made.
  const Product<T> product{s, a, b, accumulate, bias, c};
  if (sums_together<T>(std::span(&product, 1), {})) return true;
  const bool as_it_is = Kernels::reads_unpacked(s.n, s.k, s.b_row, s.b_column);
  T* packed = nullptr;
  if (!as_it_is) {
    packed = detail::scratch<T>(
        0, Kernels::packed_size(std::min(kPackedRows, s.k), std::min(kPackedColumns, s.n)));
    if (packed == nullptr) return false;
  }
  for (Index j0 = 0; j0 < s.n; j0 += kPackedColumns) {
    const Index n = std::min(kPackedColumns, s.n - j0);
    Index k0 = 0;
    do {
      const Index k = as_it_is ? s.k : std::min(kPackedRows, s.k - k0);
      const T* right = b + k0 * s.b_row + j0 * s.b_column;
      const bool by_rows = s.b_column == 1;  // as it lies in memory
      const Index lines = as_it_is ? 0 : by_rows ? k : n;
      if (lines > 0) {
        spans((lines + kTogether - 1) / kTogether, [&](Index begin, Index end) {
          const Index first = begin * kTogether;
          const Index last = std::min(lines, end * kTogether);
          if (by_rows) {
            Kernels::pack_rows(k, n, first, last, right, s.b_row, packed);
          } else {
            Kernels::pack(k, n, first, last, right, s.b_row, s.b_column, packed);
          }
        });
      }
      const auto block = [&](Index row, Index rows, Index column, Index columns) {
        kernels::GemmBlock<T> to;
        to.m = rows;
        to.n = columns;
        to.k = k;
        to.a = a + row * s.a_row + k0 * s.a_column;
        to.a_row = s.a_row;
        to.a_column = s.a_column;
        to.b = as_it_is ? right + column : packed + column * k;
        to.b_row = as_it_is ? s.b_row : 0;
        to.accumulate = k0 == 0 ? accumulate : Accumulate::add;
        to.bias = bias == nullptr ? nullptr : bias + j0 + column;
        to.c = c + row * s.c_row + j0 + column;
        to.c_row = s.c_row;
        Kernels::multiply(to);
      };
      const Blocks blocks(s.m, n, parallel);
      const Index count = blocks.rows * blocks.across;
      // Blocks from ... to - 1, which are side by side or below each other.
      const auto compute = [&](Index begin, Index end) {
        const Index row = begin / blocks.across * kBlockStep;
        const Index rows = std::min((end - begin) * kBlockStep, s.m - row);
        const Index from = begin % blocks.across * blocks.columns;
        const Index to = std::min(n, from + blocks.columns);
        for (Index j = from; j < to; j += kBlockColumns) {
          block(row, rows, j, std::min(kBlockColumns, to - j));
        }
      };
      spans(count, [&](Index begin, Index end) {
        // Blocks below each other are computed together.
        const Index step = blocks.across == 1 ? kBlockRows / kBlockStep : 1;
        for (Index i = begin; i < end; i += step) compute(i, std::min(end, i + step));
      });
      k0 += k;
    } while (k0 < s.k);
  }
  return true;
}

template <class T, class A>
void with_own_kernels(const Gemm& s, const kernels::Loop<3>& batch, double work, const T* a,
                      const T* b, Accumulate accumulate, const T* bias, T* c) {
  const Index count = batch.size();
  const auto one = [&](Index i) {
    const Offsets o = offsets(batch, i);
    if (work >= kSmallWork && large<T, A>(s, a + o.a, b + o.b, accumulate, bias, c + o.c)) return;
    const kernels::GemmBlock<T> block{s.m,     s.n, s.k,        a + o.a, s.a_row, s.a_column,
                                      nullptr, 0,   accumulate, bias,    c + o.c, s.c_row};
    kernels::GemmKernels<T, A>::small(block, b + o.b, s.b_row, s.b_column);
  };
  // Few products share the threads within each, many share them among each other.
  const double all = work * static_cast<double>(count);
  const bool together = count < 4 || all < kParallelWork;
  const Index group =
      together ? count : std::max<Index>(1, static_cast<Index>(kParallelWork / 8 / work));
  detail::parallel_for(count, group, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) one(i);
  });
}

template <class T>
void with_blas(const Gemm& s, const kernels::Loop<3>& batch, double work, const T* a, const T* b,
               Accumulate accumulate, const T* bias, T* c) {
  use_one_thread();
  // Row blocks are the same for any number of threads, and for any batch size.
  const Index rows = work > kParallelWork ? kRows : s.m;
  const Index row_blocks = (s.m + rows - 1) / rows;
  const auto one = [&](Index block) {
    const Offsets o = offsets(batch, block / row_blocks);
    const Index r = block % row_blocks * rows;
    const Index height = std::min(rows, s.m - r);
    T* to = c + o.c + r * s.c_row;
    if (accumulate == Accumulate::bias) {
      for (Index i = 0; i < height; ++i) std::copy_n(bias, s.n, to + i * s.c_row);
    }
    if (s.k == 0) {
      if (accumulate == Accumulate::overwrite) {
        for (Index i = 0; i < height; ++i) std::fill_n(to + i * s.c_row, s.n, T(0));
      }
      return;
    }
    call(s, height, a + o.a + r * s.a_row, b + o.b,
         accumulate == Accumulate::overwrite ? T(0) : T(1), to);
  };
  const Index count = batch.size();
  const Index blocks = count * row_blocks;
  // Small products are handed out in groups.
  const Index group = work * static_cast<double>(count) < kParallelWork
                          ? blocks
                          : std::max<Index>(1, static_cast<Index>(kParallelWork / 8 / work));
  detail::parallel_for(blocks, group, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) one(i);
  });
}

}  // namespace

void use_one_thread() {
  static const bool once = [] {
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
    return true;
  }();
  static_cast<void>(once);
}

template <class T>
void gemm(const Gemm& shape, const kernels::Loop<3>& batch, const T* a, const T* b,
          Accumulate accumulate, const T* bias, T* c) {
  if (batch.size() == 0 || shape.m == 0 || shape.n == 0) return;
  Gemm s = shape;
  // Without terms A and B are empty and may be null, from which nothing may step.
  if (s.k == 0) s.a_row = s.a_column = s.b_row = s.b_column = 0;
  const double work = static_cast<double>(s.m) * static_cast<double>(s.n) *
                      static_cast<double>(std::max<Index>(s.k, 1));
  kernels::on_isa([&](auto isa) {
    using A = decltype(isa);
    if constexpr (std::is_same_v<A, kernels::Baseline>) {
      with_blas(s, batch, work, a, b, accumulate, bias, c);
    } else {
      with_own_kernels<T, A>(s, batch, work, a, b, accumulate, bias, c);
    }
  });
}

template void gemm(const Gemm&, const kernels::Loop<3>&, const float*, const float*, Accumulate,
                   const float*, float*);
template void gemm(const Gemm&, const kernels::Loop<3>&, const double*, const double*, Accumulate,
                   const double*, double*);

}  // namespace xtape::blas
