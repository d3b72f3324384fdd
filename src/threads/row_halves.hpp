#pragma once
// Sums over the rows that two threads made: each adds up the rows of its own half.

#include "threads/pool.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace xtape::detail {

/// Whether parallel_row_halves() is for this number of threads.
inline bool two_threads() { return pool_threads() == 2; }

/// Calls body(tile, 0, half) and after it body(tile, half, rows), for 0 <= tile < tiles; `half` is a
/// multiple of `step`. Of two threads the one that brings the job does the first halves, whose rows it
/// made, and the other the second. Were it the tiles that they share, both would read all rows; and before
/// what lies in two cores' caches can be written again, the other core has to be asked for each line, which
/// takes 12 times as long as the writing (of Zen 4, and 50 times where the cores have no cache in common).
/// `body` must not throw.
template <class Body>
void parallel_row_halves(std::ptrdiff_t tiles, std::ptrdiff_t rows, std::ptrdiff_t step,
                         const Body& body) {
  const std::ptrdiff_t half = rows / 2 / step * step;
  alignas(64) std::atomic<std::ptrdiff_t> first_done{0};  // tiles whose first half is added
  // Second halves that nobody has taken: the other thread takes them from the front, as first halves are
  // done, and whoever has done those helps from the back if the other is late.
  alignas(64) std::atomic<std::uint64_t> left{static_cast<std::uint64_t>(tiles)};
  constexpr int kBits = 32;
  const std::ptrdiff_t enough = std::max<std::ptrdiff_t>(2, tiles / 4);  // to be worth help
  const auto take = [&](bool front) -> std::ptrdiff_t {
    std::uint64_t ticket = left.load(std::memory_order_relaxed);
    while (true) {
      const std::uint64_t begin = ticket >> kBits;
      const std::uint64_t end = ticket & ((std::uint64_t{1} << kBits) - 1);
      const auto there = static_cast<std::ptrdiff_t>(end - begin);
      if (there <= (front ? 0 : enough)) return -1;
      const std::uint64_t next = front ? ticket + (std::uint64_t{1} << kBits) : ticket - 1;
      if (left.compare_exchange_weak(ticket, next, std::memory_order_relaxed)) {
        return static_cast<std::ptrdiff_t>(front ? begin : end - 1);
      }
    }
  };
  const auto wait_for = [&](std::ptrdiff_t tile) {
    for (int spins = 0; first_done.load(std::memory_order_acquire) <= tile; ++spins) {
      if (spins > 1000) std::this_thread::yield();
    }
  };
  parallel_blocks(2, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    if (begin == 0) {
      for (std::ptrdiff_t tile = 0; tile < tiles; ++tile) {
        body(tile, std::ptrdiff_t{0}, half);
        first_done.store(tile + 1, std::memory_order_release);
      }
    }
    const bool front = begin == 1 || end == 2;
    for (std::ptrdiff_t tile = take(front); tile >= 0; tile = take(front)) {
      wait_for(tile);
      body(tile, half, rows);
    }
  });
}

}  // namespace xtape::detail
