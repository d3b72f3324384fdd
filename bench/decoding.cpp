// Measures decoding at the size of Multi30k's models: width 256, 3 + 3 layers, 32 sources of 32 to 64 tokens.
// 64 tokens are written for each source. Items are tokens of the returned text.
#include <benchmark/benchmark.h>

#include <xtape/models/decoding.hpp>

namespace {

using namespace xtape;

constexpr std::size_t kBatch = 32, kLength = 64;

struct Setting {
  Params<float> params{{.seed = 1}};
  Seq2Seq<float> model;
  Array<std::int64_t> source{Shape{kBatch, kLength}};
  Array<bool> mask{Shape{kBatch, kLength}, true};
  Setting()
      : model(params.scope(), {.source_vocabulary = 7853,
                               .target_vocabulary = 5893,
                               .hidden_dim = 256,
                               .num_heads = 8,
                               .intermediate_dim = 512,
                               .encoder_layers = 3,
                               .decoder_layers = 3}) {
    model.build();
    RandomStream stream(1, 1);
    for (std::size_t i = 0; i < source.size(); ++i) {
      source.data()[i] = 4 + static_cast<std::int64_t>(stream.below(7849));
    }
    // Lengths from 32 to 64, as in a batch of sentences.
    for (std::size_t r = 0; r < kBatch; ++r) {
      for (std::size_t i = kLength / 2 + r; i < kLength; ++i) mask(r, i) = false;
    }
  }
};

const Setting& setting() {
  static const Setting s;
  return s;
}

DecodingOptions full(bool use_cache) {
  return {.max_length = kLength, .min_length = kLength, .use_cache = use_cache};
}

void count(benchmark::State& state) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kBatch * kLength));
}

void greedy_cached(benchmark::State& state) {
  const Setting& s = setting();
  for (auto _ : state) benchmark::DoNotOptimize(greedy(s.model, s.source, s.mask, full(true)));
  count(state);
}

void greedy_recomputed(benchmark::State& state) {
  const Setting& s = setting();
  for (auto _ : state) benchmark::DoNotOptimize(greedy(s.model, s.source, s.mask, full(false)));
  count(state);
}

void beam(benchmark::State& state) {
  const Setting& s = setting();
  const BeamOptions o{.width = static_cast<std::size_t>(state.range(0))};
  for (auto _ : state) {
    benchmark::DoNotOptimize(beam_search(s.model, s.source, s.mask, o, full(true)));
  }
  count(state);
}

void sampled(benchmark::State& state) {
  const Setting& s = setting();
  for (auto _ : state) {
    benchmark::DoNotOptimize(sample(s.model, s.source, s.mask, {.top_k = 40}, full(true)));
  }
  count(state);
}

BENCHMARK(greedy_cached)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(greedy_recomputed)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(beam)->Arg(1)->Arg(5)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(sampled)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
