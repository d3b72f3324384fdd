// After fork() the child computes, with workers of its own, and ends normally.

#include "base/sanitizers.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

using namespace xtape;
using namespace xtape::test;

namespace {

/// Returns a number that needs several threads' work, arrays of all sizes and a tape.
double work(std::uint64_t seed) {
  Params<float> params({.seed = seed});
  const MultiHeadAttention<float> layer(params.scope(), {.num_heads = 4, .key_dim = 16});
  Tape<float> tape;
  const Var<float> x = tape.watch(random_array<float>({8, 48, 64}, seed));
  const Var<float> loss = mean(layer(x, x));
  return loss.item() + tape.backward(loss).global_norm();
}

/// Forks, runs `child` there, and returns its exit status; 128 + a signal. SIGALRM ends one that hangs.
template <class F> int status_of(const F& child) {
  const pid_t process = fork();
  REQUIRE(process >= 0);
  if (process == 0) {
    alarm(60);
    child();
    _exit(99);
  }
  int status = 0;
  REQUIRE(waitpid(process, &status, 0) == process);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("a forked child computes, changes the number of threads, and ends", "[threads]") {
  if (detail::kThreadSanitizer) return;  // it refuses threads after a fork
  const std::size_t before = num_threads();
  set_num_threads(3);
  const double expected = work(1);
  CHECK(status_of([&] { _exit(work(1) == expected ? 0 : 3); }) == 0);
  CHECK(status_of([] { std::_Exit(0); }) == 0);
  CHECK(status_of([&] {
          set_num_threads(2);
          _exit(work(1) == expected && num_threads() == 2 ? 0 : 3);
        }) == 0);
  // A child of the child.
  CHECK(status_of([&] {
          static_cast<void>(work(2));
          _exit(status_of([&] { _exit(work(1) == expected ? 0 : 3); }));
        }) == 0);
  CHECK(work(1) == expected);  // the parent goes on
  set_num_threads(before);
}

TEST_CASE("a forked child that ends through exit() destroys what is left", "[threads]") {
  if (detail::kThreadSanitizer || detail::kAddressSanitizer) return;  // exit() would report leaks
  const std::size_t before = num_threads();
  set_num_threads(3);
  const double expected = work(1);
  CHECK(status_of([&] { std::exit(work(1) == expected ? 0 : 3); }) == 0);
  CHECK(status_of([] { std::exit(0); }) == 0);
  set_num_threads(before);
}

TEST_CASE("a fork while other threads are inside the pool and the allocator", "[threads]") {
  // The address sanitizer replaces the allocator; that of clang 14 hangs in a child, without xtape too.
  if (detail::kThreadSanitizer || detail::kAddressSanitizer) return;
  const std::size_t before = num_threads();
  set_num_threads(2);
  const double expected = work(1);
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) static_cast<void>(work(2));
  });
  int bad = 0;
  for (int i = 0; i < 12; ++i) {
    bad += status_of([&] { _exit(work(1) == expected ? 0 : 3); }) == 0 ? 0 : 1;
  }
  stop = true;
  other.join();
  CHECK(bad == 0);
  set_num_threads(before);
}

TEST_CASE("an epoch that was begun before fork() is refused in the child") {
  if (detail::kThreadSanitizer) return;
  const Batches<int> batches(40, {.batch_size = 2, .seed = 1},
                             [](auto rows) { return int(rows[0]); });
  auto epoch = batches.epoch(0);
  auto it = epoch.begin();
  CHECK(status_of([&] {
          std::string text = error_of<Error>([&] {
            for (int i = 0; i < 19; ++i) ++it;
          });
          int other = 0;
          for (int first : batches.epoch(0)) other += first;
          { const auto dropped = std::move(epoch); }  // its thread is not waited for
          _exit(contains(text, "call epoch() again after fork()") && other > 0 ? 0 : 3);
        }) == 0);
  int count = 0;
  for (; it != epoch.end(); ++it) ++count;
  CHECK(count == 20);
}

TEST_CASE("a fork while the number of threads changes", "[threads]") {
  if (detail::kThreadSanitizer || detail::kAddressSanitizer) return;
  const std::size_t before = num_threads();
  std::atomic<bool> done{false};
  std::thread other([&] {
    // Threads that end give back small blocks, which they have where they freed some.
    Params<float> params({.seed = 1});
    const Dense<float> layer(params.scope(), {.units = 64});
    Adam<float> adam({}, {.gradient_accumulation_steps = 2});
    for (std::size_t i = 0; !done; ++i) {
      set_num_threads(2 + i % 2);
      Tape<float> tape;
      const Var<float> x = tape.input(random_array<float>({64, 512}, 1));
      adam.step(params, tape.backward(mean(square(layer(x)))));
    }
  });
  for (int i = 0; i < 200; ++i) CHECK(status_of([] { _exit(7); }) == 7);
  done = true;
  other.join();
  set_num_threads(before);
}
