#include <xtape/base/random.hpp>

#include "kernels/philox4x32.hpp"

#include <cmath>

namespace xtape {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key) noexcept {
  std::uint64_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
  kernels::philox_rounds(c, key[0], key[1],
                         [](std::uint64_t x, std::uint32_t by) { return (x & 0xFFFFFFFFU) * by; });
  return {static_cast<std::uint32_t>(c[0]), static_cast<std::uint32_t>(c[1]),
          static_cast<std::uint32_t>(c[2]), static_cast<std::uint32_t>(c[3])};
}

std::uint32_t RandomStream::bits() noexcept {
  if (left_ == 0) {
    words_ =
        philox({static_cast<std::uint32_t>(block_), static_cast<std::uint32_t>(block_ >> 32U),
                static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32U)},
               {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32U)});
    ++block_;
    left_ = 4;
  }
  return words_[static_cast<std::size_t>(4 - left_--)];
}

double RandomStream::uniform() noexcept {
  const std::uint64_t high = bits() >> 5U;  // 27 bits
  const std::uint64_t low = bits() >> 6U;   // 26 bits
  return static_cast<double>((high << 26U) | low) * 0x1p-53;
}

double RandomStream::normal() noexcept {
  constexpr double kTwoPi = 6.28318530717958647692;
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(kTwoPi * uniform());
}

std::uint64_t RandomStream::below(std::uint64_t count) noexcept {
  // Drops 2^64 mod count values, because the rest of the range is a multiple of count.
  const std::uint64_t reject = (0 - count) % count;
  while (true) {
    const std::uint64_t high = bits();
    const std::uint64_t value = (high << 32U) | bits();
    if (value >= reject) return value % count;
  }
}

std::uint64_t stable_hash(std::string_view text) noexcept {
  std::uint64_t h = 0xCBF29CE484222325ULL;
  for (const char c : text) {
    h ^= static_cast<unsigned char>(c);
    h *= 0x100000001B3ULL;
  }
  // Without the finaliser of SplitMix64 the last characters hardly reach the high bits.
  h = (h ^ (h >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  h = (h ^ (h >> 27U)) * 0x94D049BB133111EBULL;
  return h ^ (h >> 31U);
}

}  // namespace xtape
