// Measures operations through the tape, forward and backward, against copies of as many bytes. Each tracked
// operand gets a gradient. Arrays are (2048, 256), which L3 may hold.

#include "meter.hpp"

#include <functional>

namespace {

using namespace bench;
using xp::Var;

constexpr std::size_t kRows = 2048, kWidth = 256;

using Operation = std::function<Var<float>(const Var<float>&)>;

// y = f(x) and its gradient; `passes`: how many arrays of x's size the two must read and write.
void run(benchmark::State& state, std::size_t threads, double passes, const Operation& f) {
  copy_bandwidth();
  const Threads set(threads);
  const xp::Array<float> start = numbers(xp::Shape{kRows, kWidth}, 1);
  xp::Tape<float> tape({.training = true});
  const Var<float> seed(numbers(f(Var<float>(start)).shape(), 2));
  const auto once = [&] {
    const Var<float> x = tape.watch(start);
    benchmark::DoNotOptimize(tape.backward(f(x), {.seed = seed})[x].data());
  };
  once();
  const xp::MemoryStats before = xp::memory_stats();
  for (auto _ : state) once();
  report_allocations(state, before);
  report_bytes(state, passes * 4.0 * kRows * kWidth);
}

void add(const std::string& name, double passes, const Operation& f) {
  for (const std::size_t threads : {1U, 2U}) {
    benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(threads)).c_str(), run,
                                 threads, passes, f)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  }
}

// A Dense layer on kRows tokens: GFLOP/s of forward and both gradients.
void dense(benchmark::State& state, std::size_t threads, std::size_t width) {
  sgemm_rate();
  const Threads set(threads);
  xp::Params<float> params({.seed = 1});
  const xp::Dense<float> layer(params.scope() / "dense", {.units = static_cast<int>(width)});
  const Var<float> start(numbers(xp::Shape{kRows, width}, 1));
  const Var<float> seed(numbers(xp::Shape{kRows, width}, 2));
  xp::Tape<float> tape;
  const auto once = [&] {
    const Var<float> x = tape.watch(start);
    benchmark::DoNotOptimize(tape.backward(layer(x), {.seed = seed})[x].data());
  };
  once();
  const xp::MemoryStats before = xp::memory_stats();
  for (auto _ : state) once();
  report_allocations(state, before);
  report_flops(state, 6.0 * static_cast<double>(kRows * width * width), threads);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const Var<float> other(numbers(xp::Shape{kRows, kWidth}, 3));
  const Var<float> row(numbers(xp::Shape{kWidth}, 4));
  const xp::Array<std::int64_t> classes = labels(xp::Shape{kRows}, kWidth, 5);
  // Forward: read x (and the other operand), write y. Backward: read g and what it needs, write dx.
  add("add", 3, [=](const Var<float>& x) { return x + other; });
  add("add_row", 2, [=](const Var<float>& x) { return x + row; });
  add("multiply", 6, [=](const Var<float>& x) { return x * other; });
  add("relu", 5, [](const Var<float>& x) { return xp::relu(x); });
  add("exp", 5, [](const Var<float>& x) { return xp::exp(x); });
  add("tanh", 5, [](const Var<float>& x) { return xp::tanh(x); });
  add("gelu", 5, [](const Var<float>& x) { return xp::gelu(x); });
  add("softmax", 5, [](const Var<float>& x) { return xp::softmax(x); });
  add("layer_normalization", 5, [](const Var<float>& x) { return xp::layer_normalization(x); });
  add("dropout", 4,
      [](const Var<float>& x) { return xp::dropout(x, 0.1, xp::next_random_key(x)); });
  add("sum", 2, [](const Var<float>& x) { return xp::sum(x); });
  add("sum_of_rows", 2, [](const Var<float>& x) { return xp::sum(x, {1}); });
  add("sum_over_rows", 2, [](const Var<float>& x) { return xp::sum(x, {0}); });
  add("transpose", 4, [](const Var<float>& x) { return xp::transpose(x); });
  add("reshape", 0, [](const Var<float>& x) {
    return xp::reshape(x, xp::Shape{kRows, 8, kWidth / 8});
  });
  add("cross_entropy", 3, [=](const Var<float>& x) {
    return xp::sparse_categorical_crossentropy(x, classes, {.from_logits = true});
  });
  for (const std::size_t width : {32U, 256U}) {
    for (const std::size_t threads : {1U, 2U}) {
      benchmark::RegisterBenchmark(
          ("dense/" + std::to_string(width) + "/threads:" + std::to_string(threads)).c_str(), dense,
          threads, width)
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    }
  }
  benchmark::RunSpecifiedBenchmarks();
}
