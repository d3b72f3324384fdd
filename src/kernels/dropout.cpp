#include "kernels/neural.hpp"

#include <cmath>

namespace xtape::kernels {

void philox(const std::uint32_t (&counter)[4], const std::uint32_t (&key)[2],
            std::uint32_t (&out)[4]) {
  // Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 2.2 and table 2.
  std::uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  std::uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * c2;
    c0 = static_cast<std::uint32_t>(p1 >> 32U) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(p1);
    c2 = static_cast<std::uint32_t>(p0 >> 32U) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

template <class T>
void dropout(Index first, Index n, double rate, std::uint64_t seed, std::uint64_t index, const T* x,
             T* y) {
  const T scale = rate < 1 ? static_cast<T>(1 / (1 - rate)) : T(0);
  // 24 bits decide, so that float and double draw the same mask.
  const auto limit = static_cast<std::uint32_t>(std::ceil(rate * 16777216.0));
  const std::uint32_t key[2] = {static_cast<std::uint32_t>(seed),
                                static_cast<std::uint32_t>(seed >> 32U)};
  std::uint32_t words[4] = {};
  Index block = -1;
  for (Index i = 0; i < n; ++i) {
    const Index at = first + i;
    if (at / 4 != block) {
      block = at / 4;
      const auto b = static_cast<std::uint64_t>(block);
      philox({static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(b >> 32U),
              static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32U)},
             key, words);
    }
    y[i] = words[at % 4] >> 8U >= limit ? x[i] * scale : T(0);
  }
}

#define XTAPE_INSTANTIATE(T) \
  template void dropout(Index, Index, double, std::uint64_t, std::uint64_t, const T*, T*);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::kernels
