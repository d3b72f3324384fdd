#include "base/blas.hpp"

#include "base/parallel.hpp"

#include <algorithm>

#include <cblas.h>

// OpenBLAS's own threads change bits with their number; the library cuts the work itself. Weak, so
// that another CBLAS links too.
extern "C" __attribute__((weak)) void openblas_set_num_threads(int);

namespace xtape::blas {
namespace {

constexpr Index kRows = 64;                 // rows of C in one block of a parallel product
constexpr double kParallelWork = 1 << 20U;  // multiplications below which one thread does it all

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

}  // namespace

void use_one_thread() {
  static const bool once = [] {
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
    return true;
  }();
  static_cast<void>(once);
}

template <class T>
void gemm(const Gemm& s, const kernels::Loop<3>& batch, const T* a, const T* b, T beta, T* c) {
  const Index count = batch.size();
  if (count == 0 || s.m == 0 || s.n == 0) return;
  use_one_thread();
  const double work = static_cast<double>(s.m) * static_cast<double>(s.n) *
                      static_cast<double>(std::max<Index>(s.k, 1));
  // Row blocks are the same for any number of threads, and for any batch size.
  const Index rows = work > kParallelWork ? kRows : s.m;
  const Index row_blocks = (s.m + rows - 1) / rows;
  const auto one = [&](Index block) {
    const Offsets o = offsets(batch, block / row_blocks);
    const Index r = block % row_blocks * rows;
    const Index height = std::min(rows, s.m - r);
    T* to = c + o.c + r * s.c_row;
    if (s.k == 0) {
      if (beta == T(0)) {
        for (Index i = 0; i < height; ++i) std::fill_n(to + i * s.c_row, s.n, T(0));
      }
      return;
    }
    call(s, height, a + o.a + r * s.a_row, b + o.b, beta, to);
  };
  const Index blocks = count * row_blocks;
  if (work * static_cast<double>(count) < kParallelWork) {
    for (Index i = 0; i < blocks; ++i) one(i);
    return;
  }
  // Small products are handed out in groups.
  const Index group = std::max<Index>(1, static_cast<Index>(kParallelWork / 8 / work));
  detail::parallel_for((blocks + group - 1) / group, [&](Index g) {
    for (Index i = g * group; i < std::min(blocks, (g + 1) * group); ++i) one(i);
  });
}

template void gemm(const Gemm&, const kernels::Loop<3>&, const float*, const float*, float, float*);
template void gemm(const Gemm&, const kernels::Loop<3>&, const double*, const double*, double,
                   double*);

}  // namespace xtape::blas
