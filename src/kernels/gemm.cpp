#include "kernels/gemm.hpp"

#include "kernels/gemm_tile.hpp"
#include "kernels/transpose.hpp"

namespace xtape::kernels {
namespace {

constexpr Index kDepth = 256;      // of k, so that the columns of B in use stay in the first cache
constexpr Index kLeftRows = 96;    // rows of A gathered at a time, a multiple of every Tile::kRows
constexpr Index kCloseRows = 128;  // rows of B no further apart than this need no packing
constexpr Index kLine = 64;        // bytes of a line of the cache
constexpr Index kFirstCache = 32768;
constexpr Index kFarApart = 512;  // rows of A further apart than this share lines of the cache

constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }

/// Rows of A one tile high next to each other, so that k runs through consecutive memory; whole vectors
/// are written, so one step of k takes this many elements.
template <class T, class A>
inline constexpr Index kGatheredStep =
    (Tile<T, A>::kRows + Tile<T, A>::kWidth - 1) / Tile<T, A>::kWidth* Tile<T, A>::kWidth;

template <class T, class A>
void gather_rows(Index rows, Index k, const T* a, Index a_row, Index a_column, T* to) {
  using U = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  using V = Vec<T, A>;
  constexpr Index kHigh = Tile<T, A>::kRows;
  constexpr Index kWidth = Tile<T, A>::kWidth;
  constexpr Index kStep = kGatheredStep<T, A>;
  for (Index i = 0; i < rows; i += kHigh, to += k * kStep) {
    for (Index v = 0; v < kStep; v += kWidth) {
      const Index there = smaller(kWidth, rows - i - v);  // also of the next tile: it does no harm
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
          Square<U, A>::turn(reinterpret_cast<const U*>(from + p), a_row,
                             reinterpret_cast<U*>(to + p * kStep + v), kStep, there);
        }
      }
      for (Index r = 0; r < there; ++r) {
        for (Index q = p; q < k; ++q) to[q * kStep + v + r] = from[r * a_row + q * a_column];
      }
    }
  }
}

/// Rows p ... of a sliver of B whose columns are apart, in squares, as long as these have all their rows;
/// the first row that is left. Where columns are missing the last one stands for them.
template <class T, class A>
Index pack_squares(Index p, Index k, Index columns, const T* from, Index b_row, Index b_column,
                   T* to, Index step) {
  using U = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr Index kSide = Tile<T, A>::kWidth;
  if (b_row != 1) return p;
  for (; p + kSide <= k; p += kSide) {
    for (Index c = 0; c < columns; c += kSide) {
      Square<U, A>::turn(reinterpret_cast<const U*>(from + p + c * b_column), b_column,
                         reinterpret_cast<U*>(to + p * step + c), step,
                         smaller(kSide, columns - c));
    }
  }
  return p;
}

/// Rows from ... to - 1 of columns first ... last - 1 of B, whose columns are next to each other. A few
/// rows at a time, through all slivers: so that memory is read in the order in which it lies.
template <class T, class A>
void pack_contiguous(Index k, Index n, Index first, Index last, Index from, Index to, const T* b,
                     Index b_row, T* packed) {
  using Size = Tile<T, A>;
  using V = typename Size::V;
  constexpr Index kRowsTogether = 8;
  for (Index p0 = from; p0 < to; p0 += kRowsTogether) {
    const Index end = smaller(to, p0 + kRowsTogether);
    for (Index j = first; j < last; j += Size::kColumns) {
      const Index columns = smaller(Size::kColumns, n - j);
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

/// A sliver of B whose columns are apart.
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

template <class T, class A>
void tiles(const GemmBlock<T>& s, Index depth, Index from_k, const T* a, Index a_row,
           Index a_column, bool gathered, Index first, Index rows) {
  using Size = Tile<T, A>;
  const Accumulate accumulate = from_k == 0 ? s.accumulate : Accumulate::add;
  for (Index j = 0; j < s.n; j += Size::kColumns) {
    const Index columns = smaller(Size::kColumns, s.n - j);
    const Index step = s.b_row == 0 ? packed_step<T, A>(columns) : s.b_row;
    const T* b = s.b + (s.b_row == 0 ? j * s.k : j) + from_k * step;
    const T* bias = s.bias == nullptr ? nullptr : s.bias + j;
    gemm_panel<T, A>(rows, depth, a, gathered ? 1 : a_row,
                     gathered ? kGatheredStep<T, A> : a_column,
                     gathered ? kGatheredStep<T, A> * depth : Size::kRows * a_row, b, step,
                     accumulate, bias, s.c + first * s.c_row + j, s.c_row, columns);
  }
}

}  // namespace

template <class T, class A>
Index GemmKernels<T, A>::columns() {
  return Tile<T, A>::kColumns;
}

template <class T, class A>
bool GemmKernels<T, A>::reads_unpacked(Index n, Index k, Index b_row, Index b_column) {
  // One row for all k looks like a packed panel (GemmBlock::b_row).
  if (b_column != 1 || !whole_vectors<T, A>(n) || b_row > kCloseRows || b_row == 0) return false;
  // A narrow sliver has one line of the cache in each row, and rows far apart share few places in it.
  constexpr bool kNarrow = Tile<T, A>::kColumns * static_cast<Index>(sizeof(T)) <= kLine;
  return !kNarrow || smaller(k, kDepth) * b_row * static_cast<Index>(sizeof(T)) <= kFirstCache;
}

template <class T, class A>
Index GemmKernels<T, A>::packed_size(Index k, Index n) {
  constexpr Index kWidth = Tile<T, A>::kWidth;
  return k * ((n + kWidth - 1) / kWidth * kWidth);
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
    const Index columns = smaller(Size::kColumns, n - j);
    pack_columns<T, A>(k, columns, b + j * b_column, b_row, b_column, packed + j * k,
                       packed_step<T, A>(columns));
  }
}

template <class T, class A>
void GemmKernels<T, A>::pack_rows(Index k, Index n, Index first, Index last, const T* b,
                                  Index b_row, T* packed) {
  pack_contiguous<T, A>(k, n, 0, n, first, last, b, b_row, packed);
}

template <class T, class A>
void GemmKernels<T, A>::multiply(const GemmBlock<T>& s) {
  alignas(64) T gathered[kLeftRows / Tile<T, A>::kRows * kGatheredStep<T, A> * kDepth];
  const bool gather = s.n > 2 * Tile<T, A>::kColumns && (s.a_column != 1 || s.a_row >= kFarApart);
  const Index height = gather ? kLeftRows : s.m;
  Index from_k = 0;
  do {  // also once where k is 0, for the sake of what C starts with
    const Index depth = smaller(kDepth, s.k - from_k);
    for (Index i = 0; i < s.m; i += height) {
      const Index rows = smaller(height, s.m - i);
      const T* a = s.a + i * s.a_row + from_k * s.a_column;
      if (gather) gather_rows<T, A>(rows, depth, a, s.a_row, s.a_column, gathered);
      tiles<T, A>(s, depth, from_k, gather ? gathered : a, s.a_row, s.a_column, gather, i, rows);
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
    part.n = smaller(Size::kColumns, s.n - j);
    part.c = s.c + j;
    if (s.bias != nullptr) part.bias = s.bias + j;
    Index from_k = 0;
    do {
      part.k = smaller(kDepth, s.k - from_k);
      part.a = s.a + from_k * s.a_column;
      pack(part.k, part.n, 0, part.n, b + j * b_column + from_k * b_row, b_row, b_column, packed);
      part.b = packed;
      tiles<T, A>(part, part.k, 0, part.a, part.a_row, part.a_column, false, 0, part.m);
      part.accumulate = Accumulate::add;
      from_k += part.k;
    } while (from_k < s.k);
  }
}

template struct GemmKernels<float, XTAPE_ARCH>;
template struct GemmKernels<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
