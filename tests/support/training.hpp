#pragma once
// A small model, its batches, and fits of it, for the tests of fit.

#include "support/arrays.hpp"

#include <span>
#include <vector>

namespace xtape::test {

template <class T> struct Batch { Array<T> x, y; };

/// A line through points, learnt by a network with dropout.
template <class T> struct Network {
  Params<T> params{ParamsOptions{3}};
  Dense<T> hidden;
  Dropout<T> dropout;
  Dense<T> output;
  Network()
      : hidden(params.scope() / "hidden", {.units = 5, .activation = "tanh"}),
        dropout({.rate = 0.25}),
        output(params.scope() / "output", {.units = 1}) {}

  Var<T> operator()(const Var<T>& x) const { return output(dropout(hidden(x))); }
  /// The step of fit. The weight is the number of samples.
  StepResult<T> step(Tape<T>& tape, const Batch<T>& b) const {
    return {mean_squared_error((*this)(tape.input(b.x)), Var<T>(b.y)),
            static_cast<double>(b.x.shape()[0]), 1};
  }
};

template <class T> Batch<T> make_batch(std::uint64_t seed, std::size_t size = 4) {
  Batch<T> b{random_array<T>(Shape{size, 2}, seed), Array<T>(Shape{size, 1})};
  for (std::size_t i = 0; i < size; ++i) b.y(i, 0) = b.x(i, 0) - T(2) * b.x(i, 1);
  return b;
}

/// Batches in an order of their own in each epoch, made on a background thread; the last is smaller.
template <class T> Batches<Batch<T>> background_batches(std::size_t count) {
  return {4 * count - 1, BatchOptions{.batch_size = 4, .seed = 9},
          [](std::span<const std::size_t> examples) {
            Batch<T> b{Array<T>(Shape{examples.size(), 2}), Array<T>(Shape{examples.size(), 1})};
            for (std::size_t i = 0; i < examples.size(); ++i) {
              const Batch<T> one = make_batch<T>(examples[i], 1);
              for (std::size_t k = 0; k < 2; ++k) b.x(i, k) = one.x(0, k);
              b.y(i, 0) = one.y(0, 0);
            }
            return b;
          }};
}

inline ProgressOptions silent() { return {.style = ProgressStyle::none}; }

/// Collects messages.
struct Said {
  std::vector<std::string> texts;
  Messages sink() {
    return [this](const std::string& text) { texts.push_back(text); };
  }
};

}  // namespace xtape::test
