#pragma once
/// \file
/// The number of threads that the library uses. It never changes a result: the problem fixes the blocks into which
/// work is cut.

#include <cstddef>

namespace xtape {

/// Sets the number of threads for one operation, the caller's included. The default is the environment variable
/// XTAPE_NUM_THREADS, or else the number of processors. Throws ValueError for 0. No other thread may compute
/// meanwhile. Workers start with the next operation and inherit its caller's affinity. A worker that finds itself on
/// the caller's processor moves to another one of them.
void set_num_threads(std::size_t count);

/// Returns the number of threads.
std::size_t num_threads();

}  // namespace xtape
