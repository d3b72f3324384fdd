#pragma once
// Rounded products by tiles, over a policy for tiles: the processor's (rounded_gemm_amx.cpp), or a model of it in tests.
//
// A group of 32 terms of A is a tile of 16 rows: row i has the terms of row i. A group of B is a tile of 16 pairs: row p
// has terms 2 p and 2 p + 1 of 16 columns, side by side. One product of tiles adds the group to a tile of C. A packed B
// has panels of 32 columns; the last may have 16. A panel has, for each group, one tile or two.
//
// A policy has these functions; numbers of tiles are template parameters.
//
//   use(), leave()               tiles are used in between: all have 16 rows of 64 bytes
//   load<t>(from, pitch)         loads a tile, whose rows are `pitch` bytes apart; 0 repeats a row
//   store<t>(to, pitch)          stores a tile
//   multiply<c, a, b>()          adds a group (TDPBF16PS)
//   pack<by_lines, pairs>(x, line, term, lines, terms, to)  stores a tile of A, or of B if `pairs`, rounded. Lines are
//                                rows of A or columns of B; `lines` and `terms` exist, zeros replace the others.
//                                by_lines: term = 1; otherwise line = 1
//
// A tile begins as a row that is repeated, of zeros or biases: a product that follows TILEZERO takes 20 ns longer.

#include "kernels/rounded_tile.hpp"

namespace xtape::kernels {

template <class Tiles> struct AmxGemm;
// Two tiles below each other for each tile of B that is loaded, and panels of B in L2 for each row of A that is rounded.
template <class Tiles> inline constexpr BlockSize kBlockSize<AmxGemm<Tiles>>{32, 64, 16};

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
  static void use() { Tiles::use(); }
  static void leave() { Tiles::leave(); }

 private:
  using Word = std::uint32_t;  // a pair of terms
  static constexpr Index kSide = 16;
  static constexpr Index kWords = kSide * kSide;  // of a tile
  static constexpr Index kColumns = 2 * kSide;    // of a panel
  static constexpr Index kPitch = kSide * static_cast<Index>(sizeof(Word));
  static constexpr Index kRows = 4 * kSide;  // of A rounded at a time
  static constexpr Index kDepth = 512;       // terms of them

  static Index groups(Index k) { return (k + kRoundedGroup - 1) / kRoundedGroup; }
  static Index clamp(Index x, Index most) { return max(0, min(x, most)); }

  template <bool ByLines>
  static void pack_groups(Index k, Index n, Index first, Index last, Index from, Index end,
                          const float* b, Index b_row, Index b_column, float* packed);
  template <bool ByLines>
  static void pack_left(Index rows, Index depth, const float* a, Index a_row, Index a_column,
                        Word* to);
  static void copy_terms(Index tiles, const Word* from, Index terms, Word* to);
  static void copy(Index rows, Index columns, const float* from, Index from_row, float* to,
                   Index to_row);

  /// The tiles that C begins with, and where they go. A row of 0 repeats a row.
  struct Sum {
    const float* from;
    Index from_row;
    float* c;
    Index c_row;
    const float* next;  // the tiles of C after these, or null
  };
  template <bool TwoRows, bool TwoColumns>
  static void multiply_tiles(Index count, const Word* a, Index strip, const Word* b,
                             const Word* b_last, const Sum& sum);
  template <bool TwoRows>
  static void multiply_rows(const GemmBlock<float>& s, Index depth, Index rows, Index from_k,
                            Accumulate accumulate, const Word* left, float* c, bool last);
};

template <class Tiles> bool AmxGemm<Tiles>::reads_unpacked(Index, Index, Index, Index) {
  return false;
}

template <class Tiles> Index AmxGemm<Tiles>::packed_size(Index k, Index n) {
  return groups(k) * kSide * ((n + kSide - 1) / kSide * kSide);
}

/// Packs terms from ... end - 1 of columns first ... last - 1; `from` begins a group, `first` a panel. Goes along the
/// lines of memory.
template <class Tiles>
template <bool ByLines>
void AmxGemm<Tiles>::pack_groups(Index k, Index n, Index first, Index last, Index from, Index end,
                                 const float* b, Index b_row, Index b_column, float* packed) {
  const auto pack_group = [&](Index p, Index j) __attribute__((always_inline)) {
    const Index step = n - j > kSide ? 2 : 1;
    Word* const to =
        reinterpret_cast<Word*>(packed) + groups(k) * kSide * j + p / kRoundedGroup * step * kWords;
    for (Index half = 0; half < step; ++half) {
      const Index column = j + half * kSide;
      Tiles::template pack<ByLines, true>(b + p * b_row + column * b_column, b_column, b_row,
                                          n - column, end - p, to + half * kWords);
    }
  };
  if constexpr (ByLines) {
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
  if (b_column != 1 && n > 1) {
    pack_groups<true>(k, n, first, last, 0, k, b, b_row, b_column, packed);
  } else {
    pack_groups<false>(k, n, first, last, 0, k, b, b_row, b_column, packed);
  }
}

template <class Tiles>
void AmxGemm<Tiles>::pack_rows(Index k, Index n, Index first, Index last, const float* b,
                               Index b_row, float* packed) {
  pack_groups<false>(k, n, 0, n, first, last, b, b_row, 1, packed);
}

/// Rounds rows of A into strips of 16: one group of zeros if there are no terms.
template <class Tiles>
template <bool ByLines>
void AmxGemm<Tiles>::pack_left(Index rows, Index depth, const float* a, Index a_row, Index a_column,
                               Word* to) {
  const Index count = max(1, groups(depth));
  const auto pack = [&](Index i, Index group) __attribute__((always_inline)) {
    const Index p = group * kRoundedGroup;
    Tiles::template pack<ByLines, false>(a + i * a_row + p * a_column, a_row, a_column, rows - i,
                                         depth - p, to + (i / kSide * count + group) * kWords);
  };
  if constexpr (ByLines) {
    for (Index i = 0; i < rows; i += kSide) {
      for (Index group = 0; group < count; ++group) pack(i, group);
    }
  } else {
    for (Index group = 0; group < count; ++group) {
      for (Index i = 0; i < rows; i += kSide) pack(i, group);
    }
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

/// Copies a part of tiles of C, whole lines of 16 at once.
template <class Tiles>
[[gnu::always_inline]] inline void AmxGemm<Tiles>::copy(Index rows, Index columns,
                                                        const float* from, Index from_row,
                                                        float* to, Index to_row) {
  for (Index i = 0; i < rows; ++i) {
    Index j = 0;
    for (; j + kSide <= columns; j += kSide) {
      __builtin_memcpy(to + i * to_row + j, from + i * from_row + j, kPitch);
    }
    for (; j < columns; ++j) to[i * to_row + j] = from[i * from_row + j];
  }
}

// Tiles 0 to 3 are C, 4 and 5 rows of A, 6 and 7 columns of B.
template <class Tiles>
template <bool TwoRows, bool TwoColumns>
[[gnu::always_inline]] inline void AmxGemm<Tiles>::multiply_tiles(Index count, const Word* a,
                                                                  Index strip, const Word* b,
                                                                  const Word* b_last,
                                                                  const Sum& sum) {
  constexpr Index kStep = TwoColumns ? 2 * kWords : kWords;
  const Index from_pitch = sum.from_row * static_cast<Index>(sizeof(float));
  Tiles::template load<0>(sum.from, from_pitch);
  if constexpr (TwoColumns) Tiles::template load<1>(sum.from + kSide, from_pitch);
  if constexpr (TwoRows) {
    const float* const below = sum.from + kSide * sum.from_row;
    Tiles::template load<2>(below, from_pitch);
    if constexpr (TwoColumns) Tiles::template load<3>(below + kSide, from_pitch);
  }
  // Lines of the next tiles fetched with each group. Few groups mean a C that is near.
  const Index lines = sum.next == nullptr || count < 4 ? 0 : (kColumns + count - 1) / count;
  const float* next = sum.next;
  for (Index i = 0; i < count; ++i, a += kWords, b += kStep) {
    for (Index line = 0; line < lines; ++line, next += sum.c_row) {
      __builtin_prefetch(next, 1);
      __builtin_prefetch(next + kSide, 1);
    }
    if (i + 1 == count) b = b_last;
    Tiles::template load<6>(b, kPitch);
    Tiles::template load<4>(a, kPitch);
    Tiles::template multiply<0, 4, 6>();
    if constexpr (TwoColumns) {
      Tiles::template load<7>(b + kWords, kPitch);
      Tiles::template multiply<1, 4, 7>();
    }
    if constexpr (TwoRows) {
      Tiles::template load<5>(a + strip, kPitch);
      Tiles::template multiply<2, 5, 6>();
      if constexpr (TwoColumns) Tiles::template multiply<3, 5, 7>();
    }
  }
  const Index pitch = sum.c_row * static_cast<Index>(sizeof(float));
  Tiles::template store<0>(sum.c, pitch);
  if constexpr (TwoColumns) Tiles::template store<1>(sum.c + kSide, pitch);
  if constexpr (TwoRows) {
    float* const below = sum.c + kSide * sum.c_row;
    Tiles::template store<2>(below, pitch);
    if constexpr (TwoColumns) Tiles::template store<3>(below + kSide, pitch);
  }
}

/// Computes `rows` rows of C, at most 32, from rounded rows of A. `last`: no rows of this call follow.
template <class Tiles>
template <bool TwoRows>
void AmxGemm<Tiles>::multiply_rows(const GemmBlock<float>& s, Index depth, Index rows, Index from_k,
                                   Accumulate accumulate, const Word* left, float* c, bool last) {
  alignas(64) static constexpr float kZeros[kColumns] = {};
  alignas(64) float buffer[kColumns * kColumns];
  alignas(64) float bias[kColumns];
  alignas(64) Word last_group[2 * kWords];
  const Index b_rows = s.b_rows == 0 ? s.k : s.b_rows;
  const Index count = max(1, groups(depth));
  const Index begin = s.from_k + from_k;
  const Index terms = depth - (count - 1) * kRoundedGroup;  // of the last group
  // B may have terms of its own there. Zeros of A do not make zeros of infinities.
  const bool cuts = depth == 0 || (terms < kRoundedGroup && begin + depth < b_rows);
  for (Index j = 0; j < s.n; j += kColumns) {
    const Index columns = min(kColumns, s.n - j);
    const Index step = columns > kSide ? 2 : 1;
    const Word* const b = reinterpret_cast<const Word*>(s.b) + groups(b_rows) * kSide * j +
                          begin / kRoundedGroup * step * kWords;
    const Word* b_last = b + (count - 1) * step * kWords;
    if (cuts) {
      copy_terms(step, b_last, terms, last_group);
      b_last = last_group;
    }
    // Where C does not fill its tiles, they are in a buffer meanwhile.
    const bool whole = s.has_room || (rows % kSide == 0 && columns % kSide == 0);
    Sum sum{kZeros, 0, c + j, s.c_row,
            j + kColumns < s.n ? c + j + kColumns
            : last             ? nullptr
                               : c + kColumns * s.c_row};
    if (!whole) sum = {kZeros, 0, buffer, kColumns, nullptr};
    if (accumulate == Accumulate::bias) {
      sum.from = s.bias + j;
      for (Index i = 0; !whole && i < columns; ++i) bias[i] = s.bias[j + i];
      if (!whole) sum.from = bias;
    } else if (accumulate == Accumulate::add) {
      if (!whole) copy(rows, columns, c + j, s.c_row, buffer, kColumns);
      sum.from = sum.c;
      sum.from_row = sum.c_row;
    }
    if (step == 2) {
      multiply_tiles<TwoRows, true>(count, left, count * kWords, b, b_last, sum);
    } else {
      multiply_tiles<TwoRows, false>(count, left, count * kWords, b, b_last, sum);
    }
    if (!whole) copy(rows, columns, buffer, kColumns, c + j, s.c_row);
  }
}

template <class Tiles> void AmxGemm<Tiles>::multiply(const GemmBlock<float>& s) {
  alignas(64) Word left[kRows / kSide * (kDepth / kRoundedGroup) * kWords];
  Tiles::use();
  for_rounded_parts<kRows, kDepth>(s, [&](Index depth, Index rows, Index from_k, Index first,
                                          Accumulate accumulate) {
    const float* const a = s.a + first * s.a_row + from_k * s.a_column;
    const bool by_lines = s.a_column == 1 || s.k <= 1;
    (by_lines ? &pack_left<true> : &pack_left<false>)(rows, depth, a, s.a_row, s.a_column, left);
    // All are packed before the first is used: a tile waits until what was stored has left the processor's queue.
    for (Index i = 0; i < rows; i += 2 * kSide) {
      (rows - i > kSide
           ? &multiply_rows<true>
           : &multiply_rows<false>)(s, depth, min(2 * kSide, rows - i), from_k, accumulate,
                                    left + i / kSide * max(1, groups(depth)) * kWords,
                                    s.c + (first + i) * s.c_row, first + i + 2 * kSide >= s.m);
    }
  });
  Tiles::leave();
}

template <class Tiles>
void AmxGemm<Tiles>::small(const GemmBlock<float>& s, const float* b, Index b_row, Index b_column) {
  small_rounded<AmxGemm<Tiles>, kColumns>(s, b, b_row, b_column);
}

}  // namespace xtape::kernels
