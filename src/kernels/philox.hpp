#pragma once
// Philox words in vectors. For the sources of kernels only (see simd.hpp).

#include "kernels/lanes.hpp"
#include "kernels/philox4x32.hpp"

#include <cstdint>

namespace xtape::kernels {

/// The random words of one operation: element i of its array has word i % 4 of counter (i / 4, index)
/// under the key `seed`. Functions draw 64 elements from `first` on, a multiple of 4.
template <class A> struct Philox {
  static constexpr Index kElements = 64;

  std::uint64_t seed = 0;
  std::uint64_t index = 0;

  /// Returns bits, where bit i = (word of element first + i) >> 8 >= limit: whether dropout keeps the
  /// element (see philox_limit). Float and double draw the same words.
  [[gnu::always_inline]] inline std::uint64_t keep(Index first, std::uint32_t limit) const {
    std::uint64_t bits = 0;
    draw(first, [&](Index at, Words w) { bits |= reached(w, limit) << at; });
    return bits;
  }

 private:
  static constexpr int kBytes = static_cast<int>(sizeof(Vec<float, A>));
  static constexpr int kLanes = kBytes / 8;
  using Counters = typename Lanes<kBytes>::U64;
  using Words = typename Lanes<kBytes>::U32;

  [[gnu::always_inline]] static inline Counters multiply(Counters x, std::uint32_t by) {
    const Counters m = std::uint64_t{by} - Counters{};
#if defined(__AVX512F__)
    if constexpr (kBytes == 64) return (Counters)_mm512_mul_epu32((__m512i)x, (__m512i)m);
#endif
#if defined(__AVX2__)
    if constexpr (kBytes == 32) return (Counters)_mm256_mul_epu32((__m256i)x, (__m256i)m);
#endif
#if defined(__SSE2__)
    if constexpr (kBytes == 16) return (Counters)_mm_mul_epu32((__m128i)x, (__m128i)m);
#endif
    return (x & 0xFFFFFFFFU) * m;
  }

  [[gnu::always_inline]] static inline std::uint64_t reached(Words w, std::uint32_t limit) {
    // As a signed number -1, if limit is 0. NEON compares unsigned ones.
    [[maybe_unused]] const Words most = (limit - 1U) - Words{};
    w >>= 8;
#if defined(__AVX512F__)
    if constexpr (kBytes == 64) {
      return _mm512_cmpgt_epi32_mask((__m512i)w, (__m512i)most);
    }
#endif
#if defined(__AVX2__)
    if constexpr (kBytes == 32) {
      return static_cast<std::uint32_t>(
          _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32((__m256i)w, (__m256i)most))));
    }
#endif
#if defined(__SSE2__)
    if constexpr (kBytes == 16) {
      return static_cast<std::uint32_t>(
          _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpgt_epi32((__m128i)w, (__m128i)most))));
    }
#endif
    std::uint64_t bits = 0;
    for (int i = 0; i < kBytes / 4; ++i) bits |= std::uint64_t{w[i] >= limit} << i;
    return bits;
  }

  /// Calls use(offset of the first element, vector of words) until all 64 words are used.
  template <class Use> [[gnu::always_inline]] inline void draw(Index first, Use use) const {
    Counters lane{};
    for (int i = 0; i < kLanes; ++i) lane[i] = static_cast<std::uint64_t>(i);
    const auto k0 = static_cast<std::uint32_t>(seed);
    const auto k1 = static_cast<std::uint32_t>(seed >> 32U);
#pragma GCC unroll 8
    for (int step = 0; step < 16 / kLanes; ++step) {
      const Counters block =
          (static_cast<std::uint64_t>(first / 4) + static_cast<std::uint64_t>(step * kLanes)) +
          lane;
      Counters c[4] = {block, block >> 32, (index & 0xFFFFFFFFU) - Counters{},
                       (index >> 32U) - Counters{}};
      philox_rounds(c, k0, k1, [](Counters x, std::uint32_t by) { return multiply(x, by); });
      // Words 0 and 1 of each counter in one lane, words 2 and 3 in another; then the lanes interleaved.
      const Counters a = (c[0] & 0xFFFFFFFFU) | (c[1] << 32);
      const Counters b = (c[2] & 0xFFFFFFFFU) | (c[3] << 32);
      Counters low, high;
      if constexpr (kLanes == 8) {
        low = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
        high = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
      } else if constexpr (kLanes == 4) {
        low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
        high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      } else {
        low = __builtin_shufflevector(a, b, 0, 2);
        high = __builtin_shufflevector(a, b, 1, 3);
      }
      use(step * kLanes * 4, (Words)low);
      use(step * kLanes * 4 + kLanes * 2, (Words)high);
    }
  }
};

/// Returns ceil(rate * 2^24), the smallest upper 24 bits of a word that is kept; 0 <= rate <= 1.
[[gnu::always_inline]] inline std::uint32_t philox_limit(double rate) {
  const double scaled = rate * 16777216.0;
  const auto down = static_cast<std::uint32_t>(scaled);
  return static_cast<double>(down) < scaled ? down + 1 : down;
}

}  // namespace xtape::kernels
