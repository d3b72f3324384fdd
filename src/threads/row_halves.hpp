#pragma once
// Sums over rows by two threads, each of which adds the rows of its own half.

#include "threads/pool.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace xtape::detail {

/// Tiles 0 ... count - 1, which two threads take one by one from the two ends.
class TileQueue {
 public:
  explicit TileQueue(std::ptrdiff_t count) : left_(static_cast<std::uint64_t>(count)) {}

  /// Returns the first tile left; -1 if there is none.
  std::ptrdiff_t take_front() { return take(true, 0); }
  /// Returns the last tile left; -1 unless more than `enough` are left.
  std::ptrdiff_t take_back(std::ptrdiff_t enough) { return take(false, enough); }

 private:
  std::ptrdiff_t take(bool front, std::ptrdiff_t enough) {
    constexpr std::uint64_t kOne = std::uint64_t{1} << 32;
    std::uint64_t left = left_.load(std::memory_order_relaxed);
    while (true) {
      const auto begin = static_cast<std::ptrdiff_t>(left / kOne);
      const auto end = static_cast<std::ptrdiff_t>(left % kOne);
      if (end - begin <= enough) return -1;
      if (left_.compare_exchange_weak(left, front ? left + kOne : left - 1,
                                      std::memory_order_relaxed)) {
        return front ? begin : end - 1;
      }
    }
  }

  std::atomic<std::uint64_t> left_;  // 2^32 begin + end
};

/// Returns whether parallel_row_halves() suits the number of threads.
inline bool two_threads() { return pool_threads() == 2; }

/// Calls body(tile, 0, half) and after it body(tile, half, rows) for 0 <= tile < tiles. `half` is a multiple of
/// `step`. The order of additions is that of one thread. `body` must not throw.
///
/// The caller does the first halves and the worker the second halves, which are the rows that each of them wrote.
/// Splitting by tile would make both threads read every row, and each cache line would move between the cores.
template <class Body>
void parallel_row_halves(std::ptrdiff_t tiles, std::ptrdiff_t rows, std::ptrdiff_t step,
                         const Body& body) {
  const std::ptrdiff_t half = rows / 2 / step * step;
  alignas(64) std::atomic<std::ptrdiff_t> first_done{0};  // tiles whose first half is added
  alignas(64) TileQueue second(tiles);                    // tiles whose second half is to be added
  const auto add_second = [&](std::ptrdiff_t tile) {
    for (int spins = 0; first_done.load(std::memory_order_acquire) <= tile; ++spins) {
      if (spins > 1000) std::this_thread::yield();
    }
    body(tile, half, rows);
  };
  parallel_blocks(2, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    if (begin == 0) {
      for (std::ptrdiff_t tile = 0; tile < tiles; ++tile) {
        body(tile, std::ptrdiff_t{0}, half);
        first_done.store(tile + 1, std::memory_order_release);
      }
    }
    std::ptrdiff_t tile = 0;
    if (end == 2) {
      while ((tile = second.take_front()) >= 0) add_second(tile);
    } else {
      // The caller helps a late worker from the back, where that is worth it.
      const std::ptrdiff_t enough = std::max<std::ptrdiff_t>(2, tiles / 4);
      while ((tile = second.take_back(enough)) >= 0) add_second(tile);
    }
  });
}

}  // namespace xtape::detail
