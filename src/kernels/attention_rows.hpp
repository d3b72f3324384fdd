#pragma once
// What attention's forward and backward share: a row of scores made ready for the exponential. For
// the sources of kernels only (see simd.hpp).

#include "kernels/attention.hpp"
#include "kernels/gemm_tile.hpp"
#include "kernels/lanes.hpp"
#include "kernels/philox.hpp"
#include "kernels/vector_math.hpp"

namespace xtape::kernels {

template <class T>
inline constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();

constexpr Index lesser(Index a, Index b) { return a < b ? a : b; }
constexpr Index greater(Index a, Index b) { return a > b ? a : b; }
constexpr Index round_up(Index n, Index step) { return (n + step - 1) / step * step; }

/// The exponential in the unit that is cheapest: 2^x in float, e^x in double. exp(-infinity) is
/// exactly 0, of NaN NaN.
template <class T, class A>
struct Exponential {
  using V = Vec<T, A>;
  static constexpr T kUnit = sizeof(T) == 4 ? static_cast<T>(1.4426950408889634) : T(1);

  /// 2^f for f within 1/2: a polynomial with a relative error of 2e-9, fitted at Chebyshev nodes.
  [[gnu::always_inline]] static inline V power_of_fraction(const V& f) {
    V y = xsimd::fma(V(1.53458075e-4F), f, V(1.33999312e-3F));
    y = xsimd::fma(y, f, V(9.61848897e-3F));
    y = xsimd::fma(y, f, V(5.55032878e-2F));
    y = xsimd::fma(y, f, V(2.40226469e-1F));
    y = xsimd::fma(y, f, V(6.93147206e-1F));
    return xsimd::fma(y, f, V(1.0F));
  }

  static V of(const V& x) {
    if constexpr (sizeof(T) == 4) {
      // 2^n 2^f. Below the normal numbers the result is 0.
#if defined(__AVX512F__)
      if constexpr (std::is_same_v<A, Avx512>) {
        const V n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        const __mmask16 normal = _mm512_cmp_ps_mask(x, V(-126.0F), _CMP_NLT_UQ);  // or no number
        return _mm512_maskz_scalef_ps(normal, power_of_fraction(x - n), n);
      } else if constexpr (std::is_same_v<A, HalfOfAvx512>) {
        const V n = _mm256_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        const __mmask8 normal = _mm256_cmp_ps_mask(x, V(-126.0F), _CMP_NLT_UQ);
        return _mm256_maskz_scalef_ps(normal, power_of_fraction(x - n), n);
      }
#endif
      const V limited = xsimd::max(V(-126.0F), xsimd::min(V(127.0F), x));
      const V n = xsimd::nearbyint(limited);
      V y = power_of_fraction(limited - n);
      const auto power = xsimd::to_int(n) + 127;
      y = y * xsimd::bitwise_cast<V>(power << 23);
      y = xsimd::select(x < V(-126.0F), V(0.0F), y);
      return xsimd::select(a_number(x), y, x);
    } else {
      return VectorMath<V>::exp_flushed(x);
    }
  }
};

/// Which keys a query can see at most.
struct Seen {
  Index first, last;  // none if first >= last
};

template <class T>
[[gnu::always_inline]] inline Seen seen_by(const AttentionHeads<T>& p, Index i) {
  if (p.query_keep != nullptr && !p.query_keep[i]) return {p.last_key, p.last_key};
  return {greater(p.first_key, i - p.behind), lesser(p.last_key, i + p.ahead + 1)};
}

/// The same for any of the queries begin ... end - 1.
template <class T>
[[gnu::always_inline]] inline Seen seen_by(const AttentionHeads<T>& p, Index begin, Index end) {
  return {greater(p.first_key, begin - p.behind), lesser(p.last_key, end - 1 + p.ahead + 1)};
}

/// Whether the first key that any of them sees is not before key j0: nothing was added up yet.
template <class T>
inline bool sees_first(const AttentionHeads<T>& p, Index begin, Index end, Index j0) {
  return seen_by(p, begin, end).first >= j0;
}

/// Of a block of n keys from j0 on, what any of the queries begin ... end - 1 sees: from a column where
/// B is packed on. Nothing if first >= last.
template <class T, class A>
inline Seen seen_of_block(const AttentionHeads<T>& p, Index begin, Index end, Index j0, Index n) {
  const Seen seen = seen_by(p, begin, end);
  constexpr Index kStep = Tile<T, A>::kColumns;
  return {greater(0, seen.first - j0) / kStep * kStep, lesser(n, seen.last - j0)};
}

/// Keys of a block, at most `most`, whose rows of `widest` elements are within the budget.
template <class T, class A>
constexpr Index keys_of_block(Index most, Index budget, Index widest) {
  constexpr Index kStep = Tile<T, A>::kColumns;
  return lesser(most, greater(kStep, budget / widest / kStep * kStep));
}

/// The right side of a product, k x n: packed, or rows of contiguous elements as they are.
template <class T>
struct Right {
  const T* data = nullptr;
  Index k = 0, n = 0;
  Index row = 0;  // 0: packed
};

/// Rows of memory as the right side; into `packed` where they cannot be read as they are.
template <class T, class A>
inline Right<T> rows_as_right(Index k, Index n, const T* from, Index row, T* packed) {
  if (GemmKernels<T, A>::reads_unpacked(n, k, row, 1)) return {from, k, n, row};
  GemmKernels<T, A>::pack(k, n, 0, n, from, row, 1, packed);
  return {packed, k, n, 0};
}

/// C (rows x n) from A (rows x k) and the k rows of B from `from_k` on, for the columns of B that hold
/// any of first ... last. `Wide`: B is packed, and what it is filled up with
/// may go to C, too, so that only whole vectors are written.
template <class T, class A, bool Wide = false>
inline void times(Index rows, Index k, const T* a, Index a_row, Index a_column, const Right<T>& b,
                  Index from_k, Index first, Index last, Accumulate accumulate, T* c, Index c_row) {
  using Size = Tile<T, A>;
  constexpr Index kHalf = static_cast<Index>(Half<T, A>::V::size);
  for (Index j = first / Size::kColumns * Size::kColumns; j < last; j += Size::kColumns) {
    const Index there = lesser(Size::kColumns, b.n - j);
    const Index step = b.row == 0 ? packed_step<T, A>(there) : b.row;
    const T* from = b.data + (b.row == 0 ? j * b.k : j) + from_k * step;
    const Index columns = Wide ? round_up(there, kHalf) : there;
    gemm_panel<T, A>(rows, k, a, a_row, a_column, Size::kRows * a_row, from, step, accumulate,
                     nullptr, c + j, c_row, columns);
  }
}

/// What x * factor - shift is to be, in units of the exponential, for a row of products x.
template <class T, class A>
inline T exponent_factor(const AttentionHeads<T>& p) {
  const bool scaled = p.bias != nullptr || p.slopes != nullptr;  // prepare_row() did
  return (scaled ? T(1) : p.scale) * Exponential<T, A>::kUnit;
}

/// Adds biases to the products of query i with the keys from j0 on, x[begin] ... x[end - 1], and puts
/// -infinity where it does not see the key.
template <class T, class A>
inline void prepare_row(const AttentionHeads<T>& p, Index head, Index i, Index j0, Index begin,
                        Index end, T* x) {
  const Seen seen = seen_by(p, i);
  const Index lo = lesser(end, greater(begin, seen.first - j0));
  const Index hi = greater(lo, lesser(end, seen.last - j0));
  if (p.bias != nullptr || p.slopes != nullptr) {
    for (Index j = lo; j < hi; ++j) x[j] *= p.scale;
  }
  if (p.bias != nullptr) {
    const T* bias = p.bias + head * p.bias_head + i * p.bias_row + j0 * p.bias_column;
    if (p.bias_column == 1) {
      for (Index j = lo; j < hi; ++j) x[j] += bias[j];
    } else {
      for (Index j = lo; j < hi; ++j) x[j] += bias[j * p.bias_column];
    }
  }
  if (p.slopes != nullptr) {
    const T slope = p.slopes[head];
    const Index here = i + p.position - j0;
    for (Index j = lo; j < hi; ++j) x[j] -= slope * static_cast<T>(j < here ? here - j : j - here);
  }
  if (p.key_keep != nullptr) {
    const bool* keep = p.key_keep + j0;
    for (Index j = lo; j < hi; ++j) x[j] = keep[j] ? x[j] : kMinusInfinity<T>;
  }
  if (p.mask != nullptr) {
    const bool* keep = p.mask + head * p.mask_head + i * p.mask_row + j0 * p.mask_column;
    if (p.mask_column == 1) {
      for (Index j = lo; j < hi; ++j) x[j] = keep[j] ? x[j] : kMinusInfinity<T>;
    } else {
      for (Index j = lo; j < hi; ++j) x[j] = keep[j * p.mask_column] ? x[j] : kMinusInfinity<T>;
    }
  }
  // Vectors that are not seen as a whole.
  constexpr Index kWidth = Tile<T, A>::kWidth;
  const auto hide = [&](Index j) {
    using V = Vec<T, A>;
    const auto below = [&](Index at) {
      const Index lanes = lesser(kWidth, greater(0, at - j));
      return (std::uint64_t{1} << lanes) - 1;
    };
    const std::uint64_t bits = below(hi) & ~below(lo);
    (where_bits<T, A>(bits, V::load_aligned(x + j)) + where_bits<T, A>(~bits, V(kMinusInfinity<T>)))
        .store_aligned(x + j);
  };
  Index j = begin;
  for (; j < lo; j += kWidth) hide(j);
  for (j = greater(j, hi / kWidth * kWidth); j < end; j += kWidth) hide(j);
}

template <class T, class A>
[[gnu::always_inline]] inline T largest_lane(const Vec<T, A>& x) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<A, Avx512> && sizeof(T) == 4) return _mm512_reduce_max_ps(x);
#endif
  constexpr Index kWidth = Tile<T, A>::kWidth;
  alignas(64) T lane[kWidth];
  x.store_aligned(lane);
  T most = lane[0];
  for (Index j = 1; j < kWidth; ++j) most = lane[j] > most ? lane[j] : most;
  return most;
}

/// The largest of row[lo] ... row[end - 1], whole vectors.
template <class T, class A>
inline T largest(const T* row, Index lo, Index end) {
  using V = Vec<T, A>;
  constexpr Index kWidth = Tile<T, A>::kWidth;
  V top = V::load_aligned(row + lo);
  for (Index j = lo + kWidth; j < end; j += kWidth) top = xsimd::max(top, V::load_aligned(row + j));
  return largest_lane<T, A>(top);
}

/// row = exp(row * factor - shift), whole vectors; the sum of it.
template <class T, class A>
inline T exponentials(T* row, Index lo, Index end, T factor, T shift) {
  using V = Vec<T, A>;
  V sum(T(0));
  for (Index j = lo; j < end; j += Tile<T, A>::kWidth) {
    const V e = Exponential<T, A>::of(xsimd::fms(V::load_aligned(row + j), V(factor), V(shift)));
    e.store_aligned(row + j);
    sum += e;
  }
  return xsimd::hadd(sum);
}

/// Which probabilities of one row dropout keeps: the same as kernels::dropout for the array of all.
template <class A>
struct RowDropout {
  static constexpr Index kMost = 128;
  std::uint64_t kept[kMost / 64];
  // The 64 elements drawn last: rows of few keys lie in them together.
  Index last_base = -1;
  std::uint64_t last_bits = 0;

  /// For the keys j0 + begin ... j0 + end - 1 of query i. All calls are for the same call of attention.
  template <class T>
  void draw(const AttentionHeads<T>& p, Index head, Index i, Index j0, Index begin, Index end) {
    const Philox<A> philox{p.seed, p.index};
    const std::uint32_t limit = philox_limit(p.rate);
    const auto bits = [&](Index base) {
      if (base != last_base) {
        last_base = base;
        last_bits = philox.keep(base, limit);
      }
      return last_bits;
    };
    Index first = p.first_element + (head * p.queries + i) * p.keys + j0 + begin;
    for (Index m = 0; m * 64 < end - begin; ++m, first += 64) {
      const Index shift = first % 64;
      kept[m] = bits(first - shift) >> shift;
      if (shift + lesser(64, end - begin - m * 64) > 64) {
        kept[m] |= bits(first - shift + 64) << (64 - shift);
      }
    }
  }
  /// One bit per lane of the vector at j, counted from `begin`.
  [[nodiscard]] std::uint64_t at(Index j) const { return kept[j / 64] >> (j % 64); }
};

/// What the kept ones are multiplied by.
template <class T>
inline T dropout_scale(const AttentionHeads<T>& p) {
  return p.rate < 1 ? static_cast<T>(1 / (1 - p.rate)) : T(0);
}

}  // namespace xtape::kernels
