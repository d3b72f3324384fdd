#include <xtape/data/pipeline.hpp>

#include "base/message.hpp"

#include <unistd.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace xtape::detail {

struct Pipeline::State {
  State(std::function<void(std::size_t)> f, std::size_t begin, std::size_t last, std::size_t limit)
      : make(std::move(f)), end(last), ahead(limit), upcoming(begin), made(begin), taken(begin) {}

  std::function<void(std::size_t)> make;
  std::size_t end, ahead;

  // Used by the consumer alone.
  std::size_t upcoming;
  bool over = false;

  // Guarded by the mutex.
  std::mutex mutex;
  std::condition_variable change;
  std::size_t made;   // steps before this one are ready
  std::size_t taken;  // steps before this one went to the consumer
  std::exception_ptr error;
  bool stop = false;

  std::thread thread;
  pid_t process = ::getpid();  // a forked child lacks the thread

  void work() {
    std::unique_lock lock(mutex);
    while (made < end) {
      change.wait(lock, [this] { return stop || made - taken < ahead; });
      if (stop) return;
      const std::size_t step = made;
      lock.unlock();
      std::exception_ptr thrown;
      try {
        make(step);
      } catch (...) {
        thrown = std::current_exception();
      }
      lock.lock();
      if (thrown) {
        error = thrown;
        change.notify_all();
        return;
      }
      ++made;
      change.notify_all();
    }
  }
};

Pipeline::Pipeline(std::size_t begin, std::size_t end, std::size_t ahead,
                   std::function<void(std::size_t)> make)
    : state_(std::make_unique<State>(std::move(make), begin, end, ahead)) {
  if (ahead == 0 || begin == end) return;
  try {
    state_->thread = std::thread([state = state_.get()] { state->work(); });
  } catch (const std::system_error& e) {
    fail<Error>("Batches", "no thread for preparation: ", e.what(),
                ", expected one more thread; set prefetch to 0");
  }
}

Pipeline::~Pipeline() {
  if (!state_->thread.joinable()) return;
  if (state_->process != ::getpid()) {
    static_cast<void>(
        state_.release());  // joining or ending a thread that does not exist would hang
    return;
  }
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->change.notify_all();
  state_->thread.join();
}

bool Pipeline::next() {
  State& s = *state_;
  if (s.over || s.upcoming == s.end) {
    s.over = true;
    return false;
  }
  const std::size_t step = s.upcoming;
  if (s.ahead == 0) {
    s.over = true;  // unless make returns
    s.make(step);
    s.over = false;
  } else {
    if (s.process != ::getpid()) {
      fail<Error>(
          "Batches",
          "epoch of another process: fork() left its thread behind, expected an epoch begun "
          "in this process; call epoch() again after fork()");
    }
    std::unique_lock lock(s.mutex);
    s.change.wait(lock, [&s, step] { return s.made > step || s.error; });
    if (s.made <= step) {
      s.over = true;
      std::rethrow_exception(std::exchange(s.error, nullptr));
    }
    s.taken = step + 1;
    s.change.notify_all();
  }
  s.upcoming = step + 1;
  return true;
}

std::size_t Pipeline::step() const noexcept { return state_->upcoming - 1; }

}  // namespace xtape::detail
