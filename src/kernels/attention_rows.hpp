#pragma once
// The parts that attention's forward, backward and step share: visible keys, products, a row of scores, its
// exponentials and its dropout. For the sources of kernels only (see simd.hpp).

#include "kernels/attention.hpp"
#include "kernels/gemm_tile.hpp"
#include "kernels/lanes.hpp"
#include "kernels/philox.hpp"
#include "kernels/rounded_gemm.hpp"
#include "kernels/vector_math.hpp"

namespace xtape::kernels {

template <class T> inline constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();

/// The exponential exp(x / kUnit) in its cheapest unit: 2^x in float, e^x in double. It is exactly 0 for
/// -infinity and NaN for NaN.
template <class T, class A> struct Exponential {
  using V = Vec<T, A>;
  static constexpr T kUnit = sizeof(T) == 4 ? static_cast<T>(1.4426950408889634) : T(1);

  /// Returns 2^f for |f| <= 1/2: a polynomial fitted at Chebyshev nodes, with a relative error of 2e-9.
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
      // x = n + f, 2^x = 2^n 2^f. Denormal results are 0.
#if defined(__AVX512F__)
      if constexpr (std::is_same_v<A, Avx512>) {
        const V n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        const __mmask16 normal = _mm512_cmp_ps_mask(x, V(-126.0F), _CMP_NLT_UQ);  // or NaN
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
      const auto power = (xsimd::to_int(n) + 127) << 23;
      y = y * V(bits_as<typename V::register_type>(power.data));
      y = xsimd::select(x < V(-126.0F), V(0.0F), y);
      return xsimd::select(a_number(x), y, x);
    } else {
      return VectorMath<V>::exp_flushed(x);
    }
  }
};

/// The keys (or columns of a block) first ... last - 1; none if first >= last.
struct KeyRange {
  Index first, last;
};

/// Returns the smallest range that holds all keys that query i sees.
template <class T>
[[gnu::always_inline]] inline KeyRange visible_keys(const AttentionHeads<T>& p, Index i) {
  if (p.query_keep != nullptr && !p.query_keep[i]) return {p.last_key, p.last_key};
  return {max(p.first_key, i - p.behind), min(p.last_key, i + p.ahead + 1)};
}

/// Returns a range that holds all keys that any of the queries begin ... end - 1 sees.
template <class T>
[[gnu::always_inline]] inline KeyRange visible_keys(const AttentionHeads<T>& p, Index begin,
                                                    Index end) {
  return {max(p.first_key, begin - p.behind), min(p.last_key, end - 1 + p.ahead + 1)};
}

/// Returns whether the block at key j0 is the first that any of the queries begin ... end - 1 sees: their
/// sums are still empty.
template <class T>
inline bool is_first_block(const AttentionHeads<T>& p, Index begin, Index end, Index j0) {
  return visible_keys(p, begin, end).first >= j0;
}

/// Returns the columns of the block of n keys at j0 that any of the queries begin ... end - 1 sees. They begin
/// at a packed panel, and at a group of rounded terms.
template <class T, class A>
inline KeyRange visible_columns(const AttentionHeads<T>& p, Index begin, Index end, Index j0,
                                Index n) {
  const KeyRange keys = visible_keys(p, begin, end);
  const Index step = p.rounded != nullptr ? RoundedGemm<A>::kGroup : Tile<T, A>::kColumns;
  return {max(0, keys.first - j0) / step * step, min(n, keys.last - j0)};
}

/// Returns the number of keys in a block: at most `most`, with rows of `widest` elements within the budget.
/// The same on every instruction set, because rows are rescaled after each block.
template <class T> constexpr Index keys_per_block(Index most, Index budget, Index widest) {
  constexpr Index kStep = 2 * kLanes<T>;
  return min(most, max(kStep, budget / round_up(widest, kLanes<T>) / kStep * kStep));
}

/// The right side of a product, k x n: packed or row-major.
template <class T> struct RightSide {
  const T* data = nullptr;
  Index k = 0, n = 0;
  Index row = 0;  // 0: packed
};

/// Packs k rows of n elements as a right side.
template <class T, class A>
inline void pack_right(const AttentionHeads<T>& p, Index k, Index n, const T* from, Index row,
                       Index column, T* packed) {
  (p.rounded != nullptr ? p.rounded->pack : &GemmKernels<T, A>::pack)(k, n, 0, n, from, row, column,
                                                                      packed);
}

/// Returns k rows of n elements as a right side: unpacked if the kernels can read them, else packed.
template <class T, class A>
inline RightSide<T> right_side(const AttentionHeads<T>& p, Index k, Index n, const T* from,
                               Index row, T* packed) {
  if (p.rounded == nullptr && GemmKernels<T, A>::reads_unpacked(n, k, row, 1))
    return {from, k, n, row};
  pack_right<T, A>(p, k, n, from, row, 1, packed);
  return {packed, k, n, 0};
}

/// Computes C (rows x n) from A (rows x k) and rows from_k ... from_k + k - 1 of B, for the panels of B that
/// hold columns first ... last - 1. `Wide`: C is an array of scores; only whole vectors are written, with the padding of a
/// packed B, or whole tiles.
template <class T, class A, bool Wide = false>
inline void multiply_block(const AttentionHeads<T>& p, Index rows, Index k, const T* a, Index a_row,
                           Index a_column, const RightSide<T>& b, Index from_k, Index first,
                           Index last, Accumulate accumulate, T* c, Index c_row) {
  using Size = Tile<T, A>;
  if (p.rounded != nullptr) {
    // Whole panels, because their widths were chosen when B was packed.
    constexpr Index kPanels = RoundedGemm<A>::kGroup;
    const Index from = first / kPanels * kPanels;
    const Index end = min(b.n, round_up(last, kPanels));
    const T* panels = b.data + p.rounded->packed_size(b.k, from);
    p.rounded->multiply({rows, end - from, k, a, a_row, a_column, panels, 0, accumulate, nullptr,
                         c + from, c_row, b.k, from_k, Wide});
    return;
  }
  constexpr Index kHalf = static_cast<Index>(Half<T, A>::V::size);
  for (Index j = first / Size::kColumns * Size::kColumns; j < last; j += Size::kColumns) {
    const Index width = min(Size::kColumns, b.n - j);
    const Index step = b.row == 0 ? packed_step<T, A>(width) : b.row;
    const T* from = b.data + (b.row == 0 ? j * b.k : j) + from_k * step;
    const Index columns = Wide ? round_up(width, kHalf) : width;
    gemm_panel<T, A>(rows, k, a, a_row, a_column, Size::kRows * a_row, from, step, accumulate,
                     nullptr, c + j, c_row, columns);
  }
}

/// Returns the factor that turns a row from add_bias_and_mask() into units of the exponential.
template <class T, class A> inline T exponent_factor(const AttentionHeads<T>& p) {
  const bool scaled = p.bias != nullptr || p.slopes != nullptr;  // add_bias_and_mask() scaled
  return (scaled ? T(1) : p.scale) * Exponential<T, A>::kUnit;
}

/// Adds biases to x[j] = q k^T of query i and key j0 + j, begin <= j < end, and stores -infinity where the
/// query does not see the key. Scales the row if there is a bias.
template <class T, class A>
[[gnu::always_inline]] inline void add_bias_and_mask(const AttentionHeads<T>& p, Index head,
                                                     Index i, Index j0, Index begin, Index end,
                                                     T* x) {
  const KeyRange keys = visible_keys(p, i);
  const Index lo = min(end, max(begin, keys.first - j0));
  const Index hi = max(lo, min(end, keys.last - j0));
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
  // Vectors with lanes outside lo ... hi - 1.
  constexpr Index kWidth = Tile<T, A>::kWidth;
  const auto hide = [&](Index j) {
    using V = Vec<T, A>;
    const auto below = [&](Index at) {
      const Index lanes = min(kWidth, max(0, at - j));
      return (std::uint64_t{1} << lanes) - 1;
    };
    const std::uint64_t bits = below(hi) & ~below(lo);
    (where_bits<T, A>(bits, V::load_aligned(x + j)) + where_bits<T, A>(~bits, V(kMinusInfinity<T>)))
        .store_aligned(x + j);
  };
  Index j = begin;
  for (; j < lo; j += kWidth) hide(j);
  for (j = max(j, hi / kWidth * kWidth); j < end; j += kWidth) hide(j);
}

/// Returns the maximum of row[lo] ... row[end - 1], whole vectors.
template <class T, class A> inline T max_of_row(const T* row, Index lo, Index end) {
  using V = Vec<T, A>;
  constexpr Index kWidth = Tile<T, A>::kWidth;
  V top = V::load_aligned(row + lo);
  for (Index j = lo + kWidth; j < end; j += kWidth) top = xsimd::max(top, V::load_aligned(row + j));
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<A, Avx512> && sizeof(T) == 4) return _mm512_reduce_max_ps(top);
#endif
  alignas(64) T lane[kWidth];
  top.store_aligned(lane);
  T most = lane[0];
  for (Index j = 1; j < kWidth; ++j) most = lane[j] > most ? lane[j] : most;
  return most;
}

/// Stores row = exp(row * factor - shift), whole vectors from a multiple of kLanes on, and returns the sum of
/// the row.
template <class T, class A> inline T exponentials(T* row, Index lo, Index end, T factor, T shift) {
  using V = Vec<T, A>;
  V sum[kParts<V>];
  for (V& part : sum) part = V(T(0));
  for_parts<V>(end - lo, [&](auto which, Index j, Index, auto) {
    T* at = row + lo + j;
    const V e = Exponential<T, A>::of(xsimd::fms(V::load_aligned(at), V(factor), V(shift)));
    e.store_aligned(at);
    sum[which] += e;
  });
  return sum_parts(sum);
}

/// Returns max_of_row() of four rows, `pitch` apart, in the lanes of FourRows.
template <class T, class A>
[[gnu::always_inline]] inline Vec<T, A> maxima_of_four(const T* row, Index pitch, Index lo,
                                                       Index end) {
  using V = Vec<T, A>;
  V top[4];
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) top[k] = V::load_aligned(row + k * pitch + lo);
  for (Index j = lo + Tile<T, A>::kWidth; j < end; j += Tile<T, A>::kWidth) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) top[k] = xsimd::max(top[k], V::load_aligned(row + k * pitch + j));
  }
  return FourRows<V>::fold(top, [](const V& a, const V& b) { return xsimd::max(a, b); });
}

/// Does the same as exponentials() for four rows, `pitch` apart. One row alone waits for its own instructions.
template <class T, class A>
[[gnu::always_inline]] inline Vec<T, A> exponentials_of_four(T* row, Index pitch, Index lo,
                                                             Index end, T factor,
                                                             const T (&shift)[4]) {
  using V = Vec<T, A>;
  static_assert(kParts<V> == 1);
  V sum[4];
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) sum[k] = V(T(0));
  for (Index j = lo; j < end; j += Tile<T, A>::kWidth) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      T* const at = row + k * pitch + j;
      const V e = Exponential<T, A>::of(xsimd::fms(V::load_aligned(at), V(factor), V(shift[k])));
      e.store_aligned(at);
      sum[k] += e;
    }
  }
  return FourRows<V>::fold(sum, [](const V& a, const V& b) { return a + b; });
}

/// Returns the sum of f(a[i]) * f(b[i]).
template <class T, class A, class F>
[[gnu::always_inline]] inline T dot(const T* a, const T* b, Index n, const F& f) {
  using V = Vec<T, A>;
  V sum[kParts<V>];
  for (V& part : sum) part = V(T(0));
  for_parts<V>(n, [&](auto which, Index i, Index count, auto part) {
    sum[which] = xsimd::fma(f(load_part<T, A>(a + i, count, part)),
                            f(load_part<T, A>(b + i, count, part)), sum[which]);
  });
  return sum_parts(sum);
}

/// Returns the sum of a[i] * b[i].
template <class T, class A> [[gnu::always_inline]] inline T dot(const T* a, const T* b, Index n) {
  return dot<T, A>(a, b, n, [](const Vec<T, A>& v) { return v; });
}

/// The probabilities of one row that dropout keeps, with the bits of kernels::dropout.
template <class A> struct RowDropout {
  static constexpr Index kMost = 128;
  std::uint64_t kept[kMost / 64];
  // The 64 elements drawn last: several short rows share them.
  Index last_base = -1;
  std::uint64_t last_bits = 0;

  /// Draws for the keys j0 + begin ... j0 + end - 1 of query i. One object serves one call of attention.
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
      if (shift + min(64, end - begin - m * 64) > 64) {
        kept[m] |= bits(first - shift + 64) << (64 - shift);
      }
    }
  }
  /// Returns bits for the vector at j, counted from `begin`: bit l tells whether element j + l is kept.
  [[nodiscard]] std::uint64_t at(Index j) const { return kept[j / 64] >> (j % 64); }
};

/// Returns the factor of probabilities that are kept.
template <class T> inline T dropout_scale(const AttentionHeads<T>& p) {
  return p.rate < 1 ? static_cast<T>(1 / (1 - p.rate)) : T(0);
}

}  // namespace xtape::kernels
