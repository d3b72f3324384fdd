#include "base/sanitizers.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <mutex>
#include <thread>

using namespace xtape;
using namespace xtape::test;

constexpr bool kCaching = !detail::kAddressSanitizer;  // the cache is bypassed there
// Sanitizers keep books of their own in the resident set.
constexpr bool kResident = kCaching && !detail::kThreadSanitizer;

namespace {

std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t total = 0;
  std::int64_t resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

/// Returns the size of the block that so many bytes get.
std::size_t block(std::size_t bytes) {
  const std::int64_t before = memory_stats().in_use;
  std::byte* p = Allocator<std::byte>().allocate(bytes);
  const std::int64_t taken = memory_stats().in_use - before;
  Allocator<std::byte>().deallocate(p, bytes);
  return static_cast<std::size_t>(taken);
}

}  // namespace

TEST_CASE("arrays are aligned to cache lines, whatever their size") {
  for (const std::size_t n : {1U, 7U, 63U, 1000U, 1025U, 100000U}) {
    const Array<float> a(Shape{n}, 0.0F);
    CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
  }
}

TEST_CASE(
    "large blocks are the next quarter of a power of two, or from 1 MiB to 256 MiB the next "
    "power") {
  if (!kCaching) return;
  for (std::size_t power = 1 << 14; power <= 1 << 19; power *= 2) {
    for (std::size_t quarter = 0; quarter < 4; ++quarter) {
      const std::size_t below = power + quarter * power / 4, next = below + power / 4;
      INFO(below << " to " << next << " bytes");
      CHECK(block(below) == below);
      CHECK(block(below + 1) == next);
      CHECK(block(next - 1) == next);
    }
  }
  for (std::size_t power = 1 << 20; power <= 1 << 22; power *= 2) {
    INFO("above " << power << " bytes");
    CHECK(block(power) == power);
    CHECK(block(power + 1) == 2 * power);
    CHECK(block(2 * power - 1) == 2 * power);
  }
}

TEST_CASE("batches of many lengths find their blocks") {
  if (!kCaching) return;
  trim();
  reset_peak_memory();
  const auto step = [](std::size_t length) {
    std::vector<Array<float>> arrays;
    for (std::size_t width : {32U, 64U, 4000U}) {
      for (int i = 0; i < 3; ++i) arrays.emplace_back(Shape{64, length, width});
    }
  };
  const auto epoch = [&] {
    for (std::size_t i = 0; i < 37; ++i) step(3 + i * 23 % 37);  // 3 to 39, in no order
  };
  epoch();
  const std::int64_t before = memory_stats().system_allocations;
  for (int i = 0; i < 3; ++i) epoch();
  CHECK(memory_stats().system_allocations == before);
}

TEST_CASE("what a thread takes from the pool stays in the count of what is cached") {
  if (!kCaching) return;
  constexpr std::size_t kBytes = 2880;  // of a class that nothing else here uses
  Allocator<std::byte> allocator;
  trim();
  std::thread([&] {
    std::vector<std::byte*> blocks;
    for (int i = 0; i < 40; ++i) blocks.push_back(allocator.allocate(kBytes));
    for (std::byte* p : blocks) allocator.deallocate(p, kBytes);
  }).join();
  const std::int64_t before = memory_stats().cached;
  CHECK(before >= std::int64_t{40 * kBytes});
  std::byte* p = allocator.allocate(kBytes);
  CHECK(memory_stats().cached == before - std::int64_t{kBytes});
  allocator.deallocate(p, kBytes);
  CHECK(memory_stats().cached == before);
}

TEST_CASE("the counters follow what is in use, its peak and what is cached") {
  trim();
  const MemoryStats before = memory_stats();
  reset_peak_memory();
  {
    const Array<float> a(Shape{1 << 20}, 0.0F);
    const Array<float> small(Shape{10}, 0.0F);
    const MemoryStats now = memory_stats();
    CHECK(now.in_use - before.in_use >= (4 << 20));
    CHECK(now.in_use - before.in_use < (4 << 20) + 100000);
    CHECK(now.system_allocations > before.system_allocations);
  }
  const MemoryStats after = memory_stats();
  CHECK(after.in_use == before.in_use);
  CHECK(after.peak - before.in_use >= (4 << 20));
  if (kCaching) CHECK(after.cached >= (4 << 20));
  reset_peak_memory();
  CHECK(memory_stats().peak == memory_stats().in_use);
  trim();
  CHECK(memory_stats().cached == 0);
}

TEST_CASE("freed blocks are used again") {
  if (!kCaching) return;
  for (const std::size_t n : {8U, 1000U, 300000U}) {
    { const Array<double> warm(Shape{n}, 0.0); }
    const std::int64_t before = memory_stats().system_allocations;
    for (int i = 0; i < 100; ++i) const Array<double> a(Shape{n}, 0.0);
    CHECK(memory_stats().system_allocations == before);
  }
}

TEST_CASE("resetting the peak does not make the pool give blocks back") {
  const auto use = [] {  // more than the pool keeps in any case
    for (int i = 0; i < 2; ++i) const Array<float> a(Shape{std::size_t{24} << 20U});
    const Array<float> b(Shape{std::size_t{24} << 20U});
    const Array<float> c(Shape{std::size_t{24} << 20U});
  };
  trim();
  use();
  const std::int64_t before = memory_stats().system_allocations;
  for (int i = 0; i < 3; ++i) {
    reset_peak_memory();
    use();
  }
  if (kCaching) CHECK(memory_stats().system_allocations == before);
}

TEST_CASE("a thousand training steps: no system allocation, no growth") {
  Params<float> params({.seed = 1});
  const Dense<float> hidden(params.scope() / "hidden", {.units = 64, .activation = "gelu"});
  const LayerNormalization<float> norm(params.scope() / "norm");
  const MultiHeadAttention<float> attention(params.scope() / "attention",
                                            {.num_heads = 2, .key_dim = 8, .dropout = 0.1});
  const Dense<float> head(params.scope() / "head", {.units = 3});
  Adam<float> adam;
  Tape<float> tape({.training = true, .seed = 1});
  const Array<float> x = random_array<float>({8, 6, 16}, 1);
  const Array<float> y = random_array<float>({8, 6, 3}, 2);
  const auto step = [&] {
    const auto h = norm(hidden(tape.input(x)));
    const auto loss =
        mean_squared_error(head(attention(h, h, {.use_causal_mask = true})), Var<float>(y));
    auto g = tape.backward(loss);
    adam.step(params, g.clip_global_norm(1.0));
  };
  for (int i = 0; i < 100; ++i) step();
  const std::int64_t allocations = memory_stats().system_allocations;
  const std::int64_t resident = resident_bytes();
  for (int i = 0; i < 1000; ++i) step();
  if (kCaching) {
    CHECK(memory_stats().system_allocations == allocations);
    if (kResident) CHECK(resident_bytes() - resident <= (1 << 20));
  }
  std::printf("1000 steps: %lld system allocations, resident set grew by %lld bytes\n",
              static_cast<long long>(memory_stats().system_allocations - allocations),
              static_cast<long long>(resident_bytes() - resident));
}

TEST_CASE("of relu the result is kept, not the operand") {
  Tape<float> tape;
  const Var<float> x = tape.watch(Array<float>(Shape{1000}, -1.0F));
  const std::int64_t before = memory_stats().in_use;
  const Var<float> y = relu(x + 2.0F);
  CHECK(memory_stats().in_use - before < 8000);
  const std::int64_t with_relu = memory_stats().in_use;
  const Var<float> z = relu6(y + 2.0F);
  CHECK(memory_stats().in_use - with_relu >= 8000);
  CHECK(tape.backward(sum(z))[x].value()(3) == 1.0F);
}

TEST_CASE("a loader thread allocates what the trainer frees", "[threads]") {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Array<float>> queue;
  constexpr int kBatches = 3000;
  std::thread loader([&] {
    for (int i = 0; i < kBatches; ++i) {
      Array<float> batch(Shape{static_cast<std::size_t>(16 + i % 5), 512}, 1.0F);
      Array<float> labels(Shape{16}, 1.0F);
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return queue.size() < 8; });
      queue.push_back(std::move(batch));
      queue.push_back(std::move(labels));
      changed.notify_all();
    }
  });
  std::int64_t warm_allocations = 0;
  std::int64_t warm_resident = 0;
  double total = 0;
  for (int i = 0; i < 2 * kBatches; ++i) {
    Array<float> batch;
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return !queue.empty(); });
      batch = std::move(queue.front());
      queue.pop_front();
      changed.notify_all();
    }
    total += static_cast<double>(batch.data()[0]);
    if (i == kBatches) {
      warm_allocations = memory_stats().system_allocations;
      warm_resident = resident_bytes();
    }
  }
  loader.join();
  CHECK(total == 2 * kBatches);
  if (kCaching) {
    // Only a fuller queue than ever before may still need a block.
    CHECK(memory_stats().system_allocations - warm_allocations <= 8);
    if (kResident) CHECK(resident_bytes() - warm_resident <= (1 << 20));
  }
}

TEST_CASE("a thread that ends gives its cache back", "[threads]") {
  if (!kCaching) return;
  for (int i = 0; i < 20; ++i) {
    std::thread([] {
      for (int k = 0; k < 100; ++k)
        const Array<float> a(Shape{static_cast<std::size_t>(10 * k + 1)}, 0.0F);
    }).join();
  }
  const std::int64_t before = memory_stats().system_allocations;
  std::thread([] {
    for (int k = 0; k < 100; ++k)
      const Array<float> a(Shape{static_cast<std::size_t>(10 * k + 1)}, 0.0F);
  }).join();
  CHECK(memory_stats().system_allocations == before);
}

TEST_CASE("absurd sizes are refused") {
  CHECK_THROWS_AS(Allocator<double>().allocate(std::size_t{1} << 61U), MemoryError);
  // A sanitizer's allocator ends the program instead of throwing.
  if (kResident) {
    CHECK_THROWS_AS(Allocator<double>().allocate(std::size_t{1} << 58U), MemoryError);
  }
}

TEST_CASE("what is kept goes back where the system has no more") {
  if (!kResident) return;
  constexpr std::size_t kBlock = std::size_t{64} << 20U;
  const pid_t child = fork();
  if (child == 0) {
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    const rlim_t most = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + 10 * kBlock;
    const rlimit limit{most, most};
    if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
    Allocator<std::byte> allocator;
    std::vector<std::byte*> blocks;
    for (int i = 0; i < 6; ++i) blocks.push_back(allocator.allocate(kBlock));
    for (std::byte* p : blocks) allocator.deallocate(p, kBlock);
    try {
      allocator.deallocate(allocator.allocate(7 * kBlock),
                           7 * kBlock);  // beside those kept it does not fit
      _exit(0);
    } catch (const MemoryError&) {
      _exit(1);
    }
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

// The last: its peak stays the measure of what the pool may keep.
TEST_CASE("blocks of more than 256 MiB are no power of two") {
  if (!kCaching) return;
  constexpr std::size_t kMost = std::size_t{1} << 28U;
  CHECK(block(kMost / 2 + 1) == kMost);
  CHECK(block(kMost) == kMost);
  CHECK(block(kMost + 1) == kMost + kMost / 4);
}
