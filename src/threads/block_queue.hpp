#pragma once
// A queue of the blocks of one job at a time, which threads take from both ends without a lock.

#include "threads/pool.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace xtape::detail {

/// The queue's state is one word, the ticket: (number of the job, first block left, end of the blocks left). A thread
/// takes blocks by exchanging the ticket for the one without them. The exchange fails once the job is over, so a
/// thread that comes late does no harm, and no lock is held while a job begins or ends.
///
/// A thread takes half of its share of what is left (guided self-scheduling, Polychronopoulos and Kuck 1987). Small
/// blocks then cost few exchanges, and threads end at about the same time. The caller takes from the front and
/// workers from the back, so the rows that one operation leaves in a core's cache are those that the next one reads
/// there.
class alignas(64) BlockQueue {  // all in the one cache line that a worker fetches
 public:
  enum class End { front, back };
  static constexpr std::uint64_t kBits = 16;  // of each block number in a ticket
  static constexpr std::ptrdiff_t kMostBlocks = (std::ptrdiff_t{1} << kBits) - 1;

  explicit BlockQueue(std::ptrdiff_t threads) : threads_(threads) {}

  /// Opens a job of the blocks first ... first + blocks - 1, at most kMostBlocks. `processor` is the caller's.
  void open(std::ptrdiff_t first, std::ptrdiff_t blocks, BlockFunction function,
            const void* context, int processor) {
    function_.store(function, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    first_.store(first, std::memory_order_relaxed);
    unfinished_.store(blocks, std::memory_order_relaxed);
    processor_.store(processor, std::memory_order_relaxed);
    ticket_.store(++jobs_ << (2 * kBits) | static_cast<std::uint64_t>(blocks),
                  std::memory_order_seq_cst);
  }

  /// Returns the number of the job that has blocks left; 0 if there is none.
  [[nodiscard]] std::uint64_t open_job(std::memory_order order = std::memory_order_acquire) const {
    const std::uint64_t ticket = ticket_.load(order);
    return front(ticket) == back(ticket) ? 0 : ticket >> (2 * kBits);
  }

  /// Returns the processor of the last job's caller.
  [[nodiscard]] int processor() const { return processor_.load(std::memory_order_relaxed); }

  /// Takes blocks from one end and does them until none is left. Returns the number of blocks done.
  std::ptrdiff_t work(End end) {
    std::ptrdiff_t done = 0;
    std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    while (front(ticket) != back(ticket)) {
      // If the exchange succeeds these belong to its job: they change only after the job's last block is reported.
      const BlockFunction function = function_.load(std::memory_order_relaxed);
      const void* context = context_.load(std::memory_order_relaxed);
      const std::ptrdiff_t first = first_.load(std::memory_order_relaxed);
      const std::ptrdiff_t left = back(ticket) - front(ticket);
      const std::ptrdiff_t share = (left + 2 * threads_ - 1) / (2 * threads_);
      const bool from_front = end == End::front;
      const std::ptrdiff_t begin = first + (from_front ? front(ticket) : back(ticket) - share);
      const auto taken = static_cast<std::uint64_t>(share);
      if (!ticket_.compare_exchange_weak(ticket,
                                         from_front ? ticket + (taken << kBits) : ticket - taken,
                                         std::memory_order_acq_rel, std::memory_order_acquire)) {
        continue;
      }
      function(context, begin, begin + share);
      done += share;
      if (share == left) break;
      ticket = ticket_.load(std::memory_order_acquire);
    }
    return done;
  }

  /// Reports the blocks that a worker has done. Workers report once, at the end: every report moves a cache line.
  void report(std::ptrdiff_t done) {
    if (done != 0) unfinished_.fetch_sub(done, std::memory_order_release);
  }

  /// Returns whether the workers have reported all blocks but the caller's `own`.
  [[nodiscard]] bool finished(std::ptrdiff_t own) const {
    return unfinished_.load(std::memory_order_acquire) == own;
  }

 private:
  static std::ptrdiff_t front(std::uint64_t ticket) {
    return static_cast<std::ptrdiff_t>(ticket >> kBits) & kMostBlocks;
  }
  static std::ptrdiff_t back(std::uint64_t ticket) {
    return static_cast<std::ptrdiff_t>(ticket) & kMostBlocks;
  }

  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<BlockFunction> function_{nullptr};
  std::atomic<const void*> context_{nullptr};
  std::atomic<std::ptrdiff_t> first_{0};
  std::atomic<std::ptrdiff_t> unfinished_{0};
  std::atomic<int> processor_{-1};
  const std::ptrdiff_t threads_;
  std::uint64_t jobs_ = 0;  // the caller's alone
};

}  // namespace xtape::detail
