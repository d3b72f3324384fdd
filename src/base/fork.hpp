#pragma once
// Mutexes around fork(): the child has one thread, and finds every registered mutex free.

#include <mutex>

namespace xtape::detail {

/// Holds `mutex` while the process forks, so that what it guards is whole in the child. Calls `in_child`
/// there, if it is given, before the mutex is free. No holder of a registered mutex may lock another one.
void hold_at_fork(std::mutex& mutex, void (*in_child)() = nullptr);

}  // namespace xtape::detail
