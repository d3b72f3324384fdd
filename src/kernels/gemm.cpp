#include "kernels/gemm.hpp"

#include "kernels/gemm_tile.hpp"
#include "kernels/transpose.hpp"

namespace xtape::kernels {
namespace {

constexpr Index kDepth = 256;      // steps of k at a time: a panel of B stays in L1
constexpr Index kLeftRows = 96;    // rows of A packed at a time, a multiple of every Tile::kRows
constexpr Index kCloseRows = 128;  // rows of B no further apart than this need no packing
constexpr Index kLine = 64;        // bytes of a cache line
constexpr Index kL1 = 32768;       // bytes of L1
constexpr Index kFarApart =
    512;  // rows of A further apart than this compete for the same cache sets

/// Elements of one step of k in a packed panel of A: the rows of a tile, rounded up to whole vectors.
template <class T, class A>
inline constexpr Index kLeftStep = round_up(Tile<T, A>::kRows, Tile<T, A>::kWidth);

/// Packs rows of A into panels one tile high: to[p * kLeftStep + r] = A[r, p] in each.
template <class T, class A>
void pack_left(Index rows, Index k, const T* a, Index a_row, Index a_column, T* to) {
  using U = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  using V = Vec<T, A>;
  constexpr Index kHigh = Tile<T, A>::kRows;
  constexpr Index kWidth = Tile<T, A>::kWidth;
  constexpr Index kStep = kLeftStep<T, A>;
  for (Index i = 0; i < rows; i += kHigh, to += k * kStep) {
    for (Index v = 0; v < kStep; v += kWidth) {
      const Index there = min(kWidth, rows - i - v);  // may include rows of the next tile
      if (there <= 0) break;
      const T* from = a + (i + v) * a_row;
      Index p = 0;
      if (a_row == 1) {
        for (; p < k; ++p) {
          const T* at = from + p * a_column;
          (there == kWidth ? V::load_unaligned(at) : load_first<T, A>(at, there))
              .store_unaligned(to + p * kStep + v);
        }
      } else if (a_column == 1) {
        for (; p + kWidth <= k; p += kWidth) {
          Square<U, A>::transpose(reinterpret_cast<const U*>(from + p), a_row,
                                  reinterpret_cast<U*>(to + p * kStep + v), kStep, there);
        }
      }
      for (Index r = 0; r < there; ++r) {
        for (Index q = p; q < k; ++q) to[q * kStep + v + r] = from[r * a_row + q * a_column];
      }
    }
  }
}

/// Packs rows p ... of a column-major panel of B, in squares, while there are rows for a square. Returns the
/// first row that is left. The last column is repeated where columns are missing.
template <class T, class A>
Index pack_squares(Index p, Index k, Index columns, const T* from, Index b_row, Index b_column,
                   T* to, Index step) {
  using U = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr Index kSide = Tile<T, A>::kWidth;
  if (b_row != 1) return p;
  for (; p + kSide <= k; p += kSide) {
    for (Index c = 0; c < columns; c += kSide) {
      Square<U, A>::transpose(reinterpret_cast<const U*>(from + p + c * b_column), b_column,
                              reinterpret_cast<U*>(to + p * step + c), step,
                              min(kSide, columns - c));
    }
  }
  return p;
}

/// Packs rows from ... to - 1 of columns first ... last - 1 of a row-major B. It takes a few rows through all
/// panels at a time, because whole columns would touch a memory page per row.
template <class T, class A>
void pack_contiguous(Index k, Index n, Index first, Index last, Index from, Index to, const T* b,
                     Index b_row, T* packed) {
  using Size = Tile<T, A>;
  using V = typename Size::V;
  constexpr Index kRowsTogether = 8;
  for (Index p0 = from; p0 < to; p0 += kRowsTogether) {
    const Index end = min(to, p0 + kRowsTogether);
    for (Index j = first; j < last; j += Size::kColumns) {
      const Index columns = min(Size::kColumns, n - j);
      const Index step = packed_step<T, A>(columns);
      const Index whole = columns == step ? step : step - Size::kWidth;
      for (Index p = p0; p < end; ++p) {
        const T* row = b + p * b_row + j;
        T* at = packed + j * k + p * step;
        for (Index v = 0; v < whole; v += Size::kWidth) {
          V::load_unaligned(row + v).store_unaligned(at + v);
        }
        if (whole < columns) {
          load_first<T, A>(row + whole, columns - whole).store_unaligned(at + whole);
        }
      }
    }
  }
}

/// Packs a panel of B whose columns are not contiguous.
template <class T, class A>
void pack_columns(Index k, Index columns, const T* from, Index b_row, Index b_column, T* to,
                  Index step) {
  using V = Vec<T, A>;
  Index p = pack_squares<T, A>(0, k, columns, from, b_row, b_column, to, step);
  if (columns < step) {
    for (Index r = p; r < k; ++r) V(T(0)).store_unaligned(to + r * step + step - V::size);
  }
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<A, Avx512>) {
    p = pack_squares<T, HalfOfAvx512>(p, k, columns, from, b_row, b_column, to, step);
  }
#endif
  for (Index c = 0; c < columns; ++c) {
    for (Index r = p; r < k; ++r) to[r * step + c] = from[r * b_row + c * b_column];
  }
}

/// Computes `rows` rows of C from row `first` on, for `depth` steps of k from from_k on.
template <class T, class A>
void multiply_rows(const GemmBlock<T>& s, Index depth, Index from_k, const T* a, Index a_row,
                   Index a_column, bool packed, Index first, Index rows) {
  using Size = Tile<T, A>;
  const Accumulate accumulate = from_k == 0 ? s.accumulate : Accumulate::add;
  for (Index j = 0; j < s.n; j += Size::kColumns) {
    const Index columns = min(Size::kColumns, s.n - j);
    const Index step = s.b_row == 0 ? packed_step<T, A>(columns) : s.b_row;
    const T* b = s.b + (s.b_row == 0 ? j * s.k : j) + from_k * step;
    const T* bias = s.bias == nullptr ? nullptr : s.bias + j;
    gemm_panel<T, A>(rows, depth, a, packed ? 1 : a_row, packed ? kLeftStep<T, A> : a_column,
                     packed ? kLeftStep<T, A> * depth : Size::kRows * a_row, b, step, accumulate,
                     bias, s.c + first * s.c_row + j, s.c_row, columns);
  }
}

}  // namespace

template <class T, class A> Index GemmKernels<T, A>::columns() { return Tile<T, A>::kColumns; }

template <class T, class A>
bool GemmKernels<T, A>::reads_unpacked(Index n, Index k, Index b_row, Index b_column) {
  // b_row == 0 would mean packed (GemmBlock::b_row).
  if (b_column != 1 || !whole_vectors<T, A>(n) || b_row > kCloseRows || b_row == 0) return false;
  // A narrow panel takes one cache line of each row, and distant rows compete for few cache sets.
  constexpr bool kNarrow = Tile<T, A>::kColumns * static_cast<Index>(sizeof(T)) <= kLine;
  return !kNarrow || min(k, kDepth) * b_row * static_cast<Index>(sizeof(T)) <= kL1;
}

template <class T, class A> Index GemmKernels<T, A>::packed_size(Index k, Index n) {
  return k * round_up(n, Tile<T, A>::kWidth);
}

template <class T, class A>
void GemmKernels<T, A>::pack(Index k, Index n, Index first, Index last, const T* b, Index b_row,
                             Index b_column, T* packed) {
  using Size = Tile<T, A>;
  if (b_column == 1) {
    pack_contiguous<T, A>(k, n, first, last, 0, k, b, b_row, packed);
    return;
  }
  for (Index j = first; j < last; j += Size::kColumns) {
    const Index columns = min(Size::kColumns, n - j);
    pack_columns<T, A>(k, columns, b + j * b_column, b_row, b_column, packed + j * k,
                       packed_step<T, A>(columns));
  }
}

template <class T, class A>
void GemmKernels<T, A>::pack_rows(Index k, Index n, Index first, Index last, const T* b,
                                  Index b_row, T* packed) {
  pack_contiguous<T, A>(k, n, 0, n, first, last, b, b_row, packed);
}

template <class T, class A> void GemmKernels<T, A>::multiply(const GemmBlock<T>& s) {
  alignas(64) T left[kLeftRows / Tile<T, A>::kRows * kLeftStep<T, A> * kDepth];
  const bool packs = s.n > 2 * Tile<T, A>::kColumns && (s.a_column != 1 || s.a_row >= kFarApart);
  const Index height = packs ? kLeftRows : s.m;
  Index from_k = 0;
  do {  // once even if k is 0, to initialise C
    const Index depth = min(kDepth, s.k - from_k);
    for (Index i = 0; i < s.m; i += height) {
      const Index rows = min(height, s.m - i);
      const T* a = s.a + i * s.a_row + from_k * s.a_column;
      if (packs) pack_left<T, A>(rows, depth, a, s.a_row, s.a_column, left);
      multiply_rows<T, A>(s, depth, from_k, packs ? left : a, s.a_row, s.a_column, packs, i, rows);
    }
    from_k += depth;
  } while (from_k < s.k);
}

template <class T, class A>
void GemmKernels<T, A>::small(const GemmBlock<T>& s, const T* b, Index b_row, Index b_column) {
  using Size = Tile<T, A>;
  if (reads_unpacked(s.n, s.k, b_row, b_column)) {
    GemmBlock<T> whole = s;
    whole.b = b;
    whole.b_row = b_row;
    multiply(whole);
    return;
  }
  alignas(64) T packed[kDepth * Size::kColumns];
  for (Index j = 0; j < s.n; j += Size::kColumns) {
    GemmBlock<T> part = s;
    part.n = min(Size::kColumns, s.n - j);
    part.c = s.c + j;
    if (s.bias != nullptr) part.bias = s.bias + j;
    Index from_k = 0;
    do {
      part.k = min(kDepth, s.k - from_k);
      part.a = s.a + from_k * s.a_column;
      pack(part.k, part.n, 0, part.n, b + j * b_column + from_k * b_row, b_row, b_column, packed);
      part.b = packed;
      multiply_rows<T, A>(part, part.k, 0, part.a, part.a_row, part.a_column, false, 0, part.m);
      part.accumulate = Accumulate::add;
      from_k += part.k;
    } while (from_k < s.k);
  }
}

template struct GemmKernels<float, XTAPE_ARCH>;
template struct GemmKernels<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
