#include "threads/pool.hpp"

#include "base/fork.hpp"
#include "base/message.hpp"
#include "threads/block_queue.hpp"
#include "threads/contention.hpp"
#include "threads/settings.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace xtape {
namespace {

using detail::Backoff;
using detail::BlockFunction;
using detail::BlockQueue;
using Clock = std::chrono::steady_clock;

/// Waits for some tens of microseconds, as long as it takes to wake a sleeper. Returns whether `ready` came true.
template <class Ready> bool spin_until(const Ready& ready) {
  for (int spins = 0; spins < 2000; ++spins) {
    if (ready()) return true;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  return false;
}

class Pool {
 public:
  Pool(std::size_t threads, const Backoff& backoff)
      : threads_(threads), backoff_(backoff), queue_(static_cast<std::ptrdiff_t>(threads)) {
    try {
      for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (const std::system_error& e) {
      const std::size_t started = workers_.size();
      stop();
      throw Error("threads: a worker cannot be started: " + std::string(e.what()) + " after " +
                  std::to_string(started) + " of " + std::to_string(threads - 1) +
                  ", expected room for all; set XTAPE_NUM_THREADS lower");
    } catch (...) {
      stop();
      throw;
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() { stop(); }

  [[nodiscard]] std::size_t threads() const { return threads_; }

  /// Returns the backoff. No job may be running.
  [[nodiscard]] const Backoff& backoff() const { return backoff_; }

  void run(std::ptrdiff_t blocks, BlockFunction function, const void* context) {
    if (blocks <= 0) return;
    // The pool is also busy for a job within a job of this thread, for which a mutex would be undefined.
    if (workers_.empty() || busy_.exchange(true, std::memory_order_acquire)) {
      function(context, 0, blocks);
      return;
    }
    const Clock::time_point start = Clock::now();
    std::ptrdiff_t first = 0;
    // The job may outlast the backoff, so it asks again after each eighth.
    const std::ptrdiff_t eighth = (blocks + 7) / 8;
    for (auto now = start; backoff_.active(now) && first < blocks; now = Clock::now()) {
      const std::ptrdiff_t end = std::min(blocks, first + eighth);
      function(context, first, end);
      first = end;
    }
    for (; first < blocks; first += BlockQueue::kMostBlocks) {
      share(first, std::min(blocks - first, BlockQueue::kMostBlocks), start, function, context);
    }
    busy_.store(false, std::memory_order_release);
  }

 private:
  void share(std::ptrdiff_t first, std::ptrdiff_t blocks, Clock::time_point start,
             BlockFunction function, const void* context) {
    queue_.open(first, blocks, function, context, detail::current_processor());
    // A worker counts itself among the sleepers and then looks at the queue. Here the order is the reverse, so one
    // of the two sees the other.
    if (sleepers_.load(std::memory_order_seq_cst) != 0) {
      { const std::lock_guard lock(mutex_); }
      wake_.notify_all();
    }
    const std::ptrdiff_t own = queue_.work(BlockQueue::End::front);
    if (own == blocks) {
      if (crowded_.exchange(false, std::memory_order_relaxed)) backoff_.begin(start, Clock::now());
      return;
    }
    // The context dies when this returns, so it waits for the workers' blocks.
    const auto finished = [&] { return queue_.finished(own); };
    if (spin_until(finished)) return;
    const Clock::time_point done = Clock::now();
    while (!finished()) std::this_thread::yield();
    backoff_.waited(start, done, Clock::now());
  }

  void work() {
    std::uint64_t left_alone = 0;  // the job to sleep through
    while (true) {
      const std::uint64_t job = queue_.open_job();
      if (job != 0 && !detail::keep_apart(detail::current_processor(), queue_.processor(),
                                          detail::leave_processor)) {
        left_alone = job;
        crowded_.store(true, std::memory_order_relaxed);
      } else {
        queue_.report(queue_.work(BlockQueue::End::back));
        if (spin_until([&] { return queue_.open_job() != 0; })) continue;
      }
      std::unique_lock lock(mutex_);
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, [&] {
        const std::uint64_t next = queue_.open_job(std::memory_order_seq_cst);
        return stop_ || (next != 0 && next != left_alone);
      });
      sleepers_.fetch_sub(1, std::memory_order_relaxed);
      if (stop_) return;
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  const std::size_t threads_;      // with the caller's
  std::atomic<bool> busy_{false};  // a user thread's job is running
  Backoff backoff_;                // belongs to the thread that made the pool busy
  BlockQueue queue_;
  std::atomic<int> sleepers_{0};
  std::atomic<bool> crowded_{false};  // a worker found no processor but the caller's
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

struct Service {
  std::mutex mutex;
  std::size_t threads = 0;  // 0: default_threads()
  std::unique_ptr<Pool> pool;
  Backoff backoff;  // outlives a pool, because the processors stay the same
};
std::atomic<Pool*> g_pool{nullptr};

Service& service() {
  static Service instance;
  // A child has none of the workers. Its pool cannot end, so it is left behind; the next job makes a new one.
  static const bool registered = (detail::hold_at_fork(instance.mutex,
                                                       [] {
                                                         g_pool.store(nullptr);
                                                         static_cast<void>(instance.pool.release());
                                                       }),
                                  true);
  static_cast<void>(registered);
  return instance;
}

/// Returns the number of threads. The caller has the lock.
std::size_t threads_now(Service& s) {
  if (s.threads == 0) s.threads = detail::default_threads();
  return s.threads;
}

Pool* pool() {
  Pool* p = g_pool.load(std::memory_order_acquire);
  if (p != nullptr) return p;
  Service& s = service();
  const std::lock_guard lock(s.mutex);
  if (s.pool == nullptr) {
    s.pool = std::make_unique<Pool>(threads_now(s), s.backoff);
    g_pool.store(s.pool.get(), std::memory_order_release);
  }
  return s.pool.get();
}

}  // namespace

void set_num_threads(std::size_t count) {
  if (count == 0 || count > detail::kMostThreads) {
    detail::fail<ValueError>("set_num_threads", "count out of range: count is ", count,
                             ", expected 1 to ", detail::kMostThreads,
                             "; 1 means only the calling thread");
  }
  Service& s = service();
  // Ends after the lock, because its threads end first, and lock the memory's mutex.
  std::unique_ptr<Pool> old;
  const std::lock_guard lock(s.mutex);
  g_pool.store(nullptr);
  if (s.pool != nullptr) s.backoff = s.pool->backoff();
  old = std::move(s.pool);
  s.threads = count;
}

std::size_t num_threads() {
  Service& s = service();
  const std::lock_guard lock(s.mutex);
  return threads_now(s);
}

namespace detail {

std::size_t pool_threads() { return pool()->threads(); }

void run_blocks(std::ptrdiff_t blocks, BlockFunction function, const void* context) {
  pool()->run(blocks, function, context);
}

}  // namespace detail
}  // namespace xtape
