#pragma once
/// \file
/// The number of threads that the library uses. It never changes a result: the problem fixes the blocks into which
/// work is cut.

#include <cstddef>

namespace xtape {

/// Sets the number of threads for one operation, the caller's included: 1 to 1024, or ValueError. The default is the
/// variable XTAPE_NUM_THREADS, or else the processors in the affinity of the process. No other thread may compute
/// meanwhile. Workers start with the next operation and inherit its caller's affinity. A worker that finds itself on
/// the caller's processor moves to another one of them.
void set_num_threads(std::size_t count);

/// Returns the number of threads. ValueError for a malformed XTAPE_NUM_THREADS; so does the first operation.
std::size_t num_threads();

}  // namespace xtape
