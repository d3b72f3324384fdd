// Measures what shared cache lines cost: the round trip of a word between two cores, and writes to lines
// that the core wrote before, that the other core wrote, or that both cores have read.
//     cores --benchmark_repetitions=5

#include "meter.hpp"

#include <array>
#include <atomic>

namespace {

constexpr std::size_t kLines = 5120;  // of 64 bytes: a third of an L2 of 1 MiB
constexpr std::size_t kFloats = 16;   // per line

struct alignas(64) Line {
  std::array<float, kFloats> x;
};

// A barrier for two threads, for any number of rounds.
class Meeting {
 public:
  void arrive() {
    const int round = round_.load(std::memory_order_acquire);
    if (waiting_.fetch_add(1, std::memory_order_acq_rel) == 1) {
      waiting_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
    } else {
      while (round_.load(std::memory_order_acquire) == round) {
      }
    }
  }

 private:
  alignas(64) std::atomic<int> waiting_{0};
  alignas(64) std::atomic<int> round_{0};
};

enum class Before { own, other, both_read };

void write_half(std::vector<Line>& lines, bool second) {
  const std::size_t begin = second ? kLines / 2 : 0;
  for (std::size_t i = begin; i < begin + kLines / 2; ++i) lines[i].x.fill(1.0F);
  benchmark::ClobberMemory();
}

void read_all(const std::vector<Line>& lines) {
  float sum = 0;
  for (const Line& line : lines) sum += line.x[0];
  benchmark::DoNotOptimize(sum);
}

/// Measures how long each of two threads writes its half of the lines. `before` says who touched them last.
void write(benchmark::State& state, Before before) {
  std::vector<Line> lines(kLines);
  Meeting meeting;
  std::atomic<bool> stop{false};
  const auto round = [&](bool second) {
    write_half(lines, before == Before::other ? !second : second);
    meeting.arrive();
    if (before == Before::both_read) read_all(lines);
    meeting.arrive();
    const double start = bench::seconds();
    write_half(lines, second);
    const double time = bench::seconds() - start;
    meeting.arrive();
    return time;
  };
  std::thread other([&] {
    while (true) {
      meeting.arrive();
      if (stop.load(std::memory_order_relaxed)) return;
      round(true);
    }
  });
  double total = 0;
  for (auto _ : state) {
    meeting.arrive();
    const double time = round(false);
    state.SetIterationTime(time);
    total += time;
  }
  stop.store(true, std::memory_order_relaxed);
  meeting.arrive();
  other.join();
  state.counters["ns_per_line"] =
      total * 1e9 / static_cast<double>(state.iterations()) / (kLines / 2);
}
BENCHMARK_CAPTURE(write, own_before, Before::own)->UseManualTime();
BENCHMARK_CAPTURE(write, other_before, Before::other)->UseManualTime();
BENCHMARK_CAPTURE(write, both_read, Before::both_read)->UseManualTime();

void round_trip(benchmark::State& state) {
  for (auto _ : state) state.SetIterationTime(bench::round_trip_ns() * 1e-9);
}
BENCHMARK(round_trip)->UseManualTime()->Iterations(20);

}  // namespace
