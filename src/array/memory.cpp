#include <xtape/array/array.hpp>

#include "array/block_sizes.hpp"
#include "base/fork.hpp"
#include "base/message.hpp"
#include "base/sanitizers.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <utility>

// The way of a block:
//   up to 4 KiB   ThreadCache  <-- batches of 16 KiB -->  SharedPool  <-->  system
//   larger                                                SharedPool  <-->  system
// Blocks in use and blocks kept by the pool take together at most twice the peak of use; resetting the peak does not
// lower this limit. Sizes that are not in use at the same time all find their blocks then: batches of other lengths
// need blocks of sizes 1, 1/2, 1/4, ... of the largest, twice the largest in all. A thread that only frees cannot make
// the pool grow without bound.
//
// Under AddressSanitizer every block comes from the system, so that the sanitizer watches it. With XTAPE_POISON every
// block begins as NaNs, so that a read before the first write shows.

namespace xtape {
namespace {

using detail::batch_size;
using detail::kLargeClasses;
using detail::kSmallClasses;
using detail::kSmallest;
using detail::kSmallLimit;
using detail::large_class;
using detail::LargeClass;
using detail::small_class;
using detail::small_size;

#ifdef XTAPE_POISON
constexpr bool kPoison = true;
#else
constexpr bool kPoison = false;
#endif
constexpr std::int64_t kFlush = 64 * 1024;                    // unreported bytes of a thread
constexpr std::int64_t kLeastPool = std::int64_t{64} << 20U;  // bytes that the pool may always keep

struct FreeBlock {
  FreeBlock* next;
  FreeBlock* next_batch = nullptr;  // in the pool, for the first block of a batch
};

/// A chain of free blocks of one class.
struct Batch {
  FreeBlock* head = nullptr;
  std::size_t count = 0;

  void push(void* p) noexcept {
    head = ::new (p) FreeBlock{head};
    ++count;
  }
  void* pop() noexcept {
    FreeBlock* block = head;
    head = block->next;
    --count;
    return block;
  }
};

std::atomic<std::int64_t> g_in_use{0};
std::atomic<std::int64_t> g_peak{0};
std::atomic<std::int64_t> g_past_peak{0};  // the largest peak that was reset
std::atomic<std::int64_t> g_cached{0};
std::atomic<std::int64_t> g_system{0};

/// Adds to the bytes in use, and raises their peak.
void account(std::int64_t bytes) noexcept {
  const std::int64_t now = g_in_use.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  std::int64_t peak = g_peak.load(std::memory_order_relaxed);
  while (now > peak && !g_peak.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

void* from_system(std::size_t bytes) {
  g_system.fetch_add(1, std::memory_order_relaxed);
  return ::operator new (bytes, std::align_val_t{detail::kAlignment});
}
void to_system(void* pointer) noexcept {
  ::operator delete (pointer, std::align_val_t{detail::kAlignment});
}

/// The free blocks of all threads, behind a lock.
class SharedPool {
 public:
  void* take_large(LargeClass cls) noexcept {
    const std::lock_guard lock(mutex_);
    FreeBlock*& list = large_[cls.index];
    if (list == nullptr) return nullptr;
    FreeBlock* block = list;
    list = block->next;
    hold(-static_cast<std::int64_t>(cls.bytes));
    return block;
  }
  void give_large(void* p, LargeClass cls) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (has_room(cls.bytes)) {
        large_[cls.index] = ::new (p) FreeBlock{large_[cls.index]};
        hold(static_cast<std::int64_t>(cls.bytes));
        return;
      }
    }
    to_system(p);
  }

  Batch take_small(std::size_t cls) noexcept {
    const std::lock_guard lock(mutex_);
    FreeBlock*& list = small_[cls];
    Batch batch{list, 0};
    if (list == nullptr) return batch;
    list = batch.head->next_batch;
    for (FreeBlock* b = batch.head; b != nullptr; b = b->next) ++batch.count;
    hold(-static_cast<std::int64_t>(batch.count * small_size(cls)));
    return batch;
  }
  void give_small(Batch batch, std::size_t cls) noexcept {
    if (batch.head == nullptr) return;
    {
      const std::lock_guard lock(mutex_);
      if (has_room(batch.count * small_size(cls))) {
        batch.head->next_batch = small_[cls];
        small_[cls] = batch.head;
        hold(static_cast<std::int64_t>(batch.count * small_size(cls)));
        return;
      }
    }
    drain(batch.head);
  }

  void hold_at_fork() { detail::hold_at_fork(mutex_); }
  void trim() noexcept {
    const std::lock_guard lock(mutex_);
    for (FreeBlock*& list : small_) {
      while (list != nullptr) {
        FreeBlock* batch = list;
        list = batch->next_batch;
        drain(batch);
      }
    }
    for (FreeBlock*& list : large_) {
      drain(list);
      list = nullptr;
    }
    hold(-held_);
  }

 private:
  [[nodiscard]] bool has_room(std::size_t bytes) const noexcept {
    const std::int64_t kept = held_ + static_cast<std::int64_t>(bytes);
    const std::int64_t peak = std::max(g_past_peak.load(std::memory_order_relaxed),
                                       g_peak.load(std::memory_order_relaxed));
    return kept <= kLeastPool || kept + g_in_use.load(std::memory_order_relaxed) <= 2 * peak;
  }
  void hold(std::int64_t bytes) noexcept {
    held_ += bytes;
    g_cached.fetch_add(bytes, std::memory_order_relaxed);
  }
  static void drain(FreeBlock* list) noexcept {
    while (list != nullptr) {
      FreeBlock* block = list;
      list = block->next;
      to_system(block);
    }
  }

  std::mutex mutex_;
  std::int64_t held_ = 0;
  std::array<FreeBlock*, kSmallClasses> small_{};  // chains of batches
  std::array<FreeBlock*, kLargeClasses> large_{};
};

// The pool is never destroyed, because arrays with static storage may be freed after any static of this file.
SharedPool& shared_pool() {
  static SharedPool* const pool = [] {
    auto* made = new SharedPool;
    made->hold_at_fork();
    return made;
  }();
  return *pool;
}

/// The free small blocks of one thread, and its part of the counters.
struct ThreadCache {
  // The spare batch keeps a thread that allocates and frees around a full batch from going to the pool each time.
  struct Class {
    Batch active, spare;
  };
  std::array<Class, kSmallClasses> classes{};
  std::size_t held = 0;
  std::size_t reported_held = 0;
  std::int64_t unreported = 0;  // change of in_use that g_in_use does not have yet
  std::int64_t highest = 0;     // maximum of `unreported` since the last report

  void* take(std::size_t cls) noexcept {
    Class& c = classes[cls];
    if (c.active.head == nullptr) {
      std::swap(c.active, c.spare);
      if (c.active.head == nullptr) {
        c.active = shared_pool().take_small(cls);
        held += c.active.count * small_size(cls);
        if (c.active.head == nullptr) return nullptr;
      }
    }
    held -= small_size(cls);
    return c.active.pop();
  }
  void give(void* p, std::size_t cls) noexcept {
    Class& c = classes[cls];
    if (c.active.count == batch_size(cls)) {
      held -= c.spare.count * small_size(cls);
      shared_pool().give_small(c.spare, cls);
      c.spare = std::exchange(c.active, {});
    }
    c.active.push(p);
    held += small_size(cls);
  }
  /// Gives all blocks to the pool.
  void release() noexcept {
    for (std::size_t cls = 0; cls < classes.size(); ++cls) {
      shared_pool().give_small(std::exchange(classes[cls].active, {}), cls);
      shared_pool().give_small(std::exchange(classes[cls].spare, {}), cls);
    }
    held = 0;
    report();
  }

  void report() noexcept {
    g_cached.fetch_add(static_cast<std::int64_t>(held) - static_cast<std::int64_t>(reported_held),
                       std::memory_order_relaxed);
    reported_held = held;
    // In two steps, so that the peak sees the highest point.
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
};

// A plain pointer needs no guard at each access, unlike a thread-local object with a destructor.
constinit thread_local ThreadCache* t_cache = nullptr;
constinit thread_local bool t_ended = false;

struct ThreadCacheOwner {
  ThreadCache cache;
  ThreadCacheOwner() { t_cache = &cache; }
  ThreadCacheOwner(const ThreadCacheOwner&) = delete;
  ThreadCacheOwner& operator=(const ThreadCacheOwner&) = delete;
  ~ThreadCacheOwner() {
    cache.release();
    t_cache = nullptr;
    t_ended = true;
  }
};

/// Returns the calling thread's cache; null while the thread ends and its cache is gone.
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
  void* p = cache != nullptr ? cache->take(cls) : nullptr;
  if (p == nullptr) p = from_system(bytes);
  if (cache != nullptr) {
    cache->change(static_cast<std::int64_t>(bytes));
  } else {
    account(static_cast<std::int64_t>(bytes));
  }
  return p;
}

void deallocate_small(void* p, std::size_t cls) noexcept {
  const std::size_t bytes = small_size(cls);
  if (ThreadCache* cache = thread_cache()) {
    cache->change(-static_cast<std::int64_t>(bytes));
    cache->give(p, cls);
    return;
  }
  account(-static_cast<std::int64_t>(bytes));
  Batch one;
  one.push(p);
  shared_pool().give_small(one, cls);
}

/// Throws the error of a request that cannot be met.
[[noreturn]] void fail_allocation(std::size_t count, std::size_t size) {
  detail::fail<MemoryError>(
      "array", "not enough memory: ", count, " elements of ", size, " bytes are asked for beside ",
      memory_stats().in_use,
      " bytes in use, expected what the system can give; use smaller extents or batches");
}

void* take(std::size_t bytes) {
  if constexpr (detail::kAddressSanitizer) {
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

}  // namespace

namespace detail {

void* allocate(std::size_t count, std::size_t size) {
  // No process has more. A sanitizer's allocator would end the program.
  constexpr std::size_t kMost = std::size_t{1}
                                << (kAddressSanitizer || kThreadSanitizer ? 40U : 47U);
  if (count > kMost / size) fail_allocation(count, size);
  const std::size_t bytes = count * size;
  void* p = nullptr;
  try {
    p = take(bytes);
  } catch (const std::bad_alloc&) {
    trim();  // what is kept may be what is missing
    try {
      p = take(bytes);
    } catch (const std::bad_alloc&) {
      fail_allocation(count, size);
    }
  }
  if constexpr (kPoison) std::memset(p, 0xFF, bytes);
  return p;
}

void deallocate(void* pointer, std::size_t bytes) noexcept {
  if (pointer == nullptr) return;
  if constexpr (kAddressSanitizer) {
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
  g_past_peak.store(std::max(g_past_peak.load(), g_peak.load()));
  g_peak.store(g_in_use.load());
}

void trim() {
  if (ThreadCache* cache = thread_cache()) cache->release();
  shared_pool().trim();
}

}  // namespace xtape
