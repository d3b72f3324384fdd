#pragma once
// The innermost loops of a product: a tile of C is held in registers while k runs. For the sources of
// kernels only (see simd.hpp).

#include "kernels/gemm.hpp"
#include "kernels/simd.hpp"

namespace xtape::kernels {

/// How large a tile the registers of the instruction set hold.
template <class T, class A>
struct Tile {
  using V = Vec<T, A>;
  static constexpr Index kWidth = static_cast<Index>(V::size);
  static constexpr int kVectors = 2;
  static constexpr Index kColumns = kVectors * kWidth;
  static constexpr int kRows = sizeof(V) == 64 ? 12 : 6;  // of 32 registers, or of 16
};

/// Half a vector of AVX-512, for panels that narrow: heads of eight floats. Elsewhere a whole one.
template <class T, class A>
struct Half {
  using V = Vec<T, A>;
};
#if defined(__AVX512F__)
template <class T>
struct Half<T, Avx512> {
  using V = Vec<T, Avx2>;
};
#endif

/// Whether panels of so many columns read and write whole vectors only.
template <class T, class A>
constexpr bool whole_vectors(Index n) {
  const Index last = n % Tile<T, A>::kColumns;
  return last % Tile<T, A>::kWidth == 0 || last == static_cast<Index>(Half<T, A>::V::size);
}

/// C (Rows x columns) += A B for `k` steps; `columns` fill all vectors but perhaps the last. B's rows
/// are `b_step` apart and hold whole vectors.
template <class T, class A, int Rows, int Vectors, class V>
[[gnu::always_inline]] inline void gemm_tile(Index k, const T* a, Index a_row, Index a_column,
                                             const T* b, Index b_step, Start start, const T* bias,
                                             T* c, Index c_row, Index columns) {
  constexpr Index kWidth = static_cast<Index>(V::size);
  constexpr bool kParts = std::is_same_v<V, Vec<T, A>>;  // there are loads of a part of it
  const bool whole = !kParts || columns == Vectors * kWidth;
  const Index rest = columns - (Vectors - 1) * kWidth;
  V sum[Rows][Vectors];
  if (start == Start::zero) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[i][v] = V(T(0));
    }
  } else {
    const T* at = start == Start::bias ? bias : c;
    const Index step = start == Start::bias ? 0 : c_row;
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i, at += step) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        const T* from = at + v * kWidth;
        if (v + 1 < Vectors || whole) {
          sum[i][v] = V::load_unaligned(from);
        } else if constexpr (kParts) {
          sum[i][v] = load_first<T, A>(from, rest);
        }
      }
    }
  }
  // A pointer to every third row: from each, an address reaches two rows on, so that the registers for
  // addresses are enough and none is kept where a sum should be.
  constexpr int kPointers = (Rows + 2) / 3;
  const T* row[kPointers];
#pragma GCC unroll 4
  for (int i = 0; i < kPointers; ++i) row[i] = a + 3 * i * a_row;
  for (Index p = 0; p < k; ++p) {
    V right[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) right[v] = V::load_unaligned(b + v * kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const V left(row[i / 3][i % 3 * a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[i][v] = xsimd::fma(left, right[v], sum[i][v]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kPointers; ++i) row[i] += a_column;
    b += b_step;
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i, c += c_row) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      if (v + 1 < Vectors || whole) {
        sum[i][v].store_unaligned(c + v * kWidth);
      } else if constexpr (kParts) {
        store_first<T, A>(sum[i][v], c + v * kWidth, rest);
      }
    }
  }
}

/// The same for a number of rows known at run time, fewer than Tile::kRows.
template <class T, class A, int Vectors, class V, int Rows = Tile<T, A>::kRows - 1>
inline void gemm_last_rows(Index rows, Index k, const T* a, Index a_row, Index a_column, const T* b,
                           Index b_step, Start start, const T* bias, T* c, Index c_row,
                           Index columns) {
  if (rows == Rows) {
    gemm_tile<T, A, Rows, Vectors, V>(k, a, a_row, a_column, b, b_step, start, bias, c, c_row,
                                      columns);
  } else if constexpr (Rows > 1) {
    gemm_last_rows<T, A, Vectors, V, Rows - 1>(rows, k, a, a_row, a_column, b, b_step, start, bias,
                                               c, c_row, columns);
  }
}

/// The same for any number of rows: tiles below each other, whose rows of A begin `a_tile` apart.
template <class T, class A, int Vectors, class V = Vec<T, A>>
inline void gemm_tiles(Index rows, Index k, const T* a, Index a_row, Index a_column, Index a_tile,
                       const T* b, Index b_step, Start start, const T* bias, T* c, Index c_row,
                       Index columns) {
  constexpr Index kHigh = Tile<T, A>::kRows;
  for (; rows >= kHigh; rows -= kHigh, a += a_tile, c += kHigh * c_row) {
    gemm_tile<T, A, kHigh, Vectors, V>(k, a, a_row, a_column, b, b_step, start, bias, c, c_row,
                                       columns);
  }
  if (rows > 0) {
    gemm_last_rows<T, A, Vectors, V>(rows, k, a, a_row, a_column, b, b_step, start, bias, c, c_row,
                                     columns);
  }
}

/// How far apart the rows of a packed panel with so many columns are: one vector where they fit.
template <class T, class A>
constexpr Index packed_step(Index columns) {
  using Size = Tile<T, A>;
  return columns <= Size::kWidth ? Size::kWidth : Size::kColumns;
}

/// C (rows x columns), at most a tile wide, += A B: with one vector, or half of one, where the columns
/// fit into it.
template <class T, class A>
inline void gemm_panel(Index rows, Index k, const T* a, Index a_row, Index a_column, Index a_tile,
                       const T* b, Index b_step, Start start, const T* bias, T* c, Index c_row,
                       Index columns) {
  using Size = Tile<T, A>;
  using Narrow = typename Half<T, A>::V;
  const auto tiles = columns == static_cast<Index>(Narrow::size) ? &gemm_tiles<T, A, 1, Narrow>
                     : columns <= Size::kWidth                   ? &gemm_tiles<T, A, 1>
                                               : &gemm_tiles<T, A, Size::kVectors>;
  tiles(rows, k, a, a_row, a_column, a_tile, b, b_step, start, bias, c, c_row, columns);
}

}  // namespace xtape::kernels
