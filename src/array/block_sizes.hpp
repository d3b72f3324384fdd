#pragma once
// The sizes of blocks of memory, in classes. A block is as large as its class; a pool keeps a list for each.

#include <algorithm>
#include <bit>
#include <cstddef>

namespace xtape::detail {

inline constexpr std::size_t kSmallest = 64;
inline constexpr std::size_t kSmallLimit = 4096;
inline constexpr std::size_t kSmallClasses = kSmallLimit / kSmallest;
// Four large classes per doubling, from 4 KiB up to 2^62. Between these limits one: the rest of a block is untouched,
// and takes no memory, until a longer batch needs it. Above them addresses themselves may be short.
inline constexpr std::size_t kLargeClasses = 4 * 51;
inline constexpr std::size_t kDoublingFrom = std::size_t{1} << 20U,
                             kDoublingTo = std::size_t{1} << 28U;

constexpr std::size_t small_class(std::size_t bytes) noexcept {
  return bytes == 0 ? 0 : (bytes - 1) / kSmallest;
}
constexpr std::size_t small_size(std::size_t cls) noexcept { return (cls + 1) * kSmallest; }
/// Returns the number of blocks that a thread exchanges with the pool: 16 KiB, so that it rarely takes the lock and
/// keeps little to itself.
constexpr std::size_t batch_size(std::size_t cls) noexcept {
  return std::clamp<std::size_t>(16384 / small_size(cls), 4, 64);
}

struct LargeClass {
  std::size_t index;
  std::size_t bytes;
};
/// Returns the class of the next multiple of 2^log / 4, or of 2^(log + 1), where 2^log < bytes <= 2^(log + 1).
inline LargeClass large_class(std::size_t bytes) {
  const auto log = static_cast<std::size_t>(std::bit_width(bytes - 1)) - 1;
  const std::size_t step = (std::size_t{1} << log) / 4;
  const bool doubles = kDoublingFrom < bytes && bytes <= kDoublingTo;
  const std::size_t quarter =
      doubles ? 4 : (bytes - (std::size_t{1} << log) + step - 1) / step;  // 1..4
  return {(log - 12) * 4 + quarter - 1, (std::size_t{1} << log) + quarter * step};
}

}  // namespace xtape::detail
