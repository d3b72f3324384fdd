#pragma once
// The rates that benchmarks are compared with: sgemm and copies of this machine, in this process.

#include <xtape/xtape.hpp>

#include "products/gemm.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

#include <cblas.h>

namespace bench {

namespace xp = xtape;

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Returns the processor time of all threads of this process, in seconds. Linux counts running threads other
/// than the caller only to their last tick, so a single short step cannot be measured.
inline double processor_seconds() {
  std::timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);  // cannot fail
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Returns the time of the shortest of `count` runs, in seconds.
template <class F> double shortest(int count, const F& run) {
  double best = 1e300;
  for (int i = 0; i < count; ++i) {
    const double start = seconds();
    run();
    best = std::min(best, seconds() - start);
  }
  return best;
}

/// Returns numbers between -1 and 1 from a hash of their position. step_worker.py makes the same numbers.
inline std::uint32_t hashed(std::uint32_t i, std::uint32_t salt) {
  std::uint32_t h = i + salt * 0x9E3779B9U;
  h = (h ^ (h >> 16U)) * 0x85EBCA6BU;
  h = (h ^ (h >> 13U)) * 0xC2B2AE35U;
  return h ^ (h >> 16U);
}
inline xp::Array<float> numbers(const xp::Shape& shape, std::uint32_t salt) {
  xp::Array<float> a(shape);
  std::uint32_t i = 0;
  for (float& value : a) value = static_cast<float>(hashed(i++, salt) / 2147483648.0 - 1.0);
  return a;
}
inline xp::Array<std::int64_t> labels(const xp::Shape& shape, std::size_t classes,
                                      std::uint32_t salt) {
  xp::Array<std::int64_t> a(shape);
  std::uint32_t i = 0;
  for (std::int64_t& value : a) value = hashed(i++, salt) % static_cast<std::uint32_t>(classes);
  return a;
}

/// Sets the number of threads, and restores it when destroyed.
class Threads {
 public:
  explicit Threads(std::size_t count) { xp::set_num_threads(count); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() { xp::set_num_threads(before_); }

 private:
  std::size_t before_ = xp::num_threads();
};

namespace detail {

constexpr int kSide = 1024;

// Returns the operations per second of c = a b, the best of `count`, on one thread. The matrices do not use
// the library's allocator, whose counters are for the work alone.
template <class Product> double product_rate(int count, const Product& product) {
  const Threads one(1);
  const std::vector<float> a(kSide * kSide, 0.5F), b(kSide * kSide, 0.25F);
  std::vector<float> c(kSide * kSide);
  const double time = shortest(count, [&] { product(a.data(), b.data(), c.data()); });
  return 2.0 * kSide * kSide * kSide / time;
}

}  // namespace detail

/// Returns the operations per second of BLAS's sgemm on one thread: the best of `more` products of 1024^3
/// and of all earlier ones in this process, at least 20.
inline double sgemm_rate(int more = 0) {
  constexpr int n = detail::kSide;
  static double best = 0;
  if (best == 0) more = std::max(more, 20);
  if (more == 0) return best;
  xp::products::use_one_thread();
  best = std::max(best, detail::product_rate(more, [](const float* a, const float* b, float* c) {
                    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1.0F, a, n, b,
                                n, 0.0F, c, n);
                  }));
  return best;
}

/// Returns the operations per second of the library's own products on one thread.
inline double own_rate() {
  constexpr xp::products::Index n = detail::kSide;
  return detail::product_rate(20, [](const float* a, const float* b, float* c) {
    xp::products::multiply<float>(
        {{n, n, n, n, 1, n, 1, n}, a, b, xp::products::Accumulate::overwrite, nullptr, c});
  });
}

/// Returns the nanoseconds in which a word goes from one core to another and back. A trip between cores that
/// share no cache takes three times as long. A virtual machine may be moved from one case to the other.
/// The measurement ends after a twentieth of a second, because other programs may hold the cores.
inline double round_trip_ns() {
  constexpr int kFirst = 1000;  // until the other thread is at work
  constexpr int kMost = 10000;
  constexpr int kOver = -1;
  std::atomic<int> ball{0};
  std::thread other([&] {
    for (int seen = 0; seen != kOver; seen = ball.load(std::memory_order_acquire)) {
      if (seen % 2 == 1) ball.store(seen + 1, std::memory_order_release);
    }
  });
  const double begin = seconds();
  double start = begin;
  int trips = 0;
  for (int i = 0; i < kMost && (i % 16 != 15 || seconds() < begin + 0.05); ++i) {
    if (i == kFirst) {
      start = seconds();
      trips = 0;
    }
    ball.store(2 * i + 1, std::memory_order_release);
    while (ball.load(std::memory_order_acquire) != 2 * i + 2) {
    }
    ++trips;
  }
  const double time = seconds() - start;
  ball.store(kOver, std::memory_order_release);
  other.join();
  return time / trips * 1e9;
}

/// Returns the bytes read and written per second by the best of 20 memcpys of 128 MiB, on one thread.
inline double copy_bandwidth() {
  static const double best = [] {
    constexpr std::size_t bytes = std::size_t{128} << 20U;
    const std::vector<char> from(bytes, 1);
    std::vector<char> to(bytes, 2);
    return 2.0 * bytes / shortest(20, [&] {
             std::memcpy(to.data(), from.data(), bytes);
             benchmark::ClobberMemory();
           });
  }();
  return best;
}

inline benchmark::Counter rate(double per_iteration, double scale = 1) {
  return {per_iteration * scale, benchmark::Counter::kIsIterationInvariantRate};
}
/// Reports GFLOP/s, and the percentage of sgemm on as many threads.
inline void report_flops(benchmark::State& state, double flops, std::size_t threads = 1) {
  state.counters["GFLOP/s"] = rate(flops, 1e-9);
  state.counters["%sgemm"] = rate(flops, 100 / (sgemm_rate() * static_cast<double>(threads)));
}
/// Reports GB/s, and the percentage of a copy, for work that must read and write this many bytes.
inline void report_bytes(benchmark::State& state, double bytes) {
  state.counters["GB/s"] = rate(bytes, 1e-9);
  state.counters["%copy"] = rate(bytes, 100 / copy_bandwidth());
}
/// Reports the requests to the system for array memory per iteration since `before`.
inline void report_allocations(benchmark::State& state, const xp::MemoryStats& before) {
  state.counters["system"] =
      static_cast<double>(xp::memory_stats().system_allocations - before.system_allocations) /
      static_cast<double>(state.iterations());
}

}  // namespace bench
