#pragma once
/// \file
/// Random numbers as a function of (key, counter): Philox4x32-10 (Salmon et al., SC 2011). They are the same on every
/// machine and for any number of threads, and can be computed again.

#include <array>
#include <cstdint>
#include <string_view>

namespace xtape {

/// Returns four 32-bit words, ten rounds of Philox4x32 on a counter and a key.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key) noexcept;

/// A sequence of numbers that (seed, stream) determine.
class RandomStream {
 public:
  /// Starts one of the streams of a seed.
  RandomStream(std::uint64_t seed, std::uint64_t stream) noexcept : seed_(seed), stream_(stream) {}

  /// Returns the next 32 random bits.
  std::uint32_t bits() noexcept;
  /// Returns a number uniform on [0, 1), of 53 random bits.
  double uniform() noexcept;
  /// Returns a standard normal number, by the method of Box and Muller.
  double normal() noexcept;
  /// Returns a number uniform on {0, ..., count - 1}, without bias. `count` must be positive.
  std::uint64_t below(std::uint64_t count) noexcept;

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t block_ = 0;
  std::array<std::uint32_t, 4> words_{};
  int left_ = 0;
};

/// Returns a 64-bit hash of text (FNV-1a with a final mix), the same on every platform. It turns names into streams.
std::uint64_t stable_hash(std::string_view text) noexcept;

}  // namespace xtape
