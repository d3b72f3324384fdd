#pragma once
// Operations between the lanes of vectors that xsimd lacks: masks, shuffles, and reductions over lanes. For
// the sources of kernels only (see simd.hpp). In formulas x[l] is lane l of x.

#include "kernels/simd.hpp"

#include <cstdint>
#include <utility>

namespace xtape::kernels {

/// Vectors of integers with the compiler's own operators. Specialized, because a vector_size cannot depend
/// on a template parameter.
template <int Bytes> struct Lanes;
#define XTAPE_LANES(bytes)                                         \
  template <> struct Lanes<bytes> {                                \
    typedef std::uint32_t U32 __attribute__((vector_size(bytes))); \
    typedef std::uint64_t U64 __attribute__((vector_size(bytes))); \
  };
XTAPE_LANES(16)
XTAPE_LANES(32)
XTAPE_LANES(64)
#undef XTAPE_LANES

/// Returns the bits of `from` as a To.
template <class To, class From> [[gnu::always_inline]] inline To bits_as(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(to));
  return to;
}

template <class T, class A> using Mask = xsimd::batch_bool<T, typename SimdArch<A>::type>;

/// Returns r with r[l] = (bit l of bits) ? x[l] : 0.
template <class T, class A>
[[gnu::always_inline]] inline Vec<T, A> where_bits(std::uint64_t bits, const Vec<T, A>& x) {
  using V = Vec<T, A>;
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(T) == 4) {
    return V(_mm512_maskz_mov_ps(static_cast<__mmask16>(bits), x));
  } else if constexpr (sizeof(V) == 64) {
    return V(_mm512_maskz_mov_pd(static_cast<__mmask8>(bits), x));
  }
#endif
  constexpr int kWords = static_cast<int>(sizeof(V)) / 4;
  using Words = typename Lanes<static_cast<int>(sizeof(V))>::U32;
  Words lane{};
  for (int i = 0; i < kWords; ++i) lane[i] = 1U << (i * 4 / static_cast<int>(sizeof(T)));
  const Words chosen = static_cast<std::uint32_t>(bits) - Words{};
  Words y;
  __builtin_memcpy(&y, &x.data, sizeof(y));
  y &= (Words)((chosen & lane) != 0);
  V out;
  __builtin_memcpy(&out.data, &y, sizeof(y));
  return out;
}

/// Returns r with r[l] = (bit l of bits) ? x[l] : y[l].
template <class T, class A>
[[gnu::always_inline]] inline Vec<T, A> where_bits_or(std::uint64_t bits, const Vec<T, A>& x,
                                                      const Vec<T, A>& y) {
#if defined(__AVX512F__)
  using V = Vec<T, A>;
  if constexpr (sizeof(V) == 64 && sizeof(T) == 4) {
    return V(_mm512_mask_mov_ps(y, static_cast<__mmask16>(bits), x));
  } else if constexpr (sizeof(V) == 64) {
    return V(_mm512_mask_mov_pd(y, static_cast<__mmask8>(bits), x));
  } else if constexpr (sizeof(V) == 32 && sizeof(T) == 4) {
    return V(_mm256_mask_mov_ps(y, static_cast<__mmask8>(bits), x));
  } else if constexpr (sizeof(V) == 32) {
    return V(_mm256_mask_mov_pd(y, static_cast<__mmask8>(bits), x));
  }
#endif
  return where_bits<T, A>(bits, x) + where_bits<T, A>(~bits, y);
}

/// Returns the mask m with m[l] = l < n && from[l]; n is at most the size of a vector.
template <class T, class A>
[[gnu::always_inline]] inline Mask<T, A> load_mask(const bool* from, Index n) {
  constexpr std::size_t kSize = Vec<T, A>::size;
  alignas(64) bool all[64] = {};
  if (n == static_cast<Index>(kSize)) {
    __builtin_memcpy(all, from, kSize);
  } else {
    for (Index i = 0; i < n; ++i) all[i] = from[i];
  }
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<A, Avx512>) {
    const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(all));
    if constexpr (sizeof(T) == 4) {
      const __m512i wide = _mm512_cvtepu8_epi32(bytes);
      return Mask<T, A>(_mm512_test_epi32_mask(wide, wide));
    } else {
      const __m512i wide = _mm512_cvtepu8_epi64(bytes);
      return Mask<T, A>(_mm512_test_epi64_mask(wide, wide));
    }
  }
#endif
#if defined(__AVX2__)
  if constexpr (std::is_same_v<A, Avx2>) {
    const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(all));
    if constexpr (sizeof(T) == 4) {
      const __m256i wide = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_cvtepu8_epi32(bytes));
      return Mask<T, A>(_mm256_castsi256_ps(wide));
    } else {
      const __m256i wide = _mm256_sub_epi64(_mm256_setzero_si256(), _mm256_cvtepu8_epi64(bytes));
      return Mask<T, A>(_mm256_castsi256_pd(wide));
    }
  }
#endif
  alignas(64) T values[kSize];
  for (std::size_t i = 0; i < kSize; ++i) values[i] = static_cast<T>(all[i]);
  return Vec<T, A>::load_aligned(values) != Vec<T, A>(T(0));
}

/// Returns r with r[l] = ab[Of[l]], where ab holds the lanes of a and then those of b.
template <int... Of, class V> [[gnu::always_inline]] inline V lanes_of(const V& a, const V& b) {
  using U = typename Lanes<static_cast<int>(sizeof(V))>::U32;
  using W = typename Lanes<static_cast<int>(sizeof(V))>::U64;
  using Bits = std::conditional_t<sizeof(typename V::value_type) == 4, U, W>;
  return V(bits_as<typename V::register_type>(
      Bits(__builtin_shufflevector(bits_as<Bits>(a.data), bits_as<Bits>(b.data), Of...))));
}
/// Returns r with r[l] = x[l ^ By].
template <int By, class V, std::size_t... I>
[[gnu::always_inline]] inline V crossed(const V& x, std::index_sequence<I...>) {
  return lanes_of<(static_cast<int>(I) ^ By)...>(x, x);
}
/// Returns r with r[l] = (l & By) ? b[m] : a[m], where m = Crossed ? l ^ By : l.
template <int By, bool Crossed, class V, std::size_t... I>
[[gnu::always_inline]] inline V halves_of(const V& a, const V& b, std::index_sequence<I...>) {
  return lanes_of<((static_cast<int>(I) & By) != 0 ? static_cast<int>(V::size) : 0) +
                  (static_cast<int>(I) ^ (Crossed ? By : 0))...>(a, b);
}

template <class V> [[gnu::always_inline]] inline typename V::value_type first_lane(const V& x) {
  typename V::value_type first;
  __builtin_memcpy(&first, &x.data, sizeof(first));
  return first;
}

/// Returns x[0] op x[1] op ... over all lanes, for a commutative op: first lanes l and l ^ size / 2, then
/// l and l ^ size / 4, and so on.
template <class V, class Op, int By = static_cast<int>(V::size) / 2>
[[gnu::always_inline]] inline typename V::value_type fold(const V& x, Op op) {
  if constexpr (By == 0) {
    return first_lane(x);
  } else {
    return fold<V, Op, By / 2>(op(x, crossed<By>(x, std::make_index_sequence<V::size>{})), op);
  }
}
/// Sums along rows have as many lanes as 64 bytes hold, on every instruction set: kParts vectors.
template <class T> constexpr Index kLanes = 64 / static_cast<Index>(sizeof(T));
template <class V> constexpr int kParts = 64 / static_cast<int>(sizeof(V));

/// Returns lanes l and l ^ size / 2 of all parts together merged, and so on, until one vector is left.
template <class V, class Op>
[[gnu::always_inline]] inline V fold_parts(const V (&x)[kParts<V>], Op op) {
  if constexpr (kParts<V> == 1) {
    return x[0];
  } else if constexpr (kParts<V> == 2) {
    return op(x[0], x[1]);
  } else {
    return op(op(x[0], x[2]), op(x[1], x[3]));
  }
}

/// Calls f(which, i, count, part) over n elements. `which` counts the vectors of `Groups` times 64 bytes, again
/// and again, as an integral constant. The last vector may hold fewer elements, as in for_vectors().
template <class V, int Groups = 1, class F>
[[gnu::always_inline]] inline void for_parts(Index n, const F& f) {
  constexpr Index kWidth = static_cast<Index>(V::size);
  constexpr int kVectors = Groups * kParts<V>;
  const auto all = [&]<int... P>(std::integer_sequence<int, P...>) {
    Index i = 0;
    for (; i + kVectors * kWidth <= n; i += kVectors * kWidth) {
      (f(std::integral_constant<int, P>{}, i + P * kWidth, kWidth, std::true_type{}), ...);
    }
    const auto rest = [&]<int Which>(std::integral_constant<int, Which> which, Index at) {
      if constexpr (Which + 1 < kVectors) {
        if (at + kWidth <= n) {
          f(which, at, kWidth, std::true_type{});
          return;
        }
      }
      if (at < n) f(which, at, n - at, std::false_type{});
    };
    (rest(std::integral_constant<int, P>{}, i + P * kWidth), ...);
  };
  all(std::make_integer_sequence<int, kVectors>{});
}

/// Returns x[0] + x[1] + ..., in fold()'s order.
template <class V> [[gnu::always_inline]] inline typename V::value_type sum_lanes(const V& x) {
  return fold(x, [](const V& a, const V& b) { return a + b; });
}

template <class V>
[[gnu::always_inline]] inline typename V::value_type sum_parts(const V (&x)[kParts<V>]) {
  return sum_lanes(fold_parts(x, [](const V& a, const V& b) { return a + b; }));
}

/// Returns r with r[l] = sum_lanes(x[l]), to the bit, for as many vectors as a vector has lanes. x is
/// overwritten.
template <class V, int By = static_cast<int>(V::size) / 2>
[[gnu::always_inline]] inline V sums_of_lanes(V* x) {
  constexpr std::make_index_sequence<V::size> lanes;
#pragma GCC unroll 8
  for (int k = 0; k < By; ++k) {
    x[k] =
        halves_of<By, false>(x[k], x[k + By], lanes) + halves_of<By, true>(x[k], x[k + By], lanes);
  }
  if constexpr (By == 1) {
    return x[0];
  } else {
    return sums_of_lanes<V, By / 2>(x);
  }
}

/// Reductions of four vectors, one per row, into one vector with one result per row.
template <class V> struct FourRows {
  static constexpr int kSize = static_cast<int>(V::size);

  /// Returns the lane that holds the result of a row.
  static constexpr int lane(int row) { return row / 2 * (kSize / 2) + row % 2 * (kSize / 4); }

  /// Returns r with r[lane(k)] = x[k][0] op x[k][1] op ..., in the order of kernels::fold().
  template <class Op> [[gnu::always_inline]] static inline V fold(const V (&x)[4], Op op) {
    const V even = meet<kSize / 2>(x[0], x[2], op);
    const V odd = meet<kSize / 2>(x[1], x[3], op);
    return rest_of<kSize / 8>(meet<kSize / 4>(even, odd, op), op);
  }

 private:
  static constexpr std::make_index_sequence<V::size> kLanes{};
  /// Returns r with r[l] = (l & By) ? b[l] op b[l ^ By] : a[l] op a[l ^ By].
  template <int By, class Op>
  [[gnu::always_inline]] static inline V meet(const V& a, const V& b, Op op) {
    return op(halves_of<By, false>(a, b, kLanes), halves_of<By, true>(a, b, kLanes));
  }
  template <int By, class Op> [[gnu::always_inline]] static inline V rest_of(const V& x, Op op) {
    if constexpr (By == 0) {
      return x;
    } else {
      return rest_of<By / 2>(op(x, crossed<By>(x, kLanes)), op);
    }
  }
};

/// Returns the mask of lanes that are not NaN. (x != x does not find NaN in xsimd 8, with AVX and AVX-512.)
template <class V> [[gnu::always_inline]] inline auto a_number(const V& x) { return x == x; }

/// Returns max(a[l], b[l]), or NaN where either is NaN.
template <class V> [[gnu::always_inline]] inline V larger(const V& a, const V& b) {
  return xsimd::select((a > b) | ~a_number(a), a, b);
}
/// Returns min(a[l], b[l]), or NaN where either is NaN.
template <class V> [[gnu::always_inline]] inline V smaller(const V& a, const V& b) {
  return xsimd::select((a < b) | ~a_number(a), a, b);
}

}  // namespace xtape::kernels
