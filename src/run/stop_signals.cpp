#include <xtape/run/stop_signals.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>

namespace xtape {
namespace {

constexpr std::array<int, 2> kSignals = {SIGINT, SIGTERM};

// The handler touches this number alone.
std::atomic<int> received{0};
static_assert(std::atomic<int>::is_always_lock_free);

std::mutex mutex;  // guards what follows
int objects = 0;
std::array<struct sigaction, 2> before;

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

StopSignals::StopSignals() {
  const std::lock_guard lock(mutex);
  if (objects++ > 0) return;
  received = 0;
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], nullptr, &before[i]);
    if (before[i].sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = note_signal;
    action.sa_flags = SA_RESTART;  // reads and writes go on
    sigemptyset(&action.sa_mask);
    ::sigaction(kSignals[i], &action, nullptr);
  }
}

StopSignals::~StopSignals() {
  const std::lock_guard lock(mutex);
  if (--objects > 0) return;
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    if (is_ours(kSignals[i])) ::sigaction(kSignals[i], &before[i], nullptr);
  }
}

int StopSignals::signal() const noexcept { return received; }

}  // namespace xtape
