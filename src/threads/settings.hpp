#pragma once
// The number of threads that a process begins with.

#include <cstddef>

namespace xtape::detail {

/// The limit of set_num_threads and of XTAPE_NUM_THREADS. Larger numbers are mistakes.
inline constexpr std::size_t kMostThreads = 1024;

/// Returns the number that a text gives. Throws ValueError naming `variable` unless it is 1 to kMostThreads in
/// decimal digits.
std::size_t threads_of(const char* variable, const char* text);

/// Throws ValueError unless `text` is null, empty, or the name of an instruction set that this processor has.
void check_isa(const char* text);

/// Returns the number of processors that this process may use.
std::size_t usable_processors();

/// Returns XTAPE_NUM_THREADS if it is set and not empty, or else usable_processors(). Throws as threads_of, and as
/// check_isa of XTAPE_ISA: every program asks here before it computes.
std::size_t default_threads();

}  // namespace xtape::detail
