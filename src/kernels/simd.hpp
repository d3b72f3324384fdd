#pragma once
// Vectors of the instruction set that a kernel source is being compiled for, and loops over them. Only
// sources of kernels include this header: a function of the same name compiled with other flags would be
// merged with its own by the linker.

#include "kernels/avx2_division.hpp"
#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <type_traits>

#include <xsimd/xsimd.hpp>

#ifndef XTAPE_ARCH
#error "kernels are compiled once per instruction set, with XTAPE_ARCH defined as its tag"
#endif

#if defined(__AVX512F__)
// xsimd 8 has no fused multiply-add for AVX-512. g++ fuses its products and sums, clang does not: its
// matrix products took twice the instructions, and half-width vectors were rounded unlike whole ones.
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
#elif defined(__aarch64__)
// xsimd has fma and fms alone. Its quotients and roots of floats are not rounded correctly.
namespace xsimd {

#define XTAPE_FUSED(T, s)                                                                         \
  template <>                                                                                     \
  [[gnu::always_inline]] inline batch<T, neon64> fnma(                                            \
      const batch<T, neon64>& x, const batch<T, neon64>& y, const batch<T, neon64>& z) noexcept { \
    return batch<T, neon64>(vfmsq_##s(z, x, y));                                                  \
  }
XTAPE_FUSED(float, f32)
XTAPE_FUSED(double, f64)
#undef XTAPE_FUSED

template <>
[[gnu::always_inline]] inline batch<float, neon64>& batch<float, neon64>::operator/=(
    const batch<float, neon64>& y) noexcept {
  return *this = batch<float, neon64>(vdivq_f32(*this, y));
}
template <>
[[gnu::always_inline]] inline batch<float, neon64> sqrt(const batch<float, neon64>& x) noexcept {
  return batch<float, neon64>(vsqrtq_f32(x));
}

}  // namespace xsimd
#endif

namespace xtape::kernels {

template <class A> struct SimdArch {
#if defined(__x86_64__)
  using type = xsimd::sse2;
#elif defined(__aarch64__)
  using type = xsimd::neon64;
#else
  using type = xsimd::default_arch;
#endif
};
#if defined(__AVX2__)
template <> struct SimdArch<Avx2> { using type = xsimd::fma3<xsimd::avx2>; };
#endif
#if defined(__AVX512F__)
template <> struct SimdArch<Avx512> { using type = xsimd::avx512bw; };
/// The tag of half-width vectors in AVX-512 sources. The linker would merge templates with the tag Avx2
/// with those of the AVX2 sources.
struct HalfOfAvx512 {};
template <> struct SimdArch<HalfOfAvx512> { using type = xsimd::fma3<xsimd::avx2>; };
#endif

template <class T, class A> using Vec = xsimd::batch<T, typename SimdArch<A>::type>;

#if defined(__AVX2__)
/// Returns masks of the first n lanes, for maskload and maskstore.
[[gnu::always_inline]] inline __m256i first_of_8(Index n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
[[gnu::always_inline]] inline __m256i first_of_4(Index n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
#endif

/// Loads the first n elements of a vector, 0 < n < its size, and zeros behind them. Memory behind the n
/// elements is not touched.
template <class T, class A> inline Vec<T, A> load_first(const T* from, Index n) {
#if defined(__AVX512F__)
  // In halves: a masked load of a whole vector is several times slower where it crosses a cache line.
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

/// Stores the first n elements, 0 < n < the vector's size, and touches no memory behind them.
template <class T, class A> inline void store_first(const Vec<T, A>& x, T* to, Index n) {
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

/// Calls body(i, n, whole) for the elements 0 <= i < count: vectors of n = width elements, then the rest
/// of n < width. `whole` is std::true_type or std::false_type, so that each kind is compiled for itself.
template <class Body>
[[gnu::always_inline]] inline void for_vectors(Index count, Index width, const Body& body) {
  Index i = 0;
  for (; i + width <= count; i += width) body(i, width, std::true_type{});
  if (i < count) body(i, count - i, std::false_type{});
}

/// Loads a whole vector, or its first n elements and zeros, as for_vectors() tells.
template <class T, class A, bool Whole>
[[gnu::always_inline]] inline Vec<T, A> load_part(const T* from, Index n,
                                                  std::bool_constant<Whole>) {
  if constexpr (Whole) {
    return Vec<T, A>::load_unaligned(from);
  } else {
    return load_first<T, A>(from, n);
  }
}

/// Stores a whole vector, or its first n elements, as for_vectors() tells.
template <class T, class A, bool Whole>
[[gnu::always_inline]] inline void store_part(const Vec<T, A>& x, T* to, Index n,
                                              std::bool_constant<Whole>) {
  if constexpr (Whole) {
    x.store_unaligned(to);
  } else {
    store_first<T, A>(x, to, n);
  }
}

}  // namespace xtape::kernels
