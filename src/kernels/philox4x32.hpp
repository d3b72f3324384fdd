#pragma once
// Philox4x32-10, a random number generator without state: four words per counter and key
// (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 2.2 and table 2).

#include <cstdint>

namespace xtape::kernels {

/// Runs the ten rounds on one counter, or on one per lane of a vector `U` of 64-bit integers. Words are in
/// the low halves; the high halves are ignored. `multiply(x, m)` returns the 64-bit products of low halves.
template <class U, class Multiply>
[[gnu::always_inline]] inline void philox_rounds(U (&c)[4], std::uint32_t k0, std::uint32_t k1,
                                                 Multiply multiply) {
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const U p0 = multiply(c[0], 0xD2511F53U);
    const U p1 = multiply(c[2], 0xCD9E8D57U);
    c[0] = (p1 >> 32) ^ c[1] ^ std::uint64_t{k0};
    c[1] = p1;
    c[2] = (p0 >> 32) ^ c[3] ^ std::uint64_t{k1};
    c[3] = p0;
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
}

}  // namespace xtape::kernels
