// Measures the tape itself: long chains of operations on eight floats, and a small training step.

#include <xtape/xtape.hpp>

#include <benchmark/benchmark.h>

namespace xp = xtape;

namespace {

constexpr int kOps = 1000;

xp::Array<float> eight(float first) {
  xp::Array<float> a(xp::Shape{8});
  for (std::size_t i = 0; i < 8; ++i) a(i) = first + 1e-4F * static_cast<float>(i);
  return a;
}

void report_per_op(benchmark::State& state) {
  state.counters["per_op"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kOps,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// y = y * c, a thousand times, forward and backward; c is a constant.
void one_operand_tracked(benchmark::State& state) {
  const xp::Var<float> c(eight(0.9999F));
  const xp::Var<float> start(eight(1.0F));
  xp::Tape<float> tape;
  for (auto _ : state) {
    const xp::Var<float> x = tape.watch(start);
    xp::Var<float> y = x;
    for (int i = 0; i < kOps; ++i) y = y * c;
    const auto gradients = tape.backward(y, {.seed = start});
    benchmark::DoNotOptimize(gradients[x].data());
  }
  report_per_op(state);
}
BENCHMARK(one_operand_tracked);

// y = y * c with c watched too: each operation has two gradients, and those of c are summed.
void both_operands_tracked(benchmark::State& state) {
  const xp::Var<float> factor(eight(0.9999F));
  const xp::Var<float> start(eight(1.0F));
  xp::Tape<float> tape;
  for (auto _ : state) {
    const xp::Var<float> c = tape.watch(factor);
    const xp::Var<float> x = tape.watch(start);
    xp::Var<float> y = x;
    for (int i = 0; i < kOps; ++i) y = y * c;
    const auto gradients = tape.backward(y, {.seed = start});
    benchmark::DoNotOptimize(gradients[c].data());
  }
  report_per_op(state);
}
BENCHMARK(both_operands_tracked);

// y = y * c forward, without a tape.
void no_tape(benchmark::State& state) {
  const xp::Var<float> c(eight(0.9999F));
  const xp::Var<float> start(eight(1.0F));
  for (auto _ : state) {
    xp::Var<float> y = start;
    for (int i = 0; i < kOps; ++i) y = y * c;
    benchmark::DoNotOptimize(y.data());
  }
  report_per_op(state);
}
BENCHMARK(no_tape);

// One step of Adam on 784-128-10 with a batch of 64.
void train_step(benchmark::State& state) {
  xp::Params<float> params({.seed = 1});
  const xp::Dense<float> hidden(params.scope() / "hidden", {.units = 128, .activation = "relu"});
  const xp::Dense<float> output(params.scope() / "output", {.units = 10});
  xp::Array<float> images(xp::Shape{64, 784});
  xp::Array<std::int64_t> labels(xp::Shape{64});
  xp::RandomStream stream(1, 0);
  for (float& value : images) value = static_cast<float>(stream.uniform());
  for (std::int64_t& label : labels) label = static_cast<std::int64_t>(stream.below(10));
  const xp::Var<float> x(images);
  xp::Adam<float> adam;
  xp::Tape<float> tape({.training = true});
  for (auto _ : state) {
    const auto loss = xp::sparse_categorical_crossentropy(output(hidden(tape.input(x))), labels,
                                                          {.from_logits = true});
    adam.step(params, tape.backward(loss));
  }
  state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(train_step)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
