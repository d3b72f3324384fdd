#pragma once
/// \file
/// How many threads the library uses. The number never changes a result: work is cut into blocks
/// fixed by the problem, and whichever worker is free takes the next.

#include <cstddef>

namespace xtape {

/// Threads used for one operation, the caller's included. Default: the machine's processors, or the
/// environment variable XTAPE_NUM_THREADS. ValueError for 0. Not to be called while another thread
/// computes. The others start with the next operation and may use the processors (affinity) that its caller may;
/// one that the system puts on the caller's processor moves to another of these.
void set_num_threads(std::size_t count);

/// The present number.
std::size_t num_threads();

}  // namespace xtape
