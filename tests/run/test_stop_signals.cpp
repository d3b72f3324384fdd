// Signals, each test in a process of its own: handlers belong to the whole process.

#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/processes.hpp"

#include <csignal>
#include <optional>
#include <thread>

using namespace xtape;
using namespace xtape::test;

namespace {

volatile std::sig_atomic_t others = 0;
extern "C" void other_handler(int) { others = others + 1; }

using Handler = void (*)(int);

Handler handler_of(int signal) {
  struct sigaction now {};
  ::sigaction(signal, nullptr, &now);
  return now.sa_handler;
}

/// Numbers the first check that fails; the child returns it.
class Checks {
 public:
  void operator()(bool good) {
    ++count_;
    if (!good && failed_ == 0) failed_ = count_;
  }
  [[nodiscard]] int result() const { return failed_; }

 private:
  int count_ = 0;
  int failed_ = 0;
};

void as_in_a_terminal() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace

TEST_CASE("the first signal is noted, and the handlers before are restored") {
  for (const int signal : {SIGINT, SIGTERM}) {
    CHECK(in_child([&] {
            Checks check;
            as_in_a_terminal();
            struct sigaction before {};
            before.sa_handler = other_handler;
            before.sa_flags = SA_NODEFER;
            ::sigaction(signal, &before, nullptr);
            {
              const StopSignals signals;
              check(!signals.requested() && signals.signal() == 0);
              errno = 17;
              std::raise(signal);
              check(errno == 17);
              check(signals.requested() && signals.signal() == signal);
              check(others == 0);
            }
            std::raise(signal);
            check(others == 1);
            struct sigaction after {};
            ::sigaction(signal, nullptr, &after);
            check((after.sa_flags & SA_NODEFER) != 0);
            const StopSignals again;  // forgets what came before
            check(!again.requested());
            return check.result();
          }) == 0);
  }
}

TEST_CASE("a second signal of either kind ends the program at once") {
  for (const int first : {SIGINT, SIGTERM}) {
    for (const int second : {SIGINT, SIGTERM}) {
      CHECK(in_child([&] {
              as_in_a_terminal();
              const StopSignals signals;
              std::raise(first);
              if (!signals.requested()) return 1;
              std::raise(second);
              return 2;
            }) == -second);
    }
  }
}

TEST_CASE("nested objects see the same signal; the last one restores") {
  CHECK(in_child([] {
          Checks check;
          as_in_a_terminal();
          std::optional<StopSignals> outer(std::in_place);
          {
            const StopSignals inner;
            std::raise(SIGTERM);
            check(inner.requested());
          }
          check(outer->requested());
          check(handler_of(SIGTERM) != SIG_DFL);
          std::optional<StopSignals> second(std::in_place);
          outer.reset();  // not in the order of making
          check(second->requested());
          check(handler_of(SIGINT) != SIG_DFL);
          second.reset();
          check(handler_of(SIGINT) == SIG_DFL && handler_of(SIGTERM) == SIG_DFL);
          return check.result();
        }) == 0);
}

TEST_CASE("what was ignored stays ignored, and a handler installed meanwhile stays") {
  CHECK(in_child([] {
          Checks check;
          as_in_a_terminal();
          std::signal(SIGINT, SIG_IGN);
          {
            const StopSignals signals;
            std::raise(SIGINT);
            check(!signals.requested());
            check(handler_of(SIGINT) == SIG_IGN);
            std::signal(SIGTERM, other_handler);
          }
          check(handler_of(SIGINT) == SIG_IGN);
          check(handler_of(SIGTERM) == other_handler);
          return check.result();
        }) == 0);
}

TEST_CASE("nothing is installed without an object, and a signal to any thread is noted") {
  CHECK(in_child([] {
          Checks check;
          as_in_a_terminal();
          check(handler_of(SIGINT) == SIG_DFL);
          const StopSignals signals;
          std::thread thread([] { ::pthread_kill(::pthread_self(), SIGTERM); });
          thread.join();
          check(signals.requested());
          return check.result();
        }) == 0);
}

TEST_CASE("further signals are noted, also by an inner object, and restored") {
  CHECK(in_child([] {
          Checks check;
          as_in_a_terminal();
          {
            const StopSignals outer;
            check(handler_of(SIGUSR1) == SIG_DFL);
            const StopSignals inner({.also = {SIGUSR1, SIGUSR2}});
            std::raise(SIGUSR1);
            check(outer.signal() == SIGUSR1);
          }
          check(handler_of(SIGUSR1) == SIG_DFL && handler_of(SIGUSR2) == SIG_DFL);
          return check.result();
        }) == 0);
  CHECK_THROWS_AS(StopSignals({.also = {SIGKILL}}), ValueError);
  CHECK_THROWS_AS(StopSignals({.also = {-1}}), ValueError);
}
