#pragma once
/// \file
/// Random numbers that are a function of (key, counter): the same on every machine and for any
/// number of threads, and recomputable. Philox4x32-10 (Salmon et al., SC 2011).

#include <array>
#include <cstdint>
#include <string_view>

namespace xtape {

/// Ten rounds of Philox4x32: four 32-bit words from a counter and a key.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key) noexcept;

/// A sequence of numbers determined by (seed, stream). Element k does not depend on how many were
/// drawn together.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::uint64_t stream) noexcept : seed_(seed), stream_(stream) {}

  /// The next 32 random bits.
  std::uint32_t bits() noexcept;
  /// Uniform on [0, 1), 53 random bits.
  double uniform() noexcept;
  /// Standard normal, by the method of Box and Muller.
  double normal() noexcept;
  /// Uniform on {0, ..., count - 1}, without bias. `count` must be positive.
  std::uint64_t below(std::uint64_t count) noexcept;

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t block_ = 0;
  std::array<std::uint32_t, 4> words_{};
  int left_ = 0;
};

/// A 64-bit hash of text (FNV-1a with a final mix), the same on every platform; names streams.
std::uint64_t stable_hash(std::string_view text) noexcept;

}  // namespace xtape
