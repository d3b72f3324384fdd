#pragma once
// Vectors of the instruction set a kernel source is being compiled for. Only the sources of kernels
// include this: what it defines must not be compiled with other flags under the same name.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <type_traits>

#include <xsimd/xsimd.hpp>

#ifndef XTAPE_ARCH
#error "kernels are compiled once per instruction set, with XTAPE_ARCH defined as its tag"
#endif

#if defined(__AVX2__) && !defined(__AVX512F__)
// Numbers are divided, and their roots taken, in two halves: that costs the same (no processor with AVX2
// divides 256 bits faster than twice 128, Agner Fog's instruction tables), and processors are in use
// whose 256-bit divider at times returns a wrong lane: doubles off by up to 1e-9, one float of a million
// by its last digit (docs/design.md).
namespace xtape::kernels {

/// A half that the compiler cannot see through: clang makes one division of two.
template <class Half>
[[gnu::always_inline]] inline Half alone(Half half) noexcept {
  __asm__("" : "+x"(half));
  return half;
}

}  // namespace xtape::kernels
namespace xsimd {

using xtape::kernels::alone;

template <>
[[gnu::always_inline]] inline batch<double, fma3<avx2>>& batch<double, fma3<avx2>>::operator/=(
    const batch<double, fma3<avx2>>& by) noexcept {
  const __m128d low = _mm_div_pd(_mm256_castpd256_pd128(*this), alone(_mm256_castpd256_pd128(by)));
  const __m128d high =
      _mm_div_pd(_mm256_extractf128_pd(*this, 1), alone(_mm256_extractf128_pd(by, 1)));
  return *this = batch<double, fma3<avx2>>(_mm256_set_m128d(high, low));
}

template <>
[[gnu::always_inline]] inline batch<double, fma3<avx2>> sqrt(
    const batch<double, fma3<avx2>>& x) noexcept {
  const __m128d low = _mm_sqrt_pd(alone(_mm256_castpd256_pd128(x)));
  const __m128d high = _mm_sqrt_pd(alone(_mm256_extractf128_pd(x, 1)));
  return batch<double, fma3<avx2>>(_mm256_set_m128d(high, low));
}

template <>
[[gnu::always_inline]] inline batch<float, fma3<avx2>>& batch<float, fma3<avx2>>::operator/=(
    const batch<float, fma3<avx2>>& by) noexcept {
  const __m128 low = _mm_div_ps(_mm256_castps256_ps128(*this), alone(_mm256_castps256_ps128(by)));
  const __m128 high =
      _mm_div_ps(_mm256_extractf128_ps(*this, 1), alone(_mm256_extractf128_ps(by, 1)));
  return *this = batch<float, fma3<avx2>>(_mm256_set_m128(high, low));
}

template <>
[[gnu::always_inline]] inline batch<float, fma3<avx2>> sqrt(
    const batch<float, fma3<avx2>>& x) noexcept {
  const __m128 low = _mm_sqrt_ps(alone(_mm256_castps256_ps128(x)));
  const __m128 high = _mm_sqrt_ps(alone(_mm256_extractf128_ps(x, 1)));
  return batch<float, fma3<avx2>>(_mm256_set_m128(high, low));
}

}  // namespace xsimd
#endif

#if defined(__AVX512F__)
// xsimd 8 has no fused operations for AVX-512. g++ makes them of its products and sums, clang does not:
// with it products took twice the instructions, and half vectors were rounded otherwise than whole ones.
namespace xsimd {

#define XTAPE_FUSED(op, T, intrinsic)                                                         \
  template <>                                                                                 \
  [[gnu::always_inline]] inline batch<T, avx512bw> op(const batch<T, avx512bw>& x,            \
                                                      const batch<T, avx512bw>& y,            \
                                                      const batch<T, avx512bw>& z) noexcept { \
    return batch<T, avx512bw>(intrinsic(x, y, z));                                            \
  }
XTAPE_FUSED(fma, float, _mm512_fmadd_ps)
XTAPE_FUSED(fma, double, _mm512_fmadd_pd)
XTAPE_FUSED(fms, float, _mm512_fmsub_ps)
XTAPE_FUSED(fms, double, _mm512_fmsub_pd)
XTAPE_FUSED(fnma, float, _mm512_fnmadd_ps)
XTAPE_FUSED(fnma, double, _mm512_fnmadd_pd)
XTAPE_FUSED(fnms, float, _mm512_fnmsub_ps)
XTAPE_FUSED(fnms, double, _mm512_fnmsub_pd)
#undef XTAPE_FUSED

}  // namespace xsimd
#endif

namespace xtape::kernels {

template <class A>
struct SimdArch {
#if defined(__x86_64__)
  using type = xsimd::sse2;
#else
  using type = xsimd::default_arch;
#endif
};
#if defined(__AVX2__)
template <>
struct SimdArch<Avx2> {
  using type = xsimd::fma3<xsimd::avx2>;
};
#endif
#if defined(__AVX512F__)
template <>
struct SimdArch<Avx512> {
  using type = xsimd::avx512bw;
};
/// Half a vector of AVX-512. Not Avx2, whose templates are compiled elsewhere, with other instructions:
/// of two functions of one name the linker keeps one.
struct HalfOfAvx512 {};
template <>
struct SimdArch<HalfOfAvx512> {
  using type = xsimd::fma3<xsimd::avx2>;
};
#endif

template <class T, class A>
using Vec = xsimd::batch<T, typename SimdArch<A>::type>;

#if defined(__AVX2__)
[[gnu::always_inline]] inline __m256i first_of_8(Index n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
[[gnu::always_inline]] inline __m256i first_of_4(Index n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
#endif

/// The first n elements of a vector, 0 < n < its size: memory behind them is not touched, and what is
/// loaded behind them is 0.
template <class T, class A>
inline Vec<T, A> load_first(const T* from, Index n) {
#if defined(__AVX512F__)
  // In halves: whole vectors under a mask are several times slower where they cross lines of the cache.
  if constexpr (std::is_same_v<A, Avx512> && std::is_same_v<T, float>) {
    if (n <= 8) return _mm512_zextps256_ps512(_mm256_maskload_ps(from, first_of_8(n)));
    const __m256 high = _mm256_maskload_ps(from + 8, first_of_8(n - 8));
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(from)), high, 1);
  } else if constexpr (std::is_same_v<A, Avx512> && std::is_same_v<T, double>) {
    if (n <= 4) return _mm512_zextpd256_pd512(_mm256_maskload_pd(from, first_of_4(n)));
    const __m256d high = _mm256_maskload_pd(from + 4, first_of_4(n - 4));
    return _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(from)), high, 1);
  }
#endif
#if defined(__AVX2__)
  if constexpr (std::is_same_v<A, Avx2> && std::is_same_v<T, float>) {
    return _mm256_maskload_ps(from, first_of_8(n));
  } else if constexpr (std::is_same_v<A, Avx2> && std::is_same_v<T, double>) {
    return _mm256_maskload_pd(from, first_of_4(n));
  }
#endif
  alignas(64) T all[Vec<T, A>::size] = {};
  for (Index i = 0; i < n; ++i) all[i] = from[i];
  return Vec<T, A>::load_aligned(all);
}

template <class T, class A>
inline void store_first(const Vec<T, A>& x, T* to, Index n) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<A, Avx512> && std::is_same_v<T, float>) {
    const __m256 low = _mm512_castps512_ps256(x);
    if (n < 8) {
      _mm256_maskstore_ps(to, first_of_8(n), low);
      return;
    }
    _mm256_storeu_ps(to, low);
    if (n > 8) _mm256_maskstore_ps(to + 8, first_of_8(n - 8), _mm512_extractf32x8_ps(x, 1));
    return;
  } else if constexpr (std::is_same_v<A, Avx512> && std::is_same_v<T, double>) {
    const __m256d low = _mm512_castpd512_pd256(x);
    if (n < 4) {
      _mm256_maskstore_pd(to, first_of_4(n), low);
      return;
    }
    _mm256_storeu_pd(to, low);
    if (n > 4) _mm256_maskstore_pd(to + 4, first_of_4(n - 4), _mm512_extractf64x4_pd(x, 1));
    return;
  }
#endif
#if defined(__AVX2__)
  if constexpr (std::is_same_v<A, Avx2> && std::is_same_v<T, float>) {
    _mm256_maskstore_ps(to, first_of_8(n), x);
    return;
  } else if constexpr (std::is_same_v<A, Avx2> && std::is_same_v<T, double>) {
    _mm256_maskstore_pd(to, first_of_4(n), x);
    return;
  }
#endif
  alignas(64) T all[Vec<T, A>::size];
  x.store_aligned(all);
  for (Index i = 0; i < n; ++i) to[i] = all[i];
}

}  // namespace xtape::kernels
