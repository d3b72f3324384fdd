#pragma once
// Words of two bfloat16, made with AVX512-BF16. For the sources of its kernels only.

#include "kernels/rounded_tile.hpp"

namespace xtape::kernels {
namespace {

/// Returns the mask of the first n of 16 lanes; none if n is negative.
[[gnu::always_inline]] inline __mmask16 lanes(Index n) {
  return static_cast<__mmask16>((1U << static_cast<unsigned>(max(0, min(Index{16}, n)))) - 1U);
}

[[gnu::always_inline]] inline __m512i rounded(const __m512& low, const __m512& high) {
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/// Returns 16 words, whose upper halves are `first` rounded, and the lower halves `second`.
[[gnu::always_inline]] inline __m512i pairs(const __m512& first, const __m512& second) {
  alignas(64) static constexpr std::uint16_t kOrder[32] = {
      0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), rounded(second, first));
}

/// Returns 32 floats rounded, of which n exist.
[[gnu::always_inline]] inline __m512i rounded_line(const float* x, Index n) {
  const __m512 low = _mm512_maskz_loadu_ps(lanes(n), x);
  const __m512 high = n > 16 ? _mm512_maskz_loadu_ps(lanes(n - 16), x + 16) : _mm512_setzero_ps();
  return rounded(low, high);
}

}  // namespace
}  // namespace xtape::kernels
