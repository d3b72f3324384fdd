#pragma once
// The part of a policy for tiles (rounded_amx.hpp) that rounds operands, with AVX512-BF16: every processor with AMX has
// it. For the sources of kernels only.

#include "kernels/amx.hpp"
#include "kernels/rounded_words.hpp"
#include "kernels/transpose.hpp"

namespace xtape::kernels {

template <> struct SimdArch<Amx> { using type = xsimd::avx512bw; };

namespace {

struct VectorPacking {
  [[gnu::always_inline]] static inline void round_line(const float* x, Index n, std::uint32_t* to) {
    _mm512_storeu_si512(to, n > 0 ? rounded_line(x, n) : _mm512_setzero_si512());
  }
  [[gnu::always_inline]] static inline void round_pairs(const float* x, Index next, Index terms,
                                                        Index n, std::uint32_t* to) {
    const __m512 none = _mm512_setzero_ps();
    const __m512 low = terms > 0 ? _mm512_maskz_loadu_ps(lanes(n), x) : none;
    const __m512 high = terms > 1 ? _mm512_maskz_loadu_ps(lanes(n), x + next) : none;
    _mm512_storeu_si512(to, pairs(high, low));
  }
  [[gnu::always_inline]] static inline void turn(const std::uint32_t* from, std::uint32_t* to) {
    Square<std::uint32_t, Amx>::transpose(from, 16, to, 16);
  }
};

}  // namespace
}  // namespace xtape::kernels
