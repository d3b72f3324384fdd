#pragma once
// A small training run for tests of checkpoints: dropout, Adam with a schedule, data by step.

#include "support/files.hpp"

namespace xtape::test {

template <class T> struct TinyRun {
  Params<T> params;
  Dense<T> hidden;
  Dropout<T> dropout;
  Dense<T> output;
  Adam<T> adam;
  Tape<T> tape;
  TrainingProgress progress;

  explicit TinyRun(std::uint64_t seed = 5, std::int64_t units = 6)
      : params({.seed = seed}),
        hidden(params.scope() / "hidden", {.units = {units}, .activation = "tanh"}),
        dropout({.rate = 0.3}),
        output(params.scope() / "output", {.units = 2}),
        adam({.learning_rate =
                  schedules::CosineDecay{.initial_learning_rate = 0.05, .decay_steps = 400}}),
        tape({.training = true, .seed = 11}) {
    progress.tape_seed = 11;
  }

  /// Makes the arrays, as the first call would.
  void build() { static_cast<void>(output(hidden(Var<T>(Array<T>(Shape{1, 3}, T(1)))))); }
  void save(const std::string& path) const { save_checkpoint(path, params, adam, progress); }
  TrainingProgress load(const std::string& path) { return load_checkpoint(path, params, adam); }
  /// Continues from there.
  void start(const TrainingProgress& from) {
    progress = from;
    tape.set_random_index(from.random_index);
  }
  void step() {
    const auto seed = static_cast<std::uint64_t>(progress.step);
    const Var<T> x = tape.input(random_array<T>({4, 3}, 100 + seed));
    const Var<T> y = output(dropout(hidden(x)));
    const Var<T> loss = mean_squared_error(y, random_array<T>({4, 2}, 200 + seed));
    adam.step(params, tape.backward(loss));
    ++progress.step;
    ++progress.batch;
    progress.random_index = tape.random_index();
    progress.numbers["loss"] = static_cast<double>(loss.item());
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i) step();
  }
};

template <class T>
bool same_bits(const std::map<std::string, Array<T>>& a, const std::map<std::string, Array<T>>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](auto& x, auto& y) {
           return x.first == y.first && same_bits(x.second, y.second);
         });
}

/// All that a run holds, to compare before and after.
template <class T> struct Snapshot {
  std::map<std::string, Array<T>> weights;
  OptimizerState<T> state;
  explicit Snapshot(const TinyRun<T>& run)
      : weights(run.params.values()), state(run.adam.state()) {}
  bool operator==(const Snapshot& other) const {
    return same_bits(weights, other.weights) && same_bits(state.arrays, other.state.arrays) &&
           state.scalars == other.state.scalars;
  }
};

/// Bit by bit: also the sign of zero and what a NaN carries.
inline bool same_bits(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}
inline bool same(const TrainingProgress& a, const TrainingProgress& b) {
  return a.epoch == b.epoch && a.batch == b.batch && a.step == b.step &&
         a.tape_seed == b.tape_seed && a.random_index == b.random_index && a.texts == b.texts &&
         std::equal(a.numbers.begin(), a.numbers.end(), b.numbers.begin(), b.numbers.end(),
                    [](const auto& x, const auto& y) {
                      return x.first == y.first && same_bits(x.second, y.second);
                    });
}

}  // namespace xtape::test
