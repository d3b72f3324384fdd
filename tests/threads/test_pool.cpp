#include "threads/pool.hpp"

#include "threads/row_halves.hpp"
#include "threads/settings.hpp"

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

using namespace xtape;

namespace {

bool one_processor() {
  if (detail::usable_processors() > 1) return false;
  WARN("skipped: needs two processors");
  return true;
}

/// Calls body(block) for each of these blocks, on all threads of the pool.
template <class Body> void for_each_block(std::ptrdiff_t blocks, const Body& body) {
  detail::parallel_blocks(blocks, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    for (std::ptrdiff_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace

TEST_CASE("every block runs exactly once", "[threads]") {
  for (const std::ptrdiff_t blocks : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<std::size_t>(blocks));
    for_each_block(blocks, [&](std::ptrdiff_t i) { ++runs[static_cast<std::size_t>(i)]; });
    for (const auto& n : runs) CHECK(n == 1);
  }
}

TEST_CASE("more blocks than one ticket counts", "[threads]") {
  const std::ptrdiff_t blocks = (std::ptrdiff_t{5} << 19) + 3;
  std::vector<unsigned char> runs(static_cast<std::size_t>(blocks));
  for_each_block(blocks, [&](std::ptrdiff_t i) { ++runs[static_cast<std::size_t>(i)]; });
  CHECK(std::count(runs.begin(), runs.end(), 1) == blocks);
}

TEST_CASE("ranges cover everything, in pieces of the grain", "[threads]") {
  for (const std::ptrdiff_t count : {0, 1, 99, 100, 101, 1234}) {
    std::vector<std::atomic<int>> seen(static_cast<std::size_t>(count));
    detail::parallel_for(count, 100, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
      for (std::ptrdiff_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
    });
    for (const auto& n : seen) CHECK(n == 1);
  }
}

TEST_CASE("spans are blocks next to each other, each in one of them", "[threads]") {
  const std::size_t before = num_threads();
  for (const std::size_t threads : {1U, 2U, 3U}) {
    set_num_threads(threads);
    for (const std::ptrdiff_t blocks : {1, 2, 3, 17, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(blocks));
      std::atomic<int> spans{0};
      std::atomic<int> longest{0};
      detail::parallel_blocks(blocks, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
        ++spans;
        for (std::ptrdiff_t i = begin; i < end; ++i) ++runs[static_cast<std::size_t>(i)];
        for (int most = longest; most < end - begin;) {
          if (longest.compare_exchange_weak(most, static_cast<int>(end - begin))) break;
        }
      });
      for (const auto& n : runs) CHECK(n == 1);
      // Alone, all at once; else no one takes more than the half of a thread's share.
      const auto halves = static_cast<std::ptrdiff_t>(2 * threads);
      if (threads == 1) CHECK(spans == 1);
      if (spans > 1) CHECK(longest <= (blocks + halves - 1) / halves);
    }
  }
  set_num_threads(before);
}

TEST_CASE("halves of rows are added up one after the other, each once", "[threads]") {
  using Range = std::pair<std::ptrdiff_t, std::ptrdiff_t>;
  const std::size_t before = num_threads();
  for (const std::size_t threads : {1U, 2U, 3U}) {
    set_num_threads(threads);
    CHECK(detail::two_threads() == (threads == 2));
    for (const std::ptrdiff_t tiles : {0, 1, 2, 3, 12, 60}) {
      for (const std::ptrdiff_t rows : {1, 7, 8, 100}) {
        std::vector<std::vector<Range>> added(static_cast<std::size_t>(tiles));
        detail::parallel_row_halves(
            tiles, rows, 4, [&](std::ptrdiff_t tile, std::ptrdiff_t from, std::ptrdiff_t to) {
              added[static_cast<std::size_t>(tile)].emplace_back(from, to);
            });
        const std::ptrdiff_t half = rows / 8 * 4;
        for (const auto& a : added) CHECK(a == std::vector<Range>{{0, half}, {half, rows}});
      }
    }
  }
  set_num_threads(before);
}

TEST_CASE("the thread that has done the first halves helps a late one with the second",
          "[threads]") {
  if (one_processor()) return;
  const std::size_t before = num_threads();
  set_num_threads(2);
  using Clock = std::chrono::steady_clock;
  const auto caller = std::this_thread::get_id();
  bool helped = false;
  for (int round = 0; round < 1000 && !helped; ++round) {  // alone, while a pause is on
    std::vector<std::atomic<int>> halves(40);
    std::atomic<int> by_caller{0};
    std::atomic<int> by_worker{0};
    detail::parallel_row_halves(40, 8, 1,
                                [&](std::ptrdiff_t tile, std::ptrdiff_t from, std::ptrdiff_t) {
                                  const bool mine = std::this_thread::get_id() == caller;
                                  if (from != 0) ++(mine ? by_caller : by_worker);
                                  if (!mine)
                                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                  if (from == 0 && tile == 1) {
                                    const auto end = Clock::now() + std::chrono::milliseconds(20);
                                    while (by_worker == 0 && Clock::now() < end)
                                      std::this_thread::yield();
                                  }
                                  ++halves[static_cast<std::size_t>(tile)];
                                });
    for (const auto& n : halves) CHECK(n == 2);
    helped = by_caller > 0 && by_worker > 0;
  }
  CHECK(helped);
  set_num_threads(before);
}

TEST_CASE("several user threads at once, and jobs within jobs", "[threads]") {
  std::atomic<long> total{0};
  std::vector<std::thread> users;
  for (int u = 0; u < 3; ++u) {
    users.emplace_back([&] {
      for (int k = 0; k < 200; ++k) {
        for_each_block(
            8, [&](std::ptrdiff_t) { for_each_block(4, [&](std::ptrdiff_t) { ++total; }); });
      }
    });
  }
  for (std::thread& user : users) user.join();
  CHECK(total == 3 * 200 * 8 * 4);
}

TEST_CASE("the pool starts again with another number of threads", "[threads]") {
  const std::size_t before = num_threads();
  for (const std::size_t n : {1U, 4U, 2U}) {
    set_num_threads(n);
    std::atomic<int> count{0};
    for_each_block(50, [&](std::ptrdiff_t) { ++count; });
    CHECK(count == 50);
  }
  set_num_threads(before);
}

TEST_CASE("after a worker kept a small job waiting for long, jobs are done alone for a while",
          "[threads]") {
  using Clock = std::chrono::steady_clock;
  if (one_processor()) return;
  const std::size_t before = num_threads();
  set_num_threads(2);
  const auto me = std::this_thread::get_id();
  // Whether the worker takes a block, where both could for so long.
  const auto helped = [me](std::chrono::milliseconds least) {
    std::atomic<bool> worker{false};
    const Clock::time_point end = Clock::now() + least;
    for_each_block(2, [&](std::ptrdiff_t) {
      if (std::this_thread::get_id() != me) worker = true;
      while (!worker && Clock::now() < end) std::this_thread::yield();
    });
    return worker.load();
  };
  const auto helped_at_last = [&] {
    for (int i = 0; i < 1000; ++i) {
      if (helped(std::chrono::milliseconds(20))) return true;
    }
    return false;
  };
  REQUIRE(helped_at_last());
  bool paused = false;
  for (int attempt = 0; attempt < 20 && !paused; ++attempt) {
    std::atomic<bool> begun{false};
    for_each_block(2, [&](std::ptrdiff_t) {
      if (std::this_thread::get_id() != me) {
        begun = true;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      } else {
        const Clock::time_point end = Clock::now() + std::chrono::milliseconds(20);
        while (!begun && Clock::now() < end) std::this_thread::yield();
      }
    });
    paused = begun && !helped(std::chrono::milliseconds(1));
  }
  CHECK(paused);
  CHECK(helped_at_last());
  set_num_threads(before);
}

#if defined(__linux__)
namespace {

/// Has this thread, and those it starts, use one processor until it goes out of scope.
class OnProcessor {
 public:
  explicit OnProcessor(int processor) {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(processor), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  OnProcessor(const OnProcessor&) = delete;
  OnProcessor& operator=(const OnProcessor&) = delete;
  ~OnProcessor() { sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_{};
};

}  // namespace

TEST_CASE("a worker found on the processor of the caller moves to another", "[threads]") {
  using Clock = std::chrono::steady_clock;
  if (one_processor()) return;
  const std::size_t before = num_threads();
  set_num_threads(2);
  detail::pool_threads();  // starts a worker that may use all
  const auto me = std::this_thread::get_id();
  const int here = sched_getcpu();
  const OnProcessor stay(here);
  const auto worker_does = [me](const auto& action) {
    std::atomic<bool> worker{false};
    const Clock::time_point end = Clock::now() + std::chrono::milliseconds(20);
    for_each_block(2, [&](std::ptrdiff_t) {
      if (std::this_thread::get_id() != me) {
        action();
        worker = true;
      }
      while (!worker && Clock::now() < end) std::this_thread::yield();
    });
  };
  int looks = 0;
  int found_here = 0;
  for (int round = 0; round < 2000 && looks < 50; ++round) {
    bool moved_here = false;
    worker_does([&] {
      const OnProcessor move(here);
      moved_here = true;
    });
    if (!moved_here) continue;
    worker_does([&] {
      ++looks;
      found_here += sched_getcpu() == here ? 1 : 0;
    });
  }
  CHECK(looks >= 50);
  CHECK(found_here < 5);
  set_num_threads(before);
}

TEST_CASE("a worker that has no other processor leaves jobs to the caller", "[threads]") {
  const std::size_t before = num_threads();
  set_num_threads(2);
  const auto me = std::this_thread::get_id();
  const OnProcessor one(sched_getcpu());
  std::atomic<int> by_worker{0};
  for (int job = 0; job < 200; ++job) {
    for_each_block(8, [&](std::ptrdiff_t) {
      by_worker += std::this_thread::get_id() != me ? 1 : 0;
      std::this_thread::yield();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(by_worker == 0);
  set_num_threads(before);
}
#endif

TEST_CASE("jobs one after the other never take each other's blocks", "[threads]") {
  for (std::ptrdiff_t job = 0; job < 3000; ++job) {
    const std::ptrdiff_t blocks = 2 + job % 7;
    std::vector<std::ptrdiff_t> seen(static_cast<std::size_t>(blocks), -1);
    // The worker sleeps before some of them.
    if (job % 300 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    for_each_block(blocks, [&](std::ptrdiff_t i) { seen[static_cast<std::size_t>(i)] = job + i; });
    for (std::ptrdiff_t i = 0; i < blocks; ++i) {
      REQUIRE(seen[static_cast<std::size_t>(i)] == job + i);
    }
  }
}
