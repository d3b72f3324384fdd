// Measures the gain of preparing batches on a background thread. Preparation tokenizes, looks up and pads
// text, and costs as much as the training step of a small model on one thread.

#include <xtape/xtape.hpp>

#include <benchmark/benchmark.h>

#include <chrono>

namespace xp = xtape;

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Lines of words drawn from a few thousand.
std::vector<std::string> make_lines() {
  xp::RandomStream stream(1, 1);
  std::vector<std::string> lines(2048);
  for (std::string& line : lines) {
    for (int word = 0; word < 24; ++word) {
      line += "w" + std::to_string(stream.below(4000)) + " ";
    }
  }
  return lines;
}

class Recipe {
 public:
  Recipe()
      : lines_(make_lines()),
        vocabulary_(vocabulary_of(lines_)),
        params_({.seed = 1}),
        embedding_(params_.scope() / "embedding", {.input_dim = 4100, .output_dim = 64}),
        hidden_(params_.scope() / "hidden", {.intermediate_dim = 128}),
        head_(params_.scope() / "head", {.units = 8}) {
    step(prepare(lines_of(0)));  // builds the parameters
    // Repeats the preparation of a batch until it costs as much as a step.
    const xp::Padded batch = prepare(lines_of(0));
    const double step_time = best_of([&] { step(batch); });
    const double round_time = best_of([&] { benchmark::DoNotOptimize(prepare(lines_of(0))); });
    rounds_ = std::max(1, static_cast<int>(step_time / round_time + 0.5));
    ratio_ = rounds_ * round_time / step_time;
  }

  /// Returns the time of a preparation over the time of a step.
  [[nodiscard]] double ratio() const { return ratio_; }

  [[nodiscard]] xp::Padded make(const xp::Selection<std::string>& selection) const {
    std::vector<std::string> lines(selection.begin(), selection.end());
    xp::Padded padded = prepare(lines);
    for (int i = 1; i < rounds_; ++i) padded = prepare(lines);
    return padded;
  }

  [[nodiscard]] xp::Batches<xp::Padded> batches(std::size_t prefetch) const {
    return xp::batches_of(lines_, {.batch_size = kBatch, .prefetch = prefetch},
                          [this](const xp::Selection<std::string>& s) { return make(s); });
  }

  void step(const xp::Padded& batch) {
    xp::Tape<float> tape({.training = true});
    const auto logits = head_(hidden_(embedding_(tape.input(batch.ids))));
    const auto loss = xp::mean_squared_error(logits, xp::Array<float>(logits.shape(), 0.5F));
    adam_.step(params_, tape.backward(loss));
  }

 private:
  static constexpr std::size_t kBatch = 32;

  static xp::Vocabulary vocabulary_of(const std::vector<std::string>& lines) {
    std::vector<std::vector<std::string>> tokens;
    for (const auto& line : lines) tokens.push_back(xp::tokenize(line, xp::TokenKind::spaces));
    return xp::Vocabulary::build(tokens);
  }
  [[nodiscard]] std::vector<std::string> lines_of(std::size_t first) const {
    const auto from = lines_.begin() + static_cast<std::ptrdiff_t>(first);
    return {from, from + kBatch};
  }
  [[nodiscard]] xp::Padded prepare(const std::vector<std::string>& lines) const {
    std::vector<std::vector<std::int64_t>> ids;
    ids.reserve(lines.size());
    for (const std::string& line : lines) {
      ids.push_back(vocabulary_.encode(xp::tokenize(line, xp::TokenKind::spaces)));
    }
    return xp::pad(ids);
  }
  template <class F> static double best_of(F&& fn) {
    double best = 1e9;
    for (int i = 0; i < 30; ++i) {
      const Clock::time_point start = Clock::now();
      fn();
      best = std::min(best, seconds_since(start));
    }
    return best;
  }

  std::vector<std::string> lines_;
  xp::Vocabulary vocabulary_;
  xp::Params<float> params_;
  xp::Embedding<float> embedding_;
  xp::FeedForward<float> hidden_;
  xp::Dense<float> head_;
  xp::Adam<float> adam_;
  int rounds_ = 1;
  double ratio_ = 0;
};

void steps(benchmark::State& state) {
  xp::set_num_threads(1);  // the other processor is for the preparation
  static Recipe recipe;
  const auto batches = recipe.batches(static_cast<std::size_t>(state.range(0)));
  std::int64_t epoch = 0;
  auto walk = batches.epoch(epoch);
  auto at = walk.begin();
  for (auto _ : state) {
    recipe.step(*at);
    if (++at == walk.end()) {
      walk = batches.epoch(++epoch);
      at = walk.begin();
    }
  }
  state.counters["preparation_over_step"] = recipe.ratio();
  state.counters["steps"] =
      benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(steps)
    ->ArgName("prefetch")
    ->Arg(0)
    ->Arg(1)
    ->Arg(2)
    ->Arg(8)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
