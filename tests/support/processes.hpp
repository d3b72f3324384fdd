#pragma once
// Tests that need a process of their own: limits, identities, signals, sudden death.

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>

namespace xtape::test {

/// Runs fn in a process of its own and returns its number; it ends with what fn returns, or 99.
template <class F> pid_t begin_child(F&& fn) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  int result = 99;
  try {
    result = fn();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "child: %s\n", e.what());
  } catch (...) {
  }
  std::_Exit(result);
}

/// Waits for it: what it returned, or minus the signal that ended it.
inline int end_of(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

template <class F> int in_child(F&& fn) { return end_of(begin_child(fn)); }

}  // namespace xtape::test
