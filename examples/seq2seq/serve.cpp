// seq2seq serve: a page on this machine that translates what a person types.

#include "../console.hpp"
#include "web.hpp"

#include <poll.h>
#include <pthread.h>

#include <csignal>
#include <optional>

namespace seq2seq {

namespace {

/// Keeps signals that end the program away from threads that start meanwhile, so that the first thread gets them.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &ends, &before_);
  }
  ~HeldSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

void serve(const ServeSettings& s) {
  console::need_output();
  Web::check_built();
  const xp::StopSignals signals;
  auto held = std::make_unique<HeldSignals>();
  std::optional<Answers>
      answers;  // ends after the web, and begins after the port is known to be free
  Web web(s.address, s.port);
  answers.emplace(s);
  web.start(*answers);
  held.reset();
  console::print("the page is at " + web.url() + " (Ctrl-C ends it)\n");
  console::check_output();
  while (!signals.requested()) {
    if (!web.running()) {
      throw xp::IoError(
          web.url() +
          ": no more connections are accepted, expected a port that stays open; start "
          "the program again");
    }
    constexpr int kMilliseconds = 200;  // a signal ends the wait, unless it came before
    ::poll(nullptr, 0, kMilliseconds);
  }
  web.stop();
  console::print("ended\n");
}

}  // namespace seq2seq
