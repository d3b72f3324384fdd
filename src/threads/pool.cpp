#include "threads/pool.hpp"

#include "base/message.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace xtape {
namespace {

using detail::BlockFunction;

// Waking a sleeper takes tens of microseconds, so a worker looks for the next job this often before
// it sleeps (some tens of microseconds).
constexpr int kSpins = 2000;

// Where another program wants a worker's core, the system takes it from the worker for milliseconds at a
// time, and of small jobs each time nearly all is waiting. Then who brings jobs does them alone for a
// while, for longer each time that it happens soon again. Long jobs gain in spite of it. Or the system wakes
// a worker on the very core of who brings the job, and leaves it there for long (Linux looks for no idle core
// where most are in use). The worker could only get what the other thread loses: it moves.
using Clock = std::chrono::steady_clock;
constexpr Clock::duration kStall = std::chrono::microseconds(500);
constexpr Clock::duration kFirstPause = std::chrono::milliseconds(4);
constexpr Clock::duration kLongestPause = std::chrono::milliseconds(256);

struct Pause {
  Clock::time_point end{};
  Clock::duration length{0};
};

/// Which processor this thread runs on; negative where nobody can tell.
int processor() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

/// Moves this thread to any other processor it may use; false where there is none. It may use all again then.
bool leave(int processor) {
#if defined(__linux__)
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return true;  // nobody can tell
  cpu_set_t others = usable;
  CPU_CLR(static_cast<std::size_t>(processor), &others);
  if (CPU_COUNT(&others) == 0) return false;
  sched_setaffinity(0, sizeof others, &others);
  sched_setaffinity(0, sizeof usable, &usable);
#else
  static_cast<void>(processor);
#endif
  return true;
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// A job is open while its ticket, (number of the job, first block nobody has taken, the end of these),
// says so. To take blocks is to exchange the ticket for the one without them, which fails when the job is
// over: so no lock is held while a job begins or ends, and a worker that comes late does no harm.
// Many are taken while there are many, one at the end ("guided self-scheduling", Polychronopoulos and
// Kuck 1987): so small blocks, with which threads end together, cost no more exchanges than large ones.
// Who brings a job takes its blocks from the front, workers from the back: so the rows that one
// operation leaves in a core's cache are those which the next operation reads there.
class Pool {
 public:
  Pool(std::size_t threads, const Pause& pause)
      : takers_(static_cast<std::ptrdiff_t>(threads)), pause_(pause) {
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

  [[nodiscard]] std::size_t threads() const { return static_cast<std::size_t>(takers_); }

  /// When no job is running.
  [[nodiscard]] const Pause& pause() const { return pause_; }

  void run(std::ptrdiff_t blocks, BlockFunction function, const void* context) {
    if (blocks <= 0) return;
    // Busy, too, for a job within a job of this thread, which a mutex must not be asked about.
    if (workers_.empty() || busy_.exchange(true, std::memory_order_acquire)) {
      function(context, 0, blocks);
      return;
    }
    const Clock::time_point start = Clock::now();
    std::ptrdiff_t first = 0;
    // Alone, and asking in between: the job may outlast the pause.
    const std::ptrdiff_t eighth = (blocks + 7) / 8;
    for (Clock::time_point now = start; now < pause_.end && first < blocks; now = Clock::now()) {
      const std::ptrdiff_t end = std::min(blocks, first + eighth);
      function(context, first, end);
      first = end;
    }
    for (; first < blocks; first += kMostBlocks) {
      share(first, std::min(blocks - first, kMostBlocks), start, function, context);
    }
    busy_.store(false, std::memory_order_release);
  }

 private:
  static constexpr std::uint64_t kBits = 16;  // of a ticket, for each of its two numbers of blocks
  static constexpr std::ptrdiff_t kMostBlocks = (std::ptrdiff_t{1} << kBits) - 1;
  static std::ptrdiff_t front(std::uint64_t ticket) {
    return static_cast<std::ptrdiff_t>(ticket >> kBits) & kMostBlocks;
  }
  static std::ptrdiff_t back(std::uint64_t ticket) {
    return static_cast<std::ptrdiff_t>(ticket) & kMostBlocks;
  }
  static bool open(std::uint64_t ticket) { return front(ticket) != back(ticket); }
  static std::uint64_t number(std::uint64_t ticket) { return ticket >> (2 * kBits); }

  void share(std::ptrdiff_t first, std::ptrdiff_t blocks, Clock::time_point start,
             BlockFunction function, const void* context) {
    job_.function.store(function, std::memory_order_relaxed);
    job_.context.store(context, std::memory_order_relaxed);
    job_.first.store(first, std::memory_order_relaxed);
    job_.unfinished.store(blocks, std::memory_order_relaxed);
    job_.processor.store(processor(), std::memory_order_relaxed);
    // Before the look at the sleepers, as a worker counts itself among them before its last look here.
    const std::uint64_t ticket = ++jobs_ << (2 * kBits) | static_cast<std::uint64_t>(blocks);
    job_.ticket.store(ticket, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) != 0) {
      { const std::lock_guard lock(mutex_); }
      wake_.notify_all();
    }
    // Context goes out of scope when this returns: not before the workers' blocks are finished.
    const std::ptrdiff_t own = take_blocks(true);
    if (own == blocks) {
      if (crowded_.exchange(false, std::memory_order_relaxed)) begin_pause(start, Clock::now());
      return;
    }
    int spins = 0;
    while (job_.unfinished.load(std::memory_order_acquire) != own) {
      if (++spins > kSpins) {
        wait_long(own, start);
        return;
      }
      relax();
    }
  }

  void wait_long(std::ptrdiff_t own, Clock::time_point start) {
    const Clock::time_point done = Clock::now();  // all but what workers are at
    while (job_.unfinished.load(std::memory_order_acquire) != own) std::this_thread::yield();
    const Clock::time_point now = Clock::now();
    if (now - done >= std::max(kStall, done - start)) begin_pause(start, now);
  }

  void begin_pause(Clock::time_point start, Clock::time_point now) {
    const bool again = start - pause_.end < 8 * pause_.length;
    pause_.length = again ? std::min(4 * pause_.length, kLongestPause) : kFirstPause;
    pause_.end = now + pause_.length;
  }

  /// How many of them. A worker tells when it has done its last one, whoever brings a job keeps count: each
  /// number told has a line of the cache go from one core to another.
  std::ptrdiff_t take_blocks(bool brings) {
    std::ptrdiff_t done = 0;
    std::uint64_t ticket = job_.ticket.load(std::memory_order_acquire);
    while (open(ticket)) {
      // Of this job, if the exchange succeeds: they change only after its last block is finished.
      const BlockFunction function = job_.function.load(std::memory_order_relaxed);
      const void* context = job_.context.load(std::memory_order_relaxed);
      const std::ptrdiff_t first = job_.first.load(std::memory_order_relaxed);
      const std::ptrdiff_t left = back(ticket) - front(ticket);
      const std::ptrdiff_t share = (left + 2 * takers_ - 1) / (2 * takers_);
      const std::ptrdiff_t begin = brings ? front(ticket) : back(ticket) - share;
      const auto taken = static_cast<std::uint64_t>(share);
      if (!job_.ticket.compare_exchange_weak(
              ticket, brings ? ticket + (taken << kBits) : ticket - taken,
              std::memory_order_acq_rel, std::memory_order_acquire)) {
        continue;
      }
      function(context, first + begin, first + begin + share);
      done += share;
      if (share == left) break;
      ticket = job_.ticket.load(std::memory_order_acquire);
    }
    if (!brings && done != 0) job_.unfinished.fetch_sub(done, std::memory_order_release);
    return done;
  }

  /// Off the processor of who brings the job; false if it cannot be.
  [[nodiscard]] bool keeps_off_bringer() const {
    const int here = processor();
    return here < 0 || here != job_.processor.load(std::memory_order_relaxed) || leave(here);
  }

  void work() {
    std::uint64_t left_alone = 0;  // number of a job to sleep through
    while (true) {
      const std::uint64_t ticket = job_.ticket.load(std::memory_order_acquire);
      if (open(ticket) && !keeps_off_bringer()) {
        left_alone = number(ticket);
        crowded_.store(true, std::memory_order_relaxed);
      } else {
        take_blocks(false);
        int spins = 0;
        while (spins < kSpins && !open(job_.ticket.load(std::memory_order_relaxed))) {
          relax();
          ++spins;
        }
        if (spins < kSpins) continue;
      }
      std::unique_lock lock(mutex_);
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, [&] {
        const std::uint64_t next = job_.ticket.load(std::memory_order_seq_cst);
        return stop_ || (open(next) && number(next) != left_alone);
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

  const std::ptrdiff_t takers_;    // threads, with the one that brings a job
  std::atomic<bool> busy_{false};  // a user thread's job is running
  // Of whoever made the pool busy.
  std::uint64_t jobs_ = 0;
  Pause pause_;
  // In one line of the cache, which a worker has to fetch from the other core.
  struct alignas(64) Job {
    std::atomic<std::uint64_t> ticket{0};
    std::atomic<BlockFunction> function{nullptr};
    std::atomic<const void*> context{nullptr};
    std::atomic<std::ptrdiff_t> first{0};  // block of the job's first ticket
    std::atomic<std::ptrdiff_t> unfinished{0};
    std::atomic<int> processor{-1};  // of who brings it
  } job_;
  std::atomic<int> sleepers_{0};
  std::atomic<bool> crowded_{false};  // a worker found no processor of its own
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
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
  Pause pause;  // as the last pool left it: the processors are the same
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
    s.pool = std::make_unique<Pool>(s.threads, s.pause);
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
  if (s.pool != nullptr) s.pause = s.pool->pause();
  s.pool.reset();
  s.threads = count;
}

std::size_t num_threads() {
  Service& s = service();
  const std::lock_guard lock(s.mutex);
  return s.threads;
}

namespace detail {

std::size_t pool_threads() { return pool()->threads(); }

void run_blocks(std::ptrdiff_t blocks, BlockFunction function, const void* context) {
  pool()->run(blocks, function, context);
}

}  // namespace detail
}  // namespace xtape
