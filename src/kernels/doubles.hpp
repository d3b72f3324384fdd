#pragma once
// Elements of T as vectors of doubles, for sums in double precision. For the sources of kernels only (see
// simd.hpp).

#include "kernels/lanes.hpp"

namespace xtape::kernels {

/// Loads as many elements of T as a vector has doubles.
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

/// Loads as many elements as a vector has doubles, or the first n and zeros, as for_vectors() tells.
template <class T, class A, bool Whole>
[[gnu::always_inline]] inline Vec<double, A> load_double_part(const T* from, Index n,
                                                              std::bool_constant<Whole>) {
  if constexpr (Whole) {
    return load_double<T, A>(from);
  } else if constexpr (std::is_same_v<T, double>) {
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

/// Stores a vector of doubles, each rounded to T.
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

/// Stores a vector of doubles, or its first n, as for_vectors() tells; each is rounded to T.
template <class T, class A, bool Whole>
[[gnu::always_inline]] inline void store_double_part(const Vec<double, A>& x, T* to, Index n,
                                                     std::bool_constant<Whole>) {
  if constexpr (Whole) {
    store_double<T, A>(x, to);
  } else {
    T all[Vec<double, A>::size];
    store_double<T, A>(x, all);
    for (Index i = 0; i < n; ++i) to[i] = all[i];
  }
}

/// Returns r with r[l] = x[l] + x[l + size / 2] in double for floats, and x itself for doubles.
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

}  // namespace xtape::kernels
