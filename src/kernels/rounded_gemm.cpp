// Rounded products with fused multiply-adds of float32, for every instruction set that has them.

#include "kernels/gemm_tile.hpp"
#include "kernels/round.hpp"
#include "kernels/rounded_tile.hpp"

namespace xtape::kernels {
namespace {

/// Copies `count` runs of n contiguous floats, rounded. `from` and `to` may be one array.
template <class A>
void copy_rounded(Index count, Index n, const float* from, Index from_step, float* to,
                  Index to_step) {
  using V = Vec<float, A>;
  for (Index i = 0; i < count; ++i) {
    const float* x = from + i * from_step;
    float* y = to + i * to_step;
    for_vectors(n, static_cast<Index>(V::size), [&](Index j, Index part, auto whole) {
      store_part<float, A>(rounded(load_part<float, A>(x + j, part, whole)), y + j, part, whole);
    });
  }
}

/// Computes a tile of C for k terms. Panels of B hold whole vectors.
template <class A, int Rows, int Vectors>
[[gnu::always_inline]] inline void rounded_tile(Index k, const float* a, Index a_row,
                                                Index a_column, const float* b,
                                                Accumulate accumulate, const float* bias, float* c,
                                                Index c_row, Index columns) {
  using V = Vec<float, A>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  constexpr Index kStep = Vectors * kWidth;
  constexpr Index kBefore = kStep - kWidth;
  constexpr int kPointers = (Rows + 2) / 3;  // as in gemm_tile()
  const bool whole = columns == kStep;
  const float* row[kPointers];
#pragma GCC unroll 4
  for (int i = 0; i < kPointers; ++i) row[i] = a + 3 * i * a_row;
  Index from = 0;
  do {
    const Index terms = min(kRoundedGroup, k - from);
    V chain[2][Rows][Vectors];
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; ++odd) {
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) chain[odd][i][v] = V(0.0F);
      }
    }
    const auto add_term = [&](V(&to)[Rows][Vectors]) __attribute__((always_inline)) {
      V right[Vectors];
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) right[v] = V::load_unaligned(b + v * kWidth);
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const V left(row[i / 3][i % 3 * a_row]);
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) to[i][v] = xsimd::fma(left, right[v], to[i][v]);
      }
      b += kStep;
#pragma GCC unroll 4
      for (int i = 0; i < kPointers; ++i) row[i] += a_column;
    };
    Index p = 0;
    for (; p + 2 <= terms; p += 2) {
      add_term(chain[0]);
      add_term(chain[1]);
    }
    if (p < terms) add_term(chain[0]);
    if (terms < kRoundedGroup) {  // fma(0, 0, x) = x + 0, also if x is -0
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) {
          chain[0][i][v] += V(0.0F);
          chain[1][i][v] += V(0.0F);
        }
      }
    }
    const float* at = from > 0 || accumulate == Accumulate::add ? c : bias;
    const bool zero = from == 0 && accumulate == Accumulate::overwrite;
    const Index step = at == bias ? 0 : c_row;
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      float* to = c + i * c_row;
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        const bool part = v == Vectors - 1 && !whole;
        const Index j = v * kWidth;
        const V before = zero   ? V(0.0F)
                         : part ? load_first<float, A>(at + i * step + j, columns - kBefore)
                                : V::load_unaligned(at + i * step + j);
        const V sum = before + (chain[0][i][v] + chain[1][i][v]);
        if (part) {
          store_first<float, A>(sum, to + j, columns - kBefore);
        } else {
          sum.store_unaligned(to + j);
        }
      }
    }
    from += terms;
  } while (from < k);
}

template <class A, int Vectors, int Rows>
[[gnu::always_inline]] inline void last_rows(Index rows, Index k, const float* a, Index a_row,
                                             Index a_column, const float* b, Accumulate accumulate,
                                             const float* bias, float* c, Index c_row,
                                             Index columns) {
  if (rows == Rows) {
    rounded_tile<A, Rows, Vectors>(k, a, a_row, a_column, b, accumulate, bias, c, c_row, columns);
  } else if constexpr (Rows > 1) {
    last_rows<A, Vectors, Rows - 1>(rows, k, a, a_row, a_column, b, accumulate, bias, c, c_row,
                                    columns);
  }
}

/// Computes tiles below each other.
template <class A, int Vectors>
[[gnu::noinline]] void rounded_tiles(Index rows, Index k, const float* a, Index a_row,
                                     Index a_column, const float* b, Accumulate accumulate,
                                     const float* bias, float* c, Index c_row, Index columns) {
  constexpr Index kHigh = Tile<float, A>::kRows / 2;  // two chains instead of one
  for (; rows >= kHigh; rows -= kHigh, a += kHigh * a_row, c += kHigh * c_row) {
    rounded_tile<A, kHigh, Vectors>(k, a, a_row, a_column, b, accumulate, bias, c, c_row, columns);
  }
  if constexpr (kHigh > 1) {
    last_rows<A, Vectors, kHigh - 1>(rows, k, a, a_row, a_column, b, accumulate, bias, c, c_row,
                                     columns);
  }
}

/// Computes C from operands that are rounded already.
template <class A>
void multiply_rounded(const GemmBlock<float>& s, Index depth, Index from_k, Index first, Index rows,
                      Accumulate accumulate, const float* left, Index left_row, Index left_column) {
  using Size = Tile<float, A>;
  const Index b_rows = s.b_rows == 0 ? s.k : s.b_rows;
  for (Index j = 0; j < s.n; j += Size::kColumns) {
    const Index columns = min(Size::kColumns, s.n - j);
    const Index step = packed_step<float, A>(columns);
    const auto tiles = step == Size::kWidth ? &rounded_tiles<A, 1> : &rounded_tiles<A, 2>;
    tiles(rows, depth, left, left_row, left_column, s.b + j * b_rows + (s.from_k + from_k) * step,
          accumulate, s.bias == nullptr ? nullptr : s.bias + j, s.c + first * s.c_row + j, s.c_row,
          columns);
  }
}

}  // namespace

template <class A> bool RoundedGemm<A>::reads_unpacked(Index, Index, Index, Index) { return false; }

template <class A> Index RoundedGemm<A>::packed_size(Index k, Index n) {
  return GemmKernels<float, A>::packed_size(k, n);
}

template <class A>
void RoundedGemm<A>::pack(Index k, Index n, Index first, Index last, const float* b, Index b_row,
                          Index b_column, float* packed) {
  GemmKernels<float, A>::pack(k, n, first, last, b, b_row, b_column, packed);
  const Index end = packed_size(k, last);
  copy_rounded<A>(1, end - k * first, packed + k * first, 0, packed + k * first, 0);
}

template <class A>
void RoundedGemm<A>::pack_rows(Index k, Index n, Index first, Index last, const float* b,
                               Index b_row, float* packed) {
  constexpr Index kColumns = Tile<float, A>::kColumns;
  GemmKernels<float, A>::pack_rows(k, n, first, last, b, b_row, packed);
  for (Index j = 0; j < n; j += kColumns) {
    const Index step = packed_step<float, A>(min(kColumns, n - j));
    float* const panel = packed + j * k + first * step;
    copy_rounded<A>(1, (last - first) * step, panel, 0, panel, 0);
  }
}

template <class A> void RoundedGemm<A>::multiply(const GemmBlock<float>& s) {
  constexpr Index kPitch = kRoundedDepth + 16;  // no multiple of many cache sets
  alignas(64) float left[kRoundedRows * kPitch];
  const bool by_rows = s.a_column == 1 || s.k <= 1;
  const FlushDenormals flushing;
  for_rounded_parts(s,
                    [&](Index depth, Index rows, Index from_k, Index first, Accumulate accumulate) {
                      const float* a = s.a + first * s.a_row + from_k * s.a_column;
                      if (by_rows) {
                        copy_rounded<A>(rows, depth, a, s.a_row, left, kPitch);
                      } else {
                        copy_rounded<A>(depth, rows, a, s.a_column, left, kRoundedRows);
                      }
                      multiply_rounded<A>(s, depth, from_k, first, rows, accumulate, left,
                                          by_rows ? kPitch : 1, by_rows ? 1 : kRoundedRows);
                    });
}

template <class A>
void RoundedGemm<A>::small(const GemmBlock<float>& s, const float* b, Index b_row, Index b_column) {
  small_rounded<RoundedGemm<A>, Tile<float, A>::kColumns>(s, b, b_row, b_column);
}

template struct RoundedGemm<XTAPE_ARCH>;

}  // namespace xtape::kernels
