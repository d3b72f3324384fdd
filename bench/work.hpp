#pragma once
// The training step of a row: forward, backward, Adam.

#include "rows.hpp"
#include "transformer.hpp"

#include <functional>
#include <memory>
#include <utility>

namespace bench {

class Work {
 public:
  explicit Work(const Row& row) {
    if (row.is_attention()) {
      make_attention(row);
    } else {
      make_transformer(row.extents);
    }
  }

  /// Does one step. Returns the loss before it.
  float step() {
    const Var<float> loss = loss_();
    adam_.step(params_, tape_.backward(loss));
    return loss.value()();
  }

  [[nodiscard]] const xp::Params<float>& params() const { return params_; }
  /// Returns the bytes of weights, of Adam's two arrays for each, and of inputs and targets.
  [[nodiscard]] double persistent_bytes() const {
    return 12.0 * static_cast<double>(params_.count()) + input_bytes_;
  }

 private:
  // An array that every step reads, counted as an input.
  Var<float> constant(xp::Array<float> a) {
    input_bytes_ += 4.0 * static_cast<double>(a.size());
    return Var<float>(std::move(a));
  }
  xp::Array<std::int64_t> tokens(const xp::Shape& shape, std::size_t classes, std::uint32_t salt) {
    input_bytes_ += 8.0 * static_cast<double>(xp::size_of(shape));
    return labels(shape, classes, salt);
  }

  // loss = sum(output * constant)
  void make_attention(const Row& row) {
    const std::size_t batch = row.extents[0], length = row.extents[1], width = row.extents[2];
    const int heads = static_cast<int>(row.extents[3]);
    const auto layer = std::make_shared<Attention>(
        params_.scope() / "attention",
        Attention::Options{.num_heads = heads,
                           .key_dim = static_cast<int>(width) / heads,
                           .dropout = row.kind == "dropout" ? 0.1 : 0.0});
    const Var<float> x = constant(numbers(xp::Shape{batch, length, width}, 1));
    const Var<float> factor = constant(numbers(xp::Shape{batch, length, width}, 2));
    const Var<float> memory =
        row.kind == "cross" ? constant(numbers(xp::Shape{batch, 2 * length, width}, 3)) : x;
    Attention::CallOptions call{.use_causal_mask = row.is_causal()};
    if (row.kind == "padding") {
      call.mask = xp::Mask::padding(padded_lengths(batch, length), length);
    }
    layer->build(x.shape(), memory.shape());
    const bool self = row.kind != "cross";
    loss_ = [=, this] {
      const Var<float> query = tape_.input(x);
      const Var<float> output = (*layer)(query, self ? query : tape_.input(memory), call);
      return xp::sum(output * factor);
    };
  }

  // The mean cross-entropy of the target's next tokens.
  void make_transformer(const Extents& e) {
    const auto integer = [&](std::size_t i) { return static_cast<int>(e[i]); };
    const Sizes sizes{integer(0), integer(1), integer(2), integer(3), integer(7)};
    const auto model = std::make_shared<Transformer>(params_.scope() / "model", sizes);
    const std::size_t batch = e[4], source = e[5], target = e[6], vocabulary = e[7];
    const xp::Tokens<float> from(tokens(xp::Shape{batch, source}, vocabulary, 1));
    const xp::Tokens<float> to(tokens(xp::Shape{batch, target}, vocabulary, 2));
    const auto next = tokens(xp::Shape{batch, target}, vocabulary, 3);
    const Var<float> from_positions = constant(sinusoids(source, e[1]));
    const Var<float> to_positions = constant(sinusoids(target, e[1]));
    (*model)(from, to, from_positions, to_positions);  // makes the weights
    loss_ = [=, this] {
      const Var<float> logits =
          (*model)(tape_.input(from), tape_.input(to), from_positions, to_positions);
      return xp::sparse_categorical_crossentropy(logits, next, {.from_logits = true});
    };
  }

  xp::Params<float> params_{{.seed = 1}};
  xp::Adam<float> adam_;
  xp::Tape<float> tape_{{.training = true, .seed = 7}};
  std::function<Var<float>()> loss_;
  double input_bytes_ = 0;
};

/// The cost of a number of steps.
struct Measured {
  double median_ms = 0;
  double processor_ms = 0;  // per step, of all threads
  int steps = 0;
  double system_allocations = 0;  // per step
  double peak_bytes = 0;          // beyond weights, optimizer state and inputs
};

/// Measures steps for about `budget` seconds, at least one. Quick steps follow one that does not count.
inline Measured measure(Work& work, double budget) {
  const auto timed = [&] {
    const double start = seconds();
    work.step();
    return seconds() - start;
  };
  xp::MemoryStats idle = xp::memory_stats();
  xp::reset_peak_memory();
  std::vector<double> times;
  double processor = processor_seconds();
  double total = timed();
  if (total > 0.05) {
    times.push_back(total);
  } else {
    idle = xp::memory_stats();
    processor = processor_seconds();
  }
  while (times.empty() || total < budget) {
    times.push_back(timed());
    total += times.back();
  }
  processor = processor_seconds() - processor;
  const xp::MemoryStats now = xp::memory_stats();
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  const auto steps = static_cast<int>(times.size());
  return {*middle * 1e3, processor * 1e3 / steps, steps,
          static_cast<double>(now.system_allocations - idle.system_allocations) / steps,
          static_cast<double>(now.peak) - work.persistent_bytes()};
}

}  // namespace bench
