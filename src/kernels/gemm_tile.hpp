#pragma once
// The innermost loops of a matrix product: a tile of C stays in registers while k runs. For the sources of
// kernels only (see simd.hpp).

#include "kernels/gemm.hpp"
#include "kernels/simd.hpp"

namespace xtape::kernels {

/// The size of the tile of C that fits into the registers of the instruction set.
template <class T, class A> struct Tile {
  using V = Vec<T, A>;
  static constexpr Index kWidth = static_cast<Index>(V::size);
  static constexpr int kVectors = 2;
  static constexpr Index kColumns = kVectors * kWidth;
#if defined(__aarch64__)
  static constexpr bool kManyRegisters = true;
#else
  static constexpr bool kManyRegisters = sizeof(V) == 64;
#endif
  static constexpr int kRows = kManyRegisters ? 12 : 6;  // 24 of 32 registers, or 12 of 16
};

/// The half-width vector of AVX-512, for narrow panels: heads of eight floats. The whole vector elsewhere.
template <class T, class A> struct Half {
  using Arch = A;
  using V = Vec<T, Arch>;
};
#if defined(__AVX512F__)
template <class T> struct Half<T, Avx512> {
  using Arch = HalfOfAvx512;
  using V = Vec<T, Arch>;
};
#endif

/// Returns whether panels of n columns read and write whole or half-width vectors only.
template <class T, class A> constexpr bool whole_vectors(Index n) {
  const Index last = n % Tile<T, A>::kColumns;
  return last % Tile<T, A>::kWidth == 0 || last == static_cast<Index>(Half<T, A>::V::size);
}

/// Returns the lower half of v as an L, or v itself if L is V.
template <class L, class V> [[gnu::always_inline]] inline L lower(const V& v) {
  if constexpr (std::is_same_v<L, V>) {
    return v;
  } else {
#if defined(__AVX512F__)
    if constexpr (sizeof(typename V::value_type) == 4) {
      return _mm512_castps512_ps256(v);
    } else {
      return _mm512_castpd512_pd256(v);
    }
#endif
  }
}

/// Returns v as a V, with `fill` in the upper half if L is a half-width vector.
template <class V, class L>
[[gnu::always_inline]] inline V widened(const L& v, [[maybe_unused]] typename V::value_type fill) {
  if constexpr (std::is_same_v<L, V>) {
    return v;
  } else {
#if defined(__AVX512F__)
    if constexpr (sizeof(typename V::value_type) == 4) {
      return _mm512_insertf32x8(V(fill), v, 0);
    } else {
      return _mm512_insertf64x4(V(fill), v, 0);
    }
#endif
  }
}

/// Computes a tile C (Rows x columns) += A B in `k` steps. The columns fill all vectors but perhaps the last,
/// which is an L and may be the only one. Rows of B are `b_step` apart and hold whole vectors.
template <class T, class A, int Rows, int Vectors, class L>
[[gnu::always_inline]] inline void gemm_tile(Index k, const T* a, Index a_row, Index a_column,
                                             const T* b, Index b_step, Accumulate accumulate,
                                             const T* bias, T* c, Index c_row, Index columns) {
  using V = Vec<T, A>;
  constexpr Index kBefore =
      (Vectors - 1) * static_cast<Index>(V::size);  // columns before the last vector
  constexpr bool kParts = std::is_same_v<L, V>;     // a half-width vector is never partial
  const Index rest = columns - kBefore;
  const bool whole = !kParts || rest == static_cast<Index>(L::size);
  V sum[Rows];
  L last[Rows];
  if (accumulate == Accumulate::overwrite) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      if constexpr (Vectors == 2) sum[i] = V(T(0));
      last[i] = L(T(0));
    }
  } else {
    const T* at = accumulate == Accumulate::bias ? bias : c;
    const Index step = accumulate == Accumulate::bias ? 0 : c_row;
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i, at += step) {
      if constexpr (Vectors == 2) sum[i] = V::load_unaligned(at);
      if (whole) {
        last[i] = L::load_unaligned(at + kBefore);
      } else if constexpr (kParts) {
        last[i] = load_first<T, A>(at + kBefore, rest);
      }
    }
  }
  // One pointer per three rows: an address reaches the next two rows by scaling a_row. More pointers would
  // not fit into the address registers.
  constexpr int kPointers = (Rows + 2) / 3;
  const T* row[kPointers];
#pragma GCC unroll 4
  for (int i = 0; i < kPointers; ++i) row[i] = a + 3 * i * a_row;
  for (Index p = 0; p < k; ++p) {
    V right;
    if constexpr (Vectors == 2) right = V::load_unaligned(b);
    const L right_last = L::load_unaligned(b + kBefore);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const T* from = row[i / 3] + i % 3 * a_row;
      if constexpr (Vectors == 2) {
        const V left(*from);
        sum[i] = xsimd::fma(left, right, sum[i]);
        last[i] = xsimd::fma(lower<L>(left), right_last, last[i]);
      } else {
        last[i] = xsimd::fma(L(*from), right_last, last[i]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kPointers; ++i) row[i] += a_column;
    b += b_step;
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i, c += c_row) {
    if constexpr (Vectors == 2) sum[i].store_unaligned(c);
    if (whole) {
      last[i].store_unaligned(c + kBefore);
    } else if constexpr (kParts) {
      store_first<T, A>(last[i], c + kBefore, rest);
    }
  }
}

/// Computes a tile whose number of rows is known at run time, fewer than Tile::kRows.
template <class T, class A, int Vectors, class L, int Rows = Tile<T, A>::kRows - 1>
inline void gemm_last_rows(Index rows, Index k, const T* a, Index a_row, Index a_column, const T* b,
                           Index b_step, Accumulate accumulate, const T* bias, T* c, Index c_row,
                           Index columns) {
  if (rows == Rows) {
    gemm_tile<T, A, Rows, Vectors, L>(k, a, a_row, a_column, b, b_step, accumulate, bias, c, c_row,
                                      columns);
  } else if constexpr (Rows > 1) {
    gemm_last_rows<T, A, Vectors, L, Rows - 1>(rows, k, a, a_row, a_column, b, b_step, accumulate,
                                               bias, c, c_row, columns);
  }
}

/// Computes tiles below each other for any number of rows. Their rows of A begin `a_tile` apart.
template <class T, class A, int Vectors, class L = Vec<T, A>>
inline void gemm_tiles(Index rows, Index k, const T* a, Index a_row, Index a_column, Index a_tile,
                       const T* b, Index b_step, Accumulate accumulate, const T* bias, T* c,
                       Index c_row, Index columns) {
  constexpr Index kHigh = Tile<T, A>::kRows;
  for (; rows >= kHigh; rows -= kHigh, a += a_tile, c += kHigh * c_row) {
    gemm_tile<T, A, kHigh, Vectors, L>(k, a, a_row, a_column, b, b_step, accumulate, bias, c, c_row,
                                       columns);
  }
  if (rows > 0) {
    gemm_last_rows<T, A, Vectors, L>(rows, k, a, a_row, a_column, b, b_step, accumulate, bias, c,
                                     c_row, columns);
  }
}

/// Returns the distance of the rows in a packed panel of so many columns: one vector, or two.
template <class T, class A> constexpr Index packed_step(Index columns) {
  using Size = Tile<T, A>;
  return columns <= Size::kWidth ? Size::kWidth : Size::kColumns;
}

/// Computes C (rows x columns) += A B, at most a tile wide, with half a vector, one, one and a half, or two:
/// the fewest that hold the columns.
template <class T, class A>
inline void gemm_panel(Index rows, Index k, const T* a, Index a_row, Index a_column, Index a_tile,
                       const T* b, Index b_step, Accumulate accumulate, const T* bias, T* c,
                       Index c_row, Index columns) {
  using Size = Tile<T, A>;
  using Narrow = typename Half<T, A>::V;
  constexpr Index kHalf = static_cast<Index>(Narrow::size);
  const auto tiles = columns == kHalf                  ? &gemm_tiles<T, A, 1, Narrow>
                     : columns <= Size::kWidth         ? &gemm_tiles<T, A, 1>
                     : columns == Size::kWidth + kHalf ? &gemm_tiles<T, A, 2, Narrow>
                                                       : &gemm_tiles<T, A, 2>;
  tiles(rows, k, a, a_row, a_column, a_tile, b, b_step, accumulate, bias, c, c_row, columns);
}

}  // namespace xtape::kernels
