#pragma once
// Rounded products by tiles, over a policy for tiles: the processor's (rounded_gemm_amx.cpp), or a model of it in tests.
//
// A group of 32 terms of A is a tile of 16 rows: row i has the terms of row i. A group of B is a tile of 16 pairs: row p
// has terms 2 p and 2 p + 1 of 16 columns, side by side. One product of tiles adds the group to a tile of C. A packed B
// has panels of 32 columns; the last may have 16. A panel has, for each group, one tile or two.
//
// A policy has these functions; numbers of tiles are template parameters.
//
//   InUse                        an object, while tiles are used: all have 16 rows of 64 bytes
//   zero<t>()                    makes a tile zeros
//   load<t>(from, pitch)         loads a tile, whose rows are `pitch` bytes apart
//   store<t>(to, pitch)          stores a tile
//   multiply<c, a, b>()          adds a group (TDPBF16PS)
//   round_line(x, n, to)         stores n <= 32 floats of x, rounded; zeros follow
//   round_pairs(x, next, terms, n, to)  stores pairs (x[j], x[next + j]), j < n <= 16, of which `terms` <= 2 exist
//   turn(from, to)               stores the transpose of 16 x 16 words

#include "kernels/rounded_tile.hpp"

namespace xtape::kernels {

/// Has the functions of RoundedGemm.
template <class Tiles> struct AmxGemm {
  static Index packed_size(Index k, Index n);
  static void pack(Index k, Index n, Index first, Index last, const float* b, Index b_row,
                   Index b_column, float* packed);
  static void pack_rows(Index k, Index n, Index first, Index last, const float* b, Index b_row,
                        float* packed);
  static bool reads_unpacked(Index n, Index k, Index b_row, Index b_column);
  static void multiply(const GemmBlock<float>& block);
  static void small(const GemmBlock<float>& block, const float* b, Index b_row, Index b_column);

 private:
  using Word = std::uint32_t;  // a pair of terms
  static constexpr Index kSide = 16;
  static constexpr Index kWords = kSide * kSide;  // of a tile
  static constexpr Index kColumns = 2 * kSide;    // of a panel
  static constexpr Index kPitch = kSide * static_cast<Index>(sizeof(Word));

  static Index groups(Index k) { return (k + kRoundedGroup - 1) / kRoundedGroup; }
  static Index clamp(Index x, Index most) { return max(0, min(x, most)); }

  static void pack_tile(const float* x, Index line, Index term, Index lines, Index terms,
                        bool by_lines, bool pairs, Word* to);
  static void pack_groups(Index k, Index n, Index first, Index last, Index from, Index end,
                          const float* b, Index b_row, Index b_column, bool by_lines,
                          float* packed);
  static void pack_left(Index rows, Index depth, const float* a, Index a_row, Index a_column,
                        bool by_lines, Word* to);
  static void copy_terms(Index tiles, const Word* from, Index terms, Word* to);

  /// A product of tiles: `count` groups, at most 32 rows and columns of C.
  struct Part {
    Index count, rows, columns;
    const Word* a;  // strips of 16 rows, `strip` apart
    Index strip;
    const Word* b;       // a panel
    const Word* b_last;  // its last group
    Accumulate accumulate;
    const float* bias;
    float* c;
    Index c_row;
  };
  static void multiply_part(const Part& p);
  template <bool TwoRows, bool TwoColumns>
  static void multiply_tiles(const Part& p, bool zero, float* c, Index c_row);
};

template <class Tiles> bool AmxGemm<Tiles>::reads_unpacked(Index, Index, Index, Index) {
  return false;
}

template <class Tiles> Index AmxGemm<Tiles>::packed_size(Index k, Index n) {
  return groups(k) * kSide * ((n + kSide - 1) / kSide * kSide);
}

/// Stores a tile of A, or of B if `pairs`. Lines are rows of A or columns of B. `by_lines`: terms of a line are
/// contiguous in x; otherwise lines are.
template <class Tiles>
void AmxGemm<Tiles>::pack_tile(const float* x, Index line, Index term, Index lines, Index terms,
                               bool by_lines, bool pairs, Word* to) {
  alignas(64) Word square[kWords];
  Word* const first = by_lines == pairs ? square : to;
  for (Index i = 0; i < kSide; ++i) {
    if (by_lines) {
      Tiles::round_line(x + i * line, i < lines ? clamp(terms, kRoundedGroup) : 0,
                        first + i * kSide);
    } else {
      Tiles::round_pairs(x + 2 * i * term, term, clamp(terms - 2 * i, 2), clamp(lines, kSide),
                         first + i * kSide);
    }
  }
  if (first == square) Tiles::turn(square, to);
}

/// Packs terms from ... end - 1 of columns first ... last - 1; `from` begins a group, `first` a panel.
template <class Tiles>
void AmxGemm<Tiles>::pack_groups(Index k, Index n, Index first, Index last, Index from, Index end,
                                 const float* b, Index b_row, Index b_column, bool by_lines,
                                 float* packed) {
  const auto pack_group = [&](Index p, Index j) __attribute__((always_inline)) {
    const Index step = n - j > kSide ? 2 : 1;
    Word* const to =
        reinterpret_cast<Word*>(packed) + groups(k) * kSide * j + p / kRoundedGroup * step * kWords;
    for (Index half = 0; half < step; ++half) {
      const Index column = j + half * kSide;
      pack_tile(b + p * b_row + column * b_column, b_column, b_row, n - column, end - p, by_lines,
                true, to + half * kWords);
    }
  };
  if (by_lines) {
    for (Index j = first; j < last; j += kColumns) {
      for (Index p = from; p < end; p += kRoundedGroup) pack_group(p, j);
    }
  } else {
    for (Index p = from; p < end; p += kRoundedGroup) {
      for (Index j = first; j < last; j += kColumns) pack_group(p, j);
    }
  }
}

template <class Tiles>
void AmxGemm<Tiles>::pack(Index k, Index n, Index first, Index last, const float* b, Index b_row,
                          Index b_column, float* packed) {
  pack_groups(k, n, first, last, 0, k, b, b_row, b_column, b_column != 1 && n > 1, packed);
}

template <class Tiles>
void AmxGemm<Tiles>::pack_rows(Index k, Index n, Index first, Index last, const float* b,
                               Index b_row, float* packed) {
  pack_groups(k, n, 0, n, first, last, b, b_row, 1, false, packed);
}

/// Rounds rows of A into strips of 16: one group of zeros if there are no terms.
template <class Tiles>
void AmxGemm<Tiles>::pack_left(Index rows, Index depth, const float* a, Index a_row, Index a_column,
                               bool by_lines, Word* to) {
  for (Index i = 0; i < rows; i += kSide) {
    Index p = 0;
    do {
      pack_tile(a + i * a_row + p * a_column, a_row, a_column, rows - i, depth - p, by_lines, false,
                to);
      to += kWords;
      p += kRoundedGroup;
    } while (p < depth);
  }
}

/// Copies a group of B, of which `terms` terms are wanted; zeros replace the others.
template <class Tiles>
void AmxGemm<Tiles>::copy_terms(Index tiles, const Word* from, Index terms, Word* to) {
  for (Index i = 0; i < tiles * kSide; ++i) {
    const Index there = clamp(terms - 2 * (i % kSide), 2);
    const Word keep = there == 2 ? ~Word{0} : there == 1 ? Word{0xFFFFU} : Word{0};
    for (Index j = 0; j < kSide; ++j) {
      to[i * kSide + j] = there == 0 ? 0 : from[i * kSide + j] & keep;
    }
  }
}

// Tiles 0 to 3 are C, 4 and 5 rows of A, 6 and 7 columns of B.
template <class Tiles>
template <bool TwoRows, bool TwoColumns>
void AmxGemm<Tiles>::multiply_tiles(const Part& p, bool zero, float* c, Index c_row) {
  constexpr Index kStep = TwoColumns ? 2 * kWords : kWords;
  const Index pitch = c_row * static_cast<Index>(sizeof(float));
  float* const below = c + kSide * c_row;
  if (zero) {
    Tiles::template zero<0>();
    if constexpr (TwoColumns) Tiles::template zero<1>();
    if constexpr (TwoRows) Tiles::template zero<2>();
    if constexpr (TwoRows && TwoColumns) Tiles::template zero<3>();
  } else {
    Tiles::template load<0>(c, pitch);
    if constexpr (TwoColumns) Tiles::template load<1>(c + kSide, pitch);
    if constexpr (TwoRows) Tiles::template load<2>(below, pitch);
    if constexpr (TwoRows && TwoColumns) Tiles::template load<3>(below + kSide, pitch);
  }
  for (Index i = 0; i < p.count; ++i) {
    const Word* const a = p.a + i * kWords;
    const Word* const b = i + 1 == p.count ? p.b_last : p.b + i * kStep;
    Tiles::template load<6>(b, kPitch);
    Tiles::template load<4>(a, kPitch);
    Tiles::template multiply<0, 4, 6>();
    if constexpr (TwoColumns) {
      Tiles::template load<7>(b + kWords, kPitch);
      Tiles::template multiply<1, 4, 7>();
    }
    if constexpr (TwoRows) {
      Tiles::template load<5>(a + p.strip, kPitch);
      Tiles::template multiply<2, 5, 6>();
      if constexpr (TwoColumns) Tiles::template multiply<3, 5, 7>();
    }
  }
  Tiles::template store<0>(c, pitch);
  if constexpr (TwoColumns) Tiles::template store<1>(c + kSide, pitch);
  if constexpr (TwoRows) Tiles::template store<2>(below, pitch);
  if constexpr (TwoRows && TwoColumns) Tiles::template store<3>(below + kSide, pitch);
}

template <class Tiles> void AmxGemm<Tiles>::multiply_part(const Part& p) {
  const bool two_rows = p.rows > kSide;
  const bool two_columns = p.columns > kSide;
  const auto tiles =
      two_rows ? (two_columns ? &multiply_tiles<true, true> : &multiply_tiles<true, false>)
               : (two_columns ? &multiply_tiles<false, true> : &multiply_tiles<false, false>);
  const bool zero = p.accumulate == Accumulate::overwrite;
  // Where C does not fill its tiles, they are in a buffer meanwhile.
  const bool whole = p.rows % kSide == 0 && p.columns % kSide == 0;
  alignas(64) float buffer[kColumns * kColumns];
  float* const c = whole ? p.c : buffer;
  const Index c_row = whole ? p.c_row : kColumns;
  if (p.accumulate == Accumulate::bias || (!whole && !zero)) {
    for (Index i = 0; i < p.rows; ++i) {
      const float* from = p.accumulate == Accumulate::bias ? p.bias : p.c + i * p.c_row;
      for (Index j = 0; j < p.columns; ++j) c[i * c_row + j] = from[j];
    }
  }
  tiles(p, zero, c, c_row);
  if (whole) return;
  for (Index i = 0; i < p.rows; ++i) {
    for (Index j = 0; j < p.columns; ++j) p.c[i * p.c_row + j] = c[i * c_row + j];
  }
}

template <class Tiles> void AmxGemm<Tiles>::multiply(const GemmBlock<float>& s) {
  alignas(64) Word left[kRoundedRows / kSide * (kRoundedDepth / kRoundedGroup) * kWords];
  alignas(64) Word last_group[2 * kWords];
  const Index b_rows = s.b_rows == 0 ? s.k : s.b_rows;
  const bool by_lines = s.a_column == 1 || s.k <= 1;
  const typename Tiles::InUse in_use;
  for_rounded_parts(
      s, [&](Index depth, Index rows, Index from_k, Index first, Accumulate accumulate) {
        const Index count = max(1, groups(depth));
        pack_left(rows, depth, s.a + first * s.a_row + from_k * s.a_column, s.a_row, s.a_column,
                  by_lines, left);
        const Index begin = s.from_k + from_k;
        const Index terms = depth - (count - 1) * kRoundedGroup;  // of the last group
        // B may have terms of its own there. Zeros of A do not make zeros of infinities.
        const bool cuts = depth == 0 || (terms < kRoundedGroup && begin + depth < b_rows);
        for (Index j = 0; j < s.n; j += kColumns) {
          const Index step = s.n - j > kSide ? 2 : 1;
          const Word* const b = reinterpret_cast<const Word*>(s.b) + groups(b_rows) * kSide * j +
                                begin / kRoundedGroup * step * kWords;
          const Word* const b_last = b + (count - 1) * step * kWords;
          if (cuts) copy_terms(step, b_last, terms, last_group);
          for (Index i = 0; i < rows; i += 2 * kSide) {
            multiply_part({count, min(2 * kSide, rows - i), min(kColumns, s.n - j),
                           left + i / kSide * count * kWords, count * kWords, b,
                           cuts ? last_group : b_last, accumulate,
                           s.bias == nullptr ? nullptr : s.bias + j,
                           s.c + (first + i) * s.c_row + j, s.c_row});
          }
        }
      });
}

template <class Tiles>
void AmxGemm<Tiles>::small(const GemmBlock<float>& s, const float* b, Index b_row, Index b_column) {
  small_rounded<AmxGemm<Tiles>, kColumns>(s, b, b_row, b_column);
}

}  // namespace xtape::kernels
