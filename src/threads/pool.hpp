#pragma once
// A small pool of workers that sleep when idle. One job at a time uses them; a second user thread
// that arrives meanwhile does its own work alone. Blocks are fixed by the caller, so who does which
// changes nothing.

#include <xtape/threads/parallel.hpp>

#include <cstddef>
#include <type_traits>

namespace xtape::detail {

/// Threads of the pool, with the one that brings a job.
std::size_t pool_threads();

/// Does blocks begin ... end - 1.
using BlockFunction = void (*)(const void* context, std::ptrdiff_t begin, std::ptrdiff_t end);
void run_blocks(std::ptrdiff_t blocks, BlockFunction function, const void* context);

/// Calls body(begin, end) for blocks next to each other, 0 ... blocks - 1 in all, on several threads where
/// there are any; for the sake of bits body must do the same however they are grouped. It must not throw.
template <class Body>
void parallel_spans(std::ptrdiff_t blocks, const Body& body) {
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

/// Calls body(block) for 0 <= block < blocks, on several threads where there are any. `body` must
/// not throw.
template <class Body>
void parallel_for(std::ptrdiff_t blocks, const Body& body) {
  parallel_spans(blocks, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    for (std::ptrdiff_t i = begin; i < end; ++i) body(i);
  });
}

/// Calls body(begin, end) over 0 ... count in ranges of `grain`, fixed whatever the threads.
template <class Body>
void parallel_ranges(std::ptrdiff_t count, std::ptrdiff_t grain, const Body& body) {
  if (count <= grain) {
    if (count > 0) body(std::ptrdiff_t{0}, count);
    return;
  }
  parallel_for((count + grain - 1) / grain, [&](std::ptrdiff_t block) {
    const std::ptrdiff_t begin = block * grain;
    body(begin, begin + grain < count ? begin + grain : count);
  });
}

}  // namespace xtape::detail
