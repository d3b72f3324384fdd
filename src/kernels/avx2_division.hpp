#pragma once
// Division and square roots of AVX2 vectors, in two halves of 128 bits. Include only from simd.hpp.
//
// One Zen 3 server at times divides 256 bits wrongly, for seconds and in all processes at once: resumed
// training runs differed. vdivpd and vsqrtpd get one of four doubles wrong by up to 1e-9 of it, vdivps and
// vsqrtps one of eight floats by its last digit. 128-bit divisions, products and sums are right.
//
// Two halves cost the same: no processor with AVX2 divides 256 bits faster than twice 128 (Agner Fog's
// instruction tables). Compilers must not merge the halves, as clang does unless opaque() hides one.
// tests/kernels/check_division.sh reads the objects for 256-bit divisions.

#include <xsimd/xsimd.hpp>

#if defined(__AVX2__) && !defined(__AVX512F__)

namespace xtape::kernels {

/// Returns x, about which the compiler knows nothing afterwards.
template <class Half> [[gnu::always_inline]] inline Half opaque(Half x) noexcept {
  __asm__("" : "+x"(x));
  return x;
}

}  // namespace xtape::kernels
namespace xsimd {

using xtape::kernels::opaque;

// T, suffix of the intrinsics, suffix of the register types.
#define XTAPE_SPLIT_DIVISION(T, s, d)                                                         \
  template <>                                                                                 \
  [[gnu::always_inline]] inline batch<T, fma3<avx2>>& batch<T, fma3<avx2>>::operator/=(       \
      const batch<T, fma3<avx2>>& by) noexcept {                                              \
    const auto low = _mm_div_##s(_mm256_cast##s##256_##s##128(*this),                         \
                                 opaque(_mm256_cast##s##256_##s##128(by)));                   \
    const auto high =                                                                         \
        _mm_div_##s(_mm256_extractf128_##s(*this, 1), opaque(_mm256_extractf128_##s(by, 1))); \
    return *this = batch<T, fma3<avx2>>(_mm256_set_m128##d(high, low));                       \
  }                                                                                           \
  template <>                                                                                 \
  [[gnu::always_inline]] inline batch<T, fma3<avx2>> sqrt(                                    \
      const batch<T, fma3<avx2>>& x) noexcept {                                               \
    const auto low = _mm_sqrt_##s(opaque(_mm256_cast##s##256_##s##128(x)));                   \
    const auto high = _mm_sqrt_##s(opaque(_mm256_extractf128_##s(x, 1)));                     \
    return batch<T, fma3<avx2>>(_mm256_set_m128##d(high, low));                               \
  }
XTAPE_SPLIT_DIVISION(double, pd, d)
XTAPE_SPLIT_DIVISION(float, ps, )
#undef XTAPE_SPLIT_DIVISION

}  // namespace xsimd

#endif
