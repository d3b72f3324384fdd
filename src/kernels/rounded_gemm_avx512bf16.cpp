// Rounded products with VDPBF16PS. Four terms k ... k + 3 are two 32-bit words, (k, k + 2) for the even chain and
// (k + 1, k + 3) for the odd one, with the first term in the upper half. The instruction adds that half first.
// A packed panel of B holds, for every four terms, a row of even words and a row of odd words.

#include "kernels/rounded_words.hpp"
#include "kernels/transpose.hpp"

namespace xtape::kernels {

template <> struct SimdArch<Avx512Bf16> { using type = xsimd::avx512bw; };

namespace {

using Kernels = RoundedGemm<Avx512Bf16>;

constexpr Index kWidth = 16;
constexpr Index kColumns = 32;  // of a panel; the last may have 16
constexpr int kHigh = 6;        // rows of a tile: 24 sums in 32 registers

constexpr Index words(Index k) { return (k + 3) / 4 * 2; }
constexpr Index panel_step(Index columns) { return columns <= kWidth ? kWidth : kColumns; }

/// Returns the words of 32 consecutive terms, of which n exist.
[[gnu::always_inline]] inline __m512i words_of(const float* x, Index n) {
  const __m512i order =
      _mm512_broadcast_i32x4(_mm_setr_epi8(4, 5, 0, 1, 6, 7, 2, 3, 12, 13, 8, 9, 14, 15, 10, 11));
  return _mm512_shuffle_epi8(rounded_line(x, n), order);
}

/// Stores the even and the odd words of four runs of 16 elements, of which `there` runs and `n` elements exist.
[[gnu::always_inline]] inline void store_words(const float* x, Index run, Index there, __mmask16 n,
                                               float* even, float* odd) {
  const auto load = [&](Index i) {
    return i < there ? _mm512_maskz_loadu_ps(n, x + i * run) : _mm512_setzero_ps();
  };
  _mm512_storeu_si512(even, pairs(load(0), load(2)));
  _mm512_storeu_si512(odd, pairs(load(1), load(3)));
}

/// Packs terms from ... to - 1 of columns first ... last - 1 of a row-major B.
void pack_by_rows(Index k, Index n, Index first, Index last, Index from, Index to, const float* b,
                  Index b_row, float* packed) {
  for (Index p = from; p < to; p += 4) {
    for (Index j = first; j < last; j += kColumns) {
      const Index step = panel_step(n - j);
      float* const at = packed + words(k) * j + p / 2 * step;
      for (Index v = 0; v < step; v += kWidth) {
        store_words(b + p * b_row + j + v, b_row, min(4, to - p), lanes(n - j - v), at + v,
                    at + step + v);
      }
    }
  }
}

/// Packs columns first ... last - 1 of a column-major B.
void pack_by_columns(Index k, Index n, Index first, Index last, const float* b, Index b_column,
                     float* packed) {
  alignas(64) std::uint32_t square[kWidth * kWidth];
  alignas(64) std::uint32_t turned[kWidth * kWidth];
  for (Index j = first; j < last; j += kColumns) {
    const Index step = panel_step(n - j);
    float* const panel = packed + words(k) * j;
    for (Index v = 0; v < step; v += kWidth) {
      const Index there = min(kWidth, n - j - v);
      for (Index p = 0; p < k; p += 32) {
        for (Index c = 0; c < kWidth; ++c) {
          _mm512_store_si512(
              square + c * kWidth,
              c < there ? words_of(b + (j + v + c) * b_column + p, k - p) : _mm512_setzero_si512());
        }
        Square<std::uint32_t, Avx512Bf16>::transpose(square, kWidth, turned, kWidth);
        for (Index w = 0; w < min(kWidth, words(k - p)); ++w) {
          _mm512_storeu_si512(panel + (p / 2 + w) * step + v,
                              _mm512_load_si512(turned + w * kWidth));
        }
      }
    }
  }
}

/// A tile of words of A: rows, and the distances of rows and words.
struct Left {
  const std::uint32_t* data;
  Index row, word;
};

constexpr int kBoth = -1, kFirst = -0x10000;  // halves of a word

template <int Rows, int Vectors>
[[gnu::always_inline]] inline void tile(Index k, const Left& a, const float* b,
                                        Accumulate accumulate, const float* bias, float* c,
                                        Index c_row, Index columns) {
  constexpr Index kStep = Vectors * kWidth;
  const __mmask16 mask = lanes(columns - (kStep - kWidth));
  constexpr int kPointers = (Rows + 2) / 3;  // as in gemm_tile()
  const std::uint32_t* row[kPointers];
#pragma GCC unroll 4
  for (int i = 0; i < kPointers; ++i) row[i] = a.data + 3 * i * a.row;
  Index from = 0;
  do {
    const Index terms = min(kRoundedGroup, k - from);
    __m512 even[Rows][Vectors], odd[Rows][Vectors];
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) even[i][v] = odd[i][v] = _mm512_setzero_ps();
    }
    // Halves of words behind the last term are taken as zeros: B may go on there, with an infinity.
    const auto add_terms = [&](__m512(&to)[Rows][Vectors], int halves)
        __attribute__((always_inline)) {
      __m512bh right[Vectors];
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        __m512i word = _mm512_loadu_si512(b + v * kWidth);
        if (halves != kBoth) word = _mm512_and_si512(word, _mm512_set1_epi32(halves));
        right[v] = (__m512bh)word;
      }
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const std::uint32_t* const word = row[i / 3] + i % 3 * a.row;
#if __clang_major__ == 16 || __clang_major__ == 17
        // These crash at a cast of _mm512_set1_epi32() (LLVM issue 68117).
        const auto left = (__m512bh)_mm512_broadcastd_epi32(_mm_loadu_si32(word));
#else
        const auto left = (__m512bh)_mm512_set1_epi32(static_cast<int>(*word));
#endif
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) to[i][v] = _mm512_dpbf16_ps(to[i][v], left, right[v]);
      }
      b += kStep;
#pragma GCC unroll 4
      for (int i = 0; i < kPointers; ++i) row[i] += a.word;
    };
    Index p = 0;
    for (; p + 4 <= terms; p += 4) {
      add_terms(even, kBoth);
      add_terms(odd, kBoth);
    }
    if (const Index left = terms - p; left > 0) {
      add_terms(even, left == 3 ? kBoth : kFirst);
      add_terms(odd, left >= 2 ? kFirst : 0);
    }
    const __m512 zero = _mm512_setzero_ps();
    if (terms < kRoundedGroup) {  // fma(0, 0, x) = x + 0, also if x is -0
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) {
          even[i][v] = _mm512_add_ps(even[i][v], zero);
          odd[i][v] = _mm512_add_ps(odd[i][v], zero);
        }
      }
    }
    const bool adds = from > 0 || accumulate == Accumulate::add;
    const bool biased = !adds && accumulate == Accumulate::bias;
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      float* const to = c + i * c_row;
      const float* const at = adds ? to : bias;
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) {
        const __mmask16 here = v == Vectors - 1 ? mask : static_cast<__mmask16>(0xFFFFU);
        const __m512 before = adds || biased ? _mm512_maskz_loadu_ps(here, at + v * kWidth) : zero;
        const __m512 sum = _mm512_add_ps(before, _mm512_add_ps(even[i][v], odd[i][v]));
        _mm512_mask_storeu_ps(to + v * kWidth, here, sum);
      }
    }
    from += terms;
  } while (from < k);
}

template <int Vectors, int Rows>
[[gnu::always_inline]] inline void last_rows(Index rows, Index k, const Left& a, const float* b,
                                             Accumulate accumulate, const float* bias, float* c,
                                             Index c_row, Index columns) {
  if (rows == Rows) {
    tile<Rows, Vectors>(k, a, b, accumulate, bias, c, c_row, columns);
  } else if constexpr (Rows > 1) {
    last_rows<Vectors, Rows - 1>(rows, k, a, b, accumulate, bias, c, c_row, columns);
  }
}

/// Computes tiles below each other.
template <int Vectors>
[[gnu::noinline]] void tiles(Index rows, Index k, Left a, const float* b, Accumulate accumulate,
                             const float* bias, float* c, Index c_row, Index columns) {
  for (; rows >= kHigh; rows -= kHigh, a.data += kHigh * a.row, c += kHigh * c_row) {
    tile<kHigh, Vectors>(k, a, b, accumulate, bias, c, c_row, columns);
  }
  last_rows<Vectors, kHigh - 1>(rows, k, a, b, accumulate, bias, c, c_row, columns);
}

/// Rounds rows of A into words. Returns them.
Left round_left(Index rows, Index depth, const float* a, Index a_row, Index a_column, bool by_rows,
                std::uint32_t* to) {
  if (by_rows) {
    constexpr Index kPitch = kRoundedDepth / 2 + 16;  // no multiple of many cache sets
    for (Index i = 0; i < rows; ++i) {
      for (Index p = 0; p < depth; p += 32) {
        _mm512_storeu_si512(to + i * kPitch + p / 2, words_of(a + i * a_row + p, depth - p));
      }
    }
    return {to, kPitch, 1};
  }
  for (Index p = 0; p < depth; p += 4) {
    for (Index i = 0; i < rows; i += kWidth) {
      float* const at = reinterpret_cast<float*>(to) + p / 2 * kRoundedRows + i;
      store_words(a + p * a_column + i, a_column, min(4, depth - p), lanes(rows - i), at,
                  at + kRoundedRows);
    }
  }
  return {to, 1, kRoundedRows};
}

}  // namespace

template <> bool Kernels::reads_unpacked(Index, Index, Index, Index) { return false; }

template <> Index Kernels::packed_size(Index k, Index n) { return words(k) * round_up(n, kWidth); }

template <>
void Kernels::pack(Index k, Index n, Index first, Index last, const float* b, Index b_row,
                   Index b_column, float* packed) {
  if (b_column == 1 || n == 1) {
    pack_by_rows(k, n, first, last, 0, k, b, b_row, packed);
  } else {
    pack_by_columns(k, n, first, last, b, b_column, packed);
  }
}

template <>
void Kernels::pack_rows(Index k, Index n, Index first, Index last, const float* b, Index b_row,
                        float* packed) {
  pack_by_rows(k, n, 0, n, first, last, b, b_row, packed);
}

template <> void Kernels::multiply(const GemmBlock<float>& s) {
  alignas(64) std::uint32_t left[kRoundedRows * (kRoundedDepth / 2 + 16)];
  const Index b_words = words(s.b_rows == 0 ? s.k : s.b_rows);
  const FlushDenormals flushing;
  for_rounded_parts(s, [&](Index depth, Index rows, Index from_k, Index first,
                           Accumulate accumulate) {
    const Left a = round_left(rows, depth, s.a + first * s.a_row + from_k * s.a_column, s.a_row,
                              s.a_column, s.a_column == 1 || s.k <= 1, left);
    for (Index j = 0; j < s.n; j += kColumns) {
      const Index columns = min(kColumns, s.n - j);
      const Index step = panel_step(columns);
      (step == kWidth ? &tiles<1> : &tiles<2>)(rows, depth, a,
                                               s.b + b_words * j + (s.from_k + from_k) / 2 * step,
                                               accumulate, s.bias == nullptr ? nullptr : s.bias + j,
                                               s.c + first * s.c_row + j, s.c_row, columns);
    }
  });
}

template <>
void Kernels::small(const GemmBlock<float>& s, const float* b, Index b_row, Index b_column) {
  small_rounded<Kernels, kColumns>(s, b, b_row, b_column);
}

}  // namespace xtape::kernels
