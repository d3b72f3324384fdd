#include "base/parallel.hpp"

#include "base/message.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace xtape {
namespace {

using detail::BlockFunction;

// Waking a sleeper takes tens of microseconds, so a worker looks for the next job this often before
// it sleeps (about 20 microseconds).
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

class Pool {
 public:
  explicit Pool(std::size_t threads) {
    try {
      for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() { stop(); }

  void run(std::ptrdiff_t blocks, BlockFunction function, const void* context) {
    // Also true for a job within a job of this thread, which a mutex must not be asked about.
    if (busy_.exchange(true, std::memory_order_acquire)) {
      for (std::ptrdiff_t i = 0; i < blocks; ++i) function(context, i);
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      function_ = function;
      context_ = context;
      blocks_ = blocks;
      next_.store(0, std::memory_order_relaxed);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    claim(blocks, function, context);
    // No worker may still hold this job when its context goes out of scope.
    {
      const std::lock_guard lock(mutex_);
      blocks_ = 0;
    }
    int spins = 0;
    while (active_.load(std::memory_order_acquire) != 0) {
      if (++spins < kSpins) {
        relax();
      } else {
        std::this_thread::yield();
      }
    }
    busy_.store(false, std::memory_order_release);
  }

 private:
  void claim(std::ptrdiff_t blocks, BlockFunction function, const void* context) {
    while (true) {
      const std::ptrdiff_t block = next_.fetch_add(1, std::memory_order_relaxed);
      if (block >= blocks) return;
      function(context, block);
    }
  }

  void work() {
    std::uint64_t seen = 0;
    while (true) {
      for (int i = 0; i < kSpins && generation_.load(std::memory_order_acquire) == seen; ++i)
        relax();
      std::ptrdiff_t blocks = 0;
      BlockFunction function = nullptr;
      const void* context = nullptr;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || generation_.load() != seen; });
        if (stop_) return;
        seen = generation_.load();
        if (blocks_ == 0) continue;  // finished before this worker came
        blocks = blocks_;
        function = function_;
        context = context_;
        active_.fetch_add(1, std::memory_order_acq_rel);
      }
      claim(blocks, function, context);
      active_.fetch_sub(1, std::memory_order_release);
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

  std::atomic<bool> busy_{false};  // a user thread's job is running
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::ptrdiff_t blocks_ = 0;
  BlockFunction function_ = nullptr;
  const void* context_ = nullptr;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<std::ptrdiff_t> next_{0};
  std::atomic<int> active_{0};
  std::vector<std::thread> workers_;
};

std::size_t default_threads() {
  if (const char* text = std::getenv("XTAPE_NUM_THREADS")) {
    const long wanted = std::strtol(text, nullptr, 10);
    if (wanted > 0) return static_cast<std::size_t>(wanted);
  }
  const unsigned n = std::thread::hardware_concurrency();
  return n == 0 ? 1 : n;
}

struct Service {
  std::mutex mutex;
  std::size_t threads = default_threads();
  std::unique_ptr<Pool> pool;
};
Service& service() {
  static Service instance;
  return instance;
}
std::atomic<Pool*> g_pool{nullptr};

Pool* pool() {
  Pool* p = g_pool.load(std::memory_order_acquire);
  if (p != nullptr) return p;
  Service& s = service();
  const std::lock_guard lock(s.mutex);
  if (s.pool == nullptr) {
    s.pool = std::make_unique<Pool>(s.threads);
    g_pool.store(s.pool.get(), std::memory_order_release);
  }
  return s.pool.get();
}

}  // namespace

void set_num_threads(std::size_t count) {
  if (count == 0) {
    detail::fail<ValueError>("set_num_threads",
                             "count out of range: count is 0, expected at least "
                             "1; 1 means only the calling thread");
  }
  Service& s = service();
  const std::lock_guard lock(s.mutex);
  g_pool.store(nullptr);
  s.pool.reset();
  s.threads = count;
}

std::size_t num_threads() {
  Service& s = service();
  const std::lock_guard lock(s.mutex);
  return s.threads;
}

namespace detail {

void run_blocks(std::ptrdiff_t blocks, BlockFunction function, const void* context) {
  pool()->run(blocks, function, context);
}

}  // namespace detail
}  // namespace xtape
