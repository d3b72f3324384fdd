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

/// Returns the lower or upper half of a vector of floats in double.
template <class A, int Upper>
[[gnu::always_inline]] inline Vec<double, A> half_in_double(const Vec<float, A>& x) {
#if defined(__AVX512F__)
  if constexpr (sizeof(x) == 64) {
    const __m512 v = x;
    if constexpr (Upper == 0) return Vec<double, A>(_mm512_cvtps_pd(_mm512_castps512_ps256(v)));
    return Vec<double, A>(_mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)));
  }
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(x) == 32) {
    return Vec<double, A>(_mm256_cvtps_pd(_mm256_extractf128_ps(x, Upper)));
  }
#endif
  alignas(64) float all[Vec<float, A>::size];
  x.store_aligned(all);
  return load_double<float, A>(all + Upper * static_cast<Index>(Vec<double, A>::size));
}

/// The sum along a row of elements, in eight lanes of doubles. Of 64 bytes of floats lane l gets x[l] + x[l + 8].
template <class T, class A> class SumInDouble {
  using V = Vec<T, A>;

 public:
  /// Adds a vector, in the order of for_parts().
  template <class Which> [[gnu::always_inline]] inline void add(Which, const V& x) {
    waiting_[Which::value] = x;
    if constexpr (Which::value + 1 == kCount) add_waiting();
  }
  /// Returns the sum. Nothing may be added afterwards.
  [[gnu::always_inline]] inline double total() {
    if constexpr (kCount > 1) add_waiting();
    return sum_parts(sums_);
  }

 private:
  using D = Vec<double, A>;
  static constexpr int kCount = kParts<V>;
  V waiting_[kCount] = {};
  D sums_[kCount] = {};

  [[gnu::always_inline]] inline void add_waiting() {
    if constexpr (std::is_same_v<T, double>) {
      for (int k = 0; k < kCount; ++k) sums_[k] += waiting_[k];
    } else if constexpr (kCount == 1) {
      sums_[0] += half_in_double<A, 0>(waiting_[0]) + half_in_double<A, 1>(waiting_[0]);
    } else {
      constexpr int kHalf = kCount / 2;
      for (int k = 0; k < kHalf; ++k) {
        const V& low = waiting_[k];
        const V& high = waiting_[k + kHalf];
        sums_[2 * k] += half_in_double<A, 0>(low) + half_in_double<A, 0>(high);
        sums_[2 * k + 1] += half_in_double<A, 1>(low) + half_in_double<A, 1>(high);
      }
    }
    for (V& added : waiting_) added = V(T(0));
  }
};

}  // namespace xtape::kernels
