#include <xtape/array.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <mutex>
#include <vector>

// Sizes up to 4 KiB go through a bounded cache of the thread; larger ones, and what overflows, through
// one shared pool. The pool keeps at most as much as was ever in use at one time, so a program's
// steady state finds every block there, and a thread that only frees cannot make it grow without
// bound (thread-local lists alone did).
//
// Under AddressSanitizer every block is the system's own, so that it can watch it.

#if defined(__SANITIZE_ADDRESS__)
#define XTAPE_BYPASS_CACHE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define XTAPE_BYPASS_CACHE 1
#endif
#endif
#ifndef XTAPE_BYPASS_CACHE
#define XTAPE_BYPASS_CACHE 0
#endif

namespace xtape {
namespace {

constexpr std::size_t kSmallest = 64;
constexpr std::size_t kSmallLimit = 4096;
constexpr std::size_t kSmallClasses = kSmallLimit / kSmallest;
constexpr std::size_t kThreadCacheLimit = std::size_t{2} << 20U;
constexpr std::int64_t kFlush = 64 * 1024;
constexpr std::int64_t kLeastPool = std::int64_t{64} << 20U;
// Large classes: four per doubling, from 4 KiB up to 2^62.
constexpr std::size_t kLargeClasses = 4 * 51;

struct FreeBlock {
  FreeBlock* next;
};

constexpr std::size_t small_class(std::size_t bytes) noexcept {
  return bytes == 0 ? 0 : (bytes - 1) / kSmallest;
}
constexpr std::size_t small_size(std::size_t cls) noexcept { return (cls + 1) * kSmallest; }

struct LargeClass {
  std::size_t index;
  std::size_t bytes;
};
// Rounds up to a multiple of a quarter of the power of two below: at most 25 % is wasted.
LargeClass large_class(std::size_t bytes) {
  const auto log = static_cast<std::size_t>(std::bit_width(bytes - 1)) - 1;  // 2^log < bytes
  const std::size_t step = (std::size_t{1} << log) / 4;
  const std::size_t quarter = (bytes - (std::size_t{1} << log) + step - 1) / step;  // 1..4
  return {(log - 12) * 4 + quarter - 1, (std::size_t{1} << log) + quarter * step};
}

std::atomic<std::int64_t> g_in_use{0};
std::atomic<std::int64_t> g_peak{0};
std::atomic<std::int64_t> g_cached{0};
std::atomic<std::int64_t> g_system{0};

void account(std::int64_t bytes) noexcept {
  const std::int64_t now = g_in_use.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  std::int64_t peak = g_peak.load(std::memory_order_relaxed);
  while (now > peak && !g_peak.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

void* from_system(std::size_t bytes) {
  g_system.fetch_add(1, std::memory_order_relaxed);
  return ::operator new(bytes, std::align_val_t{detail::kAlignment});
}
void to_system(void* pointer) noexcept {
  ::operator delete(pointer, std::align_val_t{detail::kAlignment});
}

class SharedPool {
 public:
  void* take_large(LargeClass cls) noexcept {
    const std::lock_guard lock(mutex_);
    return pop(large_[cls.index], cls.bytes);
  }
  void* take_small(std::size_t cls) noexcept {
    const std::lock_guard lock(mutex_);
    return pop(small_[cls], small_size(cls));
  }
  void give_large(void* p, LargeClass cls) noexcept { give(p, large_[cls.index], cls.bytes); }
  void give_small(void* p, std::size_t cls) noexcept { give(p, small_[cls], small_size(cls)); }

  void trim() noexcept {
    const std::lock_guard lock(mutex_);
    for (auto& list : small_) drain(list);
    for (auto& list : large_) drain(list);
    g_cached.fetch_sub(held_, std::memory_order_relaxed);
    held_ = 0;
  }

 private:
  void* pop(FreeBlock*& list, std::size_t bytes) noexcept {
    if (list == nullptr) return nullptr;
    FreeBlock* block = list;
    list = block->next;
    held_ -= static_cast<std::int64_t>(bytes);
    g_cached.fetch_sub(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
    return block;
  }
  void give(void* p, FreeBlock*& list, std::size_t bytes) noexcept {
    const auto size = static_cast<std::int64_t>(bytes);
    {
      const std::lock_guard lock(mutex_);
      if (held_ + size <= std::max(kLeastPool, g_peak.load(std::memory_order_relaxed))) {
        list = ::new (p) FreeBlock{list};
        held_ += size;
        g_cached.fetch_add(size, std::memory_order_relaxed);
        return;
      }
    }
    to_system(p);
  }
  static void drain(FreeBlock*& list) noexcept {
    while (list != nullptr) {
      FreeBlock* block = list;
      list = block->next;
      to_system(block);
    }
  }

  std::mutex mutex_;
  std::int64_t held_ = 0;
  std::array<FreeBlock*, kSmallClasses> small_{};
  std::array<FreeBlock*, kLargeClasses> large_{};
};

// Never destroyed: arrays with static storage may be freed after any static of ours.
SharedPool& shared_pool() {
  static SharedPool* const pool = new SharedPool;
  return *pool;
}

struct ThreadCache {
  std::array<FreeBlock*, kSmallClasses> lists{};
  std::size_t held = 0;
  std::size_t reported_held = 0;
  std::int64_t unreported = 0;  // change of in_use not yet in the global counter
  std::int64_t highest = 0;     // the largest value `unreported` reached since the last report

  void report() noexcept {
    g_cached.fetch_add(static_cast<std::int64_t>(held) - static_cast<std::int64_t>(reported_held),
                       std::memory_order_relaxed);
    reported_held = held;
    // The highest point first, so that the peak sees it.
    account(highest);
    account(unreported - highest);
    unreported = 0;
    highest = 0;
  }
  void change(std::int64_t bytes) noexcept {
    unreported += bytes;
    highest = std::max(highest, unreported);
    if (unreported > kFlush || unreported < -kFlush) report();
  }
  void release(bool to_pool) noexcept {
    for (std::size_t cls = 0; cls < lists.size(); ++cls) {
      while (lists[cls] != nullptr) {
        FreeBlock* block = lists[cls];
        lists[cls] = block->next;
        if (to_pool) {
          shared_pool().give_small(block, cls);
        } else {
          to_system(block);
        }
      }
    }
    held = 0;
    report();
  }
};

// A plain pointer costs no guard on each access, unlike a thread-local object with a destructor.
constinit thread_local ThreadCache* t_cache = nullptr;
constinit thread_local bool t_ended = false;

struct ThreadCacheOwner {
  ThreadCache cache;
  ThreadCacheOwner() { t_cache = &cache; }
  ThreadCacheOwner(const ThreadCacheOwner&) = delete;
  ThreadCacheOwner& operator=(const ThreadCacheOwner&) = delete;
  ~ThreadCacheOwner() {
    cache.release(true);
    t_cache = nullptr;
    t_ended = true;
  }
};

// Null only while a thread is ending and its cache is gone.
ThreadCache* thread_cache() {
  if (t_cache == nullptr && !t_ended) {
    thread_local ThreadCacheOwner owner;
    t_cache = &owner.cache;
  }
  return t_cache;
}

void* allocate_small(std::size_t cls) {
  const std::size_t bytes = small_size(cls);
  ThreadCache* cache = thread_cache();
  void* p = nullptr;
  if (cache != nullptr && cache->lists[cls] != nullptr) {
    FreeBlock* block = cache->lists[cls];
    cache->lists[cls] = block->next;
    cache->held -= bytes;
    p = block;
  } else {
    p = shared_pool().take_small(cls);
    if (p == nullptr) p = from_system(bytes);
  }
  if (cache != nullptr) {
    cache->change(static_cast<std::int64_t>(bytes));
  } else {
    account(static_cast<std::int64_t>(bytes));
  }
  return p;
}

void deallocate_small(void* p, std::size_t cls) noexcept {
  const std::size_t bytes = small_size(cls);
  ThreadCache* cache = thread_cache();
  if (cache == nullptr) {
    account(-static_cast<std::int64_t>(bytes));
    shared_pool().give_small(p, cls);
    return;
  }
  cache->change(-static_cast<std::int64_t>(bytes));
  if (cache->held + bytes > kThreadCacheLimit) {
    shared_pool().give_small(p, cls);
    return;
  }
  cache->lists[cls] = ::new (p) FreeBlock{cache->lists[cls]};
  cache->held += bytes;
}

}  // namespace

namespace detail {

void* allocate(std::size_t bytes) {
  if constexpr (XTAPE_BYPASS_CACHE) {
    void* p = from_system(std::max(bytes, kSmallest));
    account(static_cast<std::int64_t>(bytes));
    return p;
  }
  if (bytes <= kSmallLimit) return allocate_small(small_class(bytes));
  const LargeClass cls = large_class(bytes);
  void* p = shared_pool().take_large(cls);
  if (p == nullptr) p = from_system(cls.bytes);
  if (ThreadCache* cache = thread_cache()) cache->report();
  account(static_cast<std::int64_t>(cls.bytes));
  return p;
}

void deallocate(void* pointer, std::size_t bytes) noexcept {
  if (pointer == nullptr) return;
  if constexpr (XTAPE_BYPASS_CACHE) {
    account(-static_cast<std::int64_t>(bytes));
    to_system(pointer);
    return;
  }
  if (bytes <= kSmallLimit) {
    deallocate_small(pointer, small_class(bytes));
    return;
  }
  const LargeClass cls = large_class(bytes);
  account(-static_cast<std::int64_t>(cls.bytes));
  shared_pool().give_large(pointer, cls);
}

}  // namespace detail

MemoryStats memory_stats() {
  if (ThreadCache* cache = thread_cache()) cache->report();
  return {g_in_use.load(), g_peak.load(), g_cached.load(), g_system.load()};
}

void reset_peak_memory() {
  if (ThreadCache* cache = thread_cache()) cache->report();
  g_peak.store(g_in_use.load());
}

void trim() {
  shared_pool().trim();
  if (ThreadCache* cache = thread_cache()) cache->release(false);
}

}  // namespace xtape
