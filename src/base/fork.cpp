#include "base/fork.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include <vector>

namespace xtape::detail {
namespace {

struct Held {
  std::mutex* mutex;
  void (*in_child)();
};

struct Registry {
  std::mutex mutex;
  std::vector<Held> held;
};

// Never destroyed, because a process may fork while it ends.
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

void before_fork() {
  registry().mutex.lock();
  for (const Held& h : registry().held) h.mutex->lock();
}

void in_parent() {
  for (const Held& h : registry().held) h.mutex->unlock();
  registry().mutex.unlock();
}

void in_child() {
  for (const Held& h : registry().held) {
    if (h.in_child != nullptr) h.in_child();
  }
  in_parent();
}

}  // namespace

void hold_at_fork(std::mutex& mutex, void (*child)()) {
  const std::lock_guard lock(registry().mutex);
#if defined(__unix__) || defined(__APPLE__)
  if (registry().held.empty()) pthread_atfork(before_fork, in_parent, in_child);
#endif
  registry().held.push_back({&mutex, child});
}

}  // namespace xtape::detail
