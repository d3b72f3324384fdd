#pragma once
// The library's threads: the caller and a small pool of workers, which sleep when idle. One job uses the pool
// at a time. A second user thread that arrives meanwhile does its job alone. The caller fixes the blocks of a
// job, so neither the number of threads nor their speed changes a result.

#include <xtape/threads/parallel.hpp>

#include <cstddef>

namespace xtape::detail {

/// Returns the number of threads that share a job, the caller's included.
std::size_t pool_threads();

/// Does the blocks begin ... end - 1 of a job.
using BlockFunction = void (*)(const void* context, std::ptrdiff_t begin, std::ptrdiff_t end);

/// Calls `function` for runs of contiguous blocks until all of 0 ... blocks - 1 are done.
void run_blocks(std::ptrdiff_t blocks, BlockFunction function, const void* context);

/// Calls body(begin, end) for runs of contiguous blocks until all of 0 ... blocks - 1 are done. The scheduler
/// chooses the runs, so the result must not depend on how blocks are grouped. `body` must not throw.
template <class Body> void parallel_blocks(std::ptrdiff_t blocks, const Body& body) {
  if (blocks == 1) {
    body(std::ptrdiff_t{0}, std::ptrdiff_t{1});
    return;
  }
  run_blocks(
      blocks,
      [](const void* b, std::ptrdiff_t begin, std::ptrdiff_t end) {
        (*static_cast<const Body*>(b))(begin, end);
      },
      &body);
}

/// Calls body(begin, end) for ranges of `grain` that cover 0 ... count - 1. The ranges do not depend on the
/// number of threads. `body` must not throw.
template <class Body>
void parallel_for(std::ptrdiff_t count, std::ptrdiff_t grain, const Body& body) {
  if (count <= grain) {
    if (count > 0) body(std::ptrdiff_t{0}, count);
    return;
  }
  parallel_blocks((count + grain - 1) / grain, [&](std::ptrdiff_t first, std::ptrdiff_t last) {
    for (std::ptrdiff_t begin = first * grain; begin < last * grain; begin += grain) {
      body(begin, begin + grain < count ? begin + grain : count);
    }
  });
}

}  // namespace xtape::detail
