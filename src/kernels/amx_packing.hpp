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
  template <bool ByLines, bool Pairs>
  [[gnu::always_inline]] static inline void pack(const float* x, Index line, Index term,
                                                 Index lines, Index terms, std::uint32_t* to) {
    if (lines < 16 || terms < 32) return pack_part<ByLines, Pairs>(x, line, term, lines, terms, to);
    store<ByLines == Pairs>(x, ByLines ? line : 2 * term, to, [&](Index, const float* from) {
      if constexpr (ByLines) {
        return rounded(_mm512_loadu_ps(from), _mm512_loadu_ps(from + 16));
      } else {
        return pairs(_mm512_loadu_ps(from + term), _mm512_loadu_ps(from));
      }
    });
  }

 private:
  /// Stores row(i, x + i * step) for i < 16, or the transpose.
  template <bool Turns, class F>
  [[gnu::always_inline]] static inline void store(const float* x, Index step, std::uint32_t* to,
                                                  const F& row) {
    if constexpr (Turns) {
      using Turn = Square<std::uint32_t, Amx>;
      typename Turn::Row rows[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i, x += step) rows[i] = (typename Turn::Row)row(i, x);
      Turn::turn(rows);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) __builtin_memcpy(to + 16 * i, &rows[i], sizeof(rows[i]));
    } else {
      for (Index i = 0; i < 16; ++i, x += step) _mm512_storeu_si512(to + 16 * i, row(i, x));
    }
  }

  template <bool ByLines, bool Pairs>
  [[gnu::noinline]] static void pack_part(const float* x, Index line, Index term, Index lines,
                                          Index terms, std::uint32_t* to) {
    // Masks of zero instead of branches, of which g++ would make as many copies of the transpose.
    const unsigned low = xtape::kernels::lanes(ByLines ? terms : lines);
    const unsigned high = xtape::kernels::lanes(terms - 16);
    const auto load = [](bool there, unsigned mask, const float* from) {
      return _mm512_maskz_loadu_ps(static_cast<__mmask16>(there * mask), from);
    };
    store<ByLines == Pairs>(x, ByLines ? line : 2 * term, to, [&](Index i, const float* from) {
      if constexpr (ByLines) {
        const float* const second = terms > 16 ? from + 16 : from;  // x may be null without terms
        return rounded(load(i < lines, low, from), load(i < lines, high, second));
      } else {
        return pairs(load(2 * i + 1 < terms, low, from + term), load(2 * i < terms, low, from));
      }
    });
  }
};

}  // namespace
}  // namespace xtape::kernels
