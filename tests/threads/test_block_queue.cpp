// The queue of blocks on one thread: who takes which blocks does not depend on timing then.

#include "threads/block_queue.hpp"

#include "support/catch.hpp"

#include <functional>
#include <utility>
#include <vector>

using namespace xtape;
using detail::BlockQueue;
using Taken = std::pair<std::ptrdiff_t, std::ptrdiff_t>;
using AllTaken = std::vector<Taken>;

namespace {

/// Notes the runs of blocks in which a job is done; `during` is called in the middle of each.
struct Job {
  AllTaken taken;
  std::function<void()> during = [] {};

  void open(BlockQueue& queue, std::ptrdiff_t first, std::ptrdiff_t blocks) {
    const auto function = [](const void* context, std::ptrdiff_t begin, std::ptrdiff_t end) {
      Job& job = *const_cast<Job*>(static_cast<const Job*>(context));
      job.taken.emplace_back(begin, end);
      job.during();
    };
    queue.open(first, blocks, function, this, 7);
  }
};

}  // namespace

TEST_CASE("a thread takes half of its share of what is left, one block in the end", "[threads]") {
  BlockQueue queue(2);
  Job job;
  SECTION("the caller from the front") {
    job.open(queue, 100, 16);
    CHECK(queue.work(BlockQueue::End::front) == 16);
    CHECK(job.taken == AllTaken{{100, 104},
                                {104, 107},
                                {107, 110},
                                {110, 112},
                                {112, 113},
                                {113, 114},
                                {114, 115},
                                {115, 116}});
  }
  SECTION("workers from the back") {
    job.open(queue, 100, 16);
    CHECK(queue.work(BlockQueue::End::back) == 16);
    CHECK(job.taken == AllTaken{{112, 116},
                                {109, 112},
                                {106, 109},
                                {104, 106},
                                {103, 104},
                                {102, 103},
                                {101, 102},
                                {100, 101}});
  }
  SECTION("as many blocks as a ticket counts") {
    job.open(queue, 0, BlockQueue::kMostBlocks);
    CHECK(queue.work(BlockQueue::End::back) == BlockQueue::kMostBlocks);
    CHECK(job.taken.front() == Taken{49151, 65535});
  }
}

TEST_CASE("two threads meet in the middle", "[threads]") {
  BlockQueue queue(2);
  Job job;
  std::ptrdiff_t by_worker = 0;
  job.during = [&] {
    if (job.taken.size() == 1) by_worker = queue.work(BlockQueue::End::back);
  };
  job.open(queue, 0, 8);
  const std::ptrdiff_t own = queue.work(BlockQueue::End::front);
  CHECK(job.taken == AllTaken{{0, 2}, {6, 8}, {5, 6}, {4, 5}, {3, 4}, {2, 3}});
  CHECK(own == 2);
  CHECK(by_worker == 6);
  CHECK_FALSE(queue.finished(own));
  queue.report(by_worker);
  CHECK(queue.finished(own));
}

TEST_CASE("a job is open while it has blocks left", "[threads]") {
  BlockQueue queue(3);
  Job job;
  CHECK(queue.open_job() == 0);
  CHECK(queue.work(BlockQueue::End::back) == 0);
  for (const std::uint64_t number : {1U, 2U}) {
    job.open(queue, 0, 1);
    CHECK(queue.open_job() == number);
    CHECK(queue.processor() == 7);
    CHECK(queue.work(BlockQueue::End::front) == 1);
    CHECK(queue.open_job() == 0);
    CHECK(queue.work(BlockQueue::End::back) == 0);
    queue.report(0);
    CHECK(queue.finished(1));
  }
}
