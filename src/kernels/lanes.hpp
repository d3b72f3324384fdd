#pragma once
// What kernels need of vectors beyond xsimd: shuffles, sums over lanes, masks, and floats read as
// doubles. For the sources of kernels only (see simd.hpp).

#include "kernels/simd.hpp"

#include <cstdint>
#include <utility>

namespace xtape::kernels {

/// Integers side by side, for plain operators (a vector_size cannot depend on a template's parameter).
template <int Bytes>
struct Lanes;
#define XTAPE_LANES(bytes)                                         \
  template <>                                                      \
  struct Lanes<bytes> {                                            \
    typedef std::uint32_t U32 __attribute__((vector_size(bytes))); \
    typedef std::uint64_t U64 __attribute__((vector_size(bytes))); \
  };
XTAPE_LANES(16)
XTAPE_LANES(32)
XTAPE_LANES(64)
#undef XTAPE_LANES

template <class To, class From>
[[gnu::always_inline]] inline To bits_as(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(to));
  return to;
}

template <class T, class A>
using Mask = xsimd::batch_bool<T, typename SimdArch<A>::type>;

/// x where the bit of the lane is set, elsewhere 0, whatever x holds there.
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

/// x where the bit of the lane is set, elsewhere y.
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

/// Lanes whose bool is true, of the first n (all, if n is the size of a vector).
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

/// As many elements of T as a vector has doubles, as doubles; or the first n of them.
template <class T, class A>
[[gnu::always_inline]] inline Vec<double, A> load_double(const T* from) {
  using D = Vec<double, A>;
  if constexpr (std::is_same_v<T, double>) {
    return D::load_unaligned(from);
  } else {
#if defined(__AVX512F__)
    if constexpr (sizeof(D) == 64) return D(_mm512_cvtps_pd(_mm256_loadu_ps(from)));
#endif
#if defined(__AVX2__)
    if constexpr (sizeof(D) == 32) return D(_mm256_cvtps_pd(_mm_loadu_ps(from)));
#endif
    alignas(64) double all[D::size];
    for (std::size_t i = 0; i < D::size; ++i) all[i] = static_cast<double>(from[i]);
    return D::load_aligned(all);
  }
}
template <class T, class A>
[[gnu::always_inline]] inline Vec<double, A> load_double_first(const T* from, Index n) {
  if constexpr (std::is_same_v<T, double>) {
    return load_first<double, A>(from, n);
  } else {
#if defined(__AVX512F__)
    if constexpr (std::is_same_v<A, Avx512>) {
      const __m512 x = load_first<float, A>(from, n);
      return Vec<double, A>(_mm512_cvtps_pd(_mm512_castps512_ps256(x)));
    }
#endif
#if defined(__AVX2__)
    if constexpr (std::is_same_v<A, Avx2>) {
      const __m256 x = load_first<float, A>(from, n);
      return Vec<double, A>(_mm256_cvtps_pd(_mm256_castps256_ps128(x)));
    }
#endif
    T all[Vec<double, A>::size] = {};
    for (Index i = 0; i < n; ++i) all[i] = from[i];
    return load_double<T, A>(all);
  }
}

/// And back, rounded to T.
template <class T, class A>
[[gnu::always_inline]] inline void store_double(const Vec<double, A>& x, T* to) {
  using D = Vec<double, A>;
  if constexpr (std::is_same_v<T, double>) {
    x.store_unaligned(to);
    return;
  } else {
#if defined(__AVX512F__)
    if constexpr (sizeof(D) == 64) {
      _mm256_storeu_ps(to, _mm512_cvtpd_ps(x));
      return;
    }
#endif
#if defined(__AVX2__)
    if constexpr (sizeof(D) == 32) {
      _mm_storeu_ps(to, _mm256_cvtpd_ps(x));
      return;
    }
#endif
    alignas(64) double all[D::size];
    x.store_aligned(all);
    for (std::size_t i = 0; i < D::size; ++i) to[i] = static_cast<T>(all[i]);
  }
}
template <class T, class A>
[[gnu::always_inline]] inline void store_double_first(const Vec<double, A>& x, T* to, Index n) {
  T all[Vec<double, A>::size];
  store_double<T, A>(x, all);
  for (Index i = 0; i < n; ++i) to[i] = all[i];
}

/// The halves of a vector of T as doubles, added.
template <class T, class A>
[[gnu::always_inline]] inline Vec<double, A> add_halves(const Vec<T, A>& x) {
  if constexpr (std::is_same_v<T, double>) {
    return x;
  } else {
    alignas(64) T all[Vec<T, A>::size];
#if defined(__AVX512F__)
    if constexpr (sizeof(x) == 64) {
      const __m512 v = x;
      const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
      return Vec<double, A>(_mm512_cvtps_pd(_mm512_castps512_ps256(v))) +
             Vec<double, A>(_mm512_cvtps_pd(high));
    }
#endif
    x.store_aligned(all);
    return load_double<T, A>(all) + load_double<T, A>(all + Vec<double, A>::size);
  }
}

/// The lanes `Of` of a and b, those of b counted on from those of a.
template <int... Of, class V>
[[gnu::always_inline]] inline V lanes_of(const V& a, const V& b) {
  using U = typename Lanes<static_cast<int>(sizeof(V))>::U32;
  using W = typename Lanes<static_cast<int>(sizeof(V))>::U64;
  using Bits = std::conditional_t<sizeof(typename V::value_type) == 4, U, W>;
  return V(bits_as<typename V::register_type>(
      Bits(__builtin_shufflevector(bits_as<Bits>(a.data), bits_as<Bits>(b.data), Of...))));
}
template <int By, class V, std::size_t... I>
[[gnu::always_inline]] inline V rotated(const V& x, std::index_sequence<I...>) {
  return lanes_of<(static_cast<int>(I) + By) % static_cast<int>(V::size)...>(x, x);
}
/// Lane l ^ By in lane l.
template <int By, class V, std::size_t... I>
[[gnu::always_inline]] inline V crossed(const V& x, std::index_sequence<I...>) {
  return lanes_of<(static_cast<int>(I) ^ By)...>(x, x);
}
/// The lanes l of a, but where l & By of b; or of each the lanes l ^ By, if `Crossed`.
template <int By, bool Crossed, class V, std::size_t... I>
[[gnu::always_inline]] inline V halves_of(const V& a, const V& b, std::index_sequence<I...>) {
  return lanes_of<((static_cast<int>(I) & By) != 0 ? static_cast<int>(V::size) : 0) +
                  (static_cast<int>(I) ^ (Crossed ? By : 0))...>(a, b);
}

/// op over all lanes, in a fixed order, for an op that does not mind which comes first.
template <int By, class V, class Op>
[[gnu::always_inline]] inline V fold_from(const V& x, Op op) {
  if constexpr (By == 0) {
    return x;
  } else {
    return fold_from<By / 2>(op(x, rotated<By>(x, std::make_index_sequence<V::size>{})), op);
  }
}
template <class V, class Op>
[[gnu::always_inline]] inline typename V::value_type fold(const V& x, Op op) {
  const V all = fold_from<static_cast<int>(V::size) / 2>(x, op);
  typename V::value_type first;
  __builtin_memcpy(&first, &all.data, sizeof(first));
  return first;
}
template <class V>
[[gnu::always_inline]] inline typename V::value_type sum_lanes(const V& x) {
  return fold(x, [](const V& a, const V& b) { return a + b; });
}

/// The sum of the lanes of x[l] in lane l, for as many vectors as a vector has lanes: each sum as
/// sum_lanes has it, to the bit. x is overwritten.
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

/// A number for each of four rows, in one vector.
template <class V>
struct FourRows {
  using T = typename V::value_type;
  static constexpr int kSize = static_cast<int>(V::size);
  // In which order lanes so far apart meet: xsimd::hadd's, which sums pairs of floats side by side first.
  static constexpr bool kPairs = sizeof(T) == 4 && kSize >= 8;
  static constexpr int kFirst = kSize / 2;
  static constexpr int kSecond = kSize == 8 && kPairs ? 1 : kSize / 4;
  static constexpr int kThird = kPairs ? 2 : 1;

  /// The lane of each row.
  static constexpr int lane(int row) { return row / 2 * kFirst + row % 2 * kSecond; }

  /// op over all lanes of each row.
  template <class Op>
  [[gnu::always_inline]] static inline V fold(const V (&x)[4], Op op) {
    const V even = meet<kFirst>(x[0], x[2], op);
    const V odd = meet<kFirst>(x[1], x[3], op);
    const V all = meet<kSecond>(even, odd, op);
    if constexpr (kSize == 4) {
      return all;
    } else if constexpr (kSize == 8) {
      return meet<kThird>(all, op);
    } else {
      return meet<2>(meet<1>(all, op), op);
    }
  }

 private:
  static constexpr std::make_index_sequence<V::size> kLanes{};
  template <int By, class Op>
  [[gnu::always_inline]] static inline V meet(const V& a, const V& b, Op op) {
    return op(halves_of<By, false>(a, b, kLanes), halves_of<By, true>(a, b, kLanes));
  }
  template <int By, class Op>
  [[gnu::always_inline]] static inline V meet(const V& a, Op op) {
    return op(a, crossed<By>(a, kLanes));
  }
};

/// Lanes that are not NaN. (xsimd 8's != is false for NaN, with AVX and AVX-512.)
template <class V>
[[gnu::always_inline]] inline auto a_number(const V& x) {
  return x == x;
}

/// The larger, or NaN if either is.
template <class V>
[[gnu::always_inline]] inline V larger(const V& a, const V& b) {
  return xsimd::select((a > b) | ~a_number(a), a, b);
}
template <class V>
[[gnu::always_inline]] inline V smaller(const V& a, const V& b) {
  return xsimd::select((a < b) | ~a_number(a), a, b);
}

/// body(i, n) for 0 <= i < count in whole vectors of `width`, n being width, and once for the rest.
/// `body` is told by a constant which of the two it is, so that each is compiled for itself.
template <class Body>
[[gnu::always_inline]] inline void for_vectors(Index count, Index width, const Body& body) {
  Index i = 0;
  for (; i + width <= count; i += width) body(i, width, std::true_type{});
  if (i < count) body(i, count - i, std::false_type{});
}
template <class T, class A, bool Whole>
[[gnu::always_inline]] inline Vec<T, A> load_part(const T* from, Index n,
                                                  std::bool_constant<Whole>) {
  if constexpr (Whole) {
    return Vec<T, A>::load_unaligned(from);
  } else {
    return load_first<T, A>(from, n);
  }
}
template <class T, class A, bool Whole>
[[gnu::always_inline]] inline void store_part(const Vec<T, A>& x, T* to, Index n,
                                              std::bool_constant<Whole>) {
  if constexpr (Whole) {
    x.store_unaligned(to);
  } else {
    store_first<T, A>(x, to, n);
  }
}
template <class T, class A, bool Whole>
[[gnu::always_inline]] inline Vec<double, A> load_double_part(const T* from, Index n,
                                                              std::bool_constant<Whole>) {
  if constexpr (Whole) {
    return load_double<T, A>(from);
  } else {
    return load_double_first<T, A>(from, n);
  }
}
template <class T, class A, bool Whole>
[[gnu::always_inline]] inline void store_double_part(const Vec<double, A>& x, T* to, Index n,
                                                     std::bool_constant<Whole>) {
  if constexpr (Whole) {
    store_double<T, A>(x, to);
  } else {
    store_double_first<T, A>(x, to, n);
  }
}

}  // namespace xtape::kernels
