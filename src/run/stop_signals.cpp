#include <xtape/run/stop_signals.hpp>

#include "base/message.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <map>
#include <mutex>

namespace xtape {
namespace {

// The handler touches this number alone.
std::atomic<int> received{0};
static_assert(std::atomic<int>::is_always_lock_free);

std::mutex signals_mutex;  // guards what follows
int objects = 0;
std::map<int, struct sigaction> before;  // by signal

extern "C" void note_signal(int number) {
  const int code = errno;
  int none = 0;
  if (!received.compare_exchange_strong(none, number)) {
    // The signal waits until this handler returns, and then ends the program.
    static_cast<void>(std::signal(number, SIG_DFL));
    static_cast<void>(std::raise(number));
  }
  errno = code;
}

bool is_ours(int number) {
  struct sigaction now {};
  return ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == note_signal;
}

}  // namespace

StopSignals::StopSignals(const StopSignalsOptions& options) {
  const std::lock_guard lock(signals_mutex);
  std::vector<int> wanted = options.also;
  wanted.insert(wanted.end(), {SIGINT, SIGTERM});
  for (const int number : wanted) {
    struct sigaction now {};
    if (number != SIGKILL && number != SIGSTOP && ::sigaction(number, nullptr, &now) == 0) continue;
    detail::fail<ValueError>("StopSignals", "signal that cannot be caught: also has ", number,
                             ", expected a signal like SIGUSR1");
  }
  if (objects++ == 0) received = 0;
  for (const int number : wanted) {
    struct sigaction now {};
    ::sigaction(number, nullptr, &now);
    if (!before.emplace(number, now).second || now.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = note_signal;
    action.sa_flags = SA_RESTART;  // reads and writes go on
    sigemptyset(&action.sa_mask);
    ::sigaction(number, &action, nullptr);
  }
}

StopSignals::~StopSignals() {
  const std::lock_guard lock(signals_mutex);
  if (--objects > 0) return;
  for (const auto& [number, action] : before) {
    if (is_ours(number)) ::sigaction(number, &action, nullptr);
  }
  before.clear();
}

int StopSignals::signal() const noexcept { return received; }

}  // namespace xtape
