#pragma once
// Parts that the kernels of rounded products share. For the sources of kernels only (see simd.hpp).

#include "kernels/rounded_gemm.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace xtape::kernels {
namespace {

constexpr Index kRoundedGroup = 32;
constexpr Index kRoundedDepth = 256;  // steps of k at a time
constexpr Index kRoundedRows = 48;    // rows of A rounded at a time, a multiple of every tile's

/// Makes denormal operands and results zeros as long as it lives. What it encloses must not be inlined.
class FlushDenormals {
 public:
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
#if defined(__x86_64__)
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040U); }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FlushDenormals() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
    __asm__ volatile("msr fpcr, %0" : : "r"(before_ | (std::uint64_t{1} << 24U)));
  }
  ~FlushDenormals() { __asm__ volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  std::uint64_t before_ = 0;
#else
  FlushDenormals() = default;
#endif
};

/// Calls product(depth, rows, from_k, first row, accumulate) for parts of a block, in the order of k.
template <Index Rows = kRoundedRows, Index Depth = kRoundedDepth, class Product>
[[gnu::always_inline]] inline void for_rounded_parts(const GemmBlock<float>& s,
                                                     const Product& product) {
  Index from_k = 0;
  do {  // once even if k is 0, to initialise C
    const Index depth = min(Depth, s.k - from_k);
    for (Index i = 0; i < s.m; i += Rows) {
      product(depth, min(Rows, s.m - i), from_k, i, from_k == 0 ? s.accumulate : Accumulate::add);
    }
    from_k += depth;
  } while (from_k < s.k);
}

/// Computes C from a B with any strides: B is packed on the stack, in panels of `columns` columns.
template <class Kernels, Index Columns>
[[gnu::always_inline]] inline void small_rounded(const GemmBlock<float>& s, const float* b,
                                                 Index b_row, Index b_column) {
  alignas(64) float packed[kRoundedDepth * Columns];
  for (Index j = 0; j < s.n; j += Columns) {
    GemmBlock<float> part = s;
    part.n = min(Columns, s.n - j);
    part.c = s.c + j;
    part.b = packed;
    if (s.bias != nullptr) part.bias = s.bias + j;
    Index from_k = 0;
    do {
      part.k = min(kRoundedDepth, s.k - from_k);
      part.a = s.a + from_k * s.a_column;
      Kernels::pack(part.k, part.n, 0, part.n, b + j * b_column + from_k * b_row, b_row, b_column,
                    packed);
      Kernels::multiply(part);
      part.accumulate = Accumulate::add;
      from_k += part.k;
    } while (from_k < s.k);
  }
}

}  // namespace
}  // namespace xtape::kernels
