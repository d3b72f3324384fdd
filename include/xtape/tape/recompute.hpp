#pragma once
/// \file
/// checkpoint(): stores the inputs of a part of a model instead of the values inside it, and computes
/// the part again in backward (gradient checkpointing). It has nothing to do with the files that
/// save a training run, which are in run/checkpoints.hpp.

#include <xtape/tape/record.hpp>

namespace xtape {
namespace detail {

// Suspends recording on a tape, or resumes it, until the end of a scope.
template <class T> class Pause {
 public:
  Pause(TapeState<T>& state, int paused, int inside_checkpoint) noexcept
      : state_(state), paused_(state.paused), inside_(state.inside_checkpoint) {
    state.paused = paused;
    state.inside_checkpoint = inside_checkpoint;
  }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;
  ~Pause() {
    state_.paused = paused_;
    state_.inside_checkpoint = inside_;
  }

 private:
  TapeState<T>& state_;
  int paused_;
  int inside_;
};

// Has parameters read through `weights`, until the end of a scope.
template <class T> class ReadWeights {
  using Weights = typename TapeState<T>::WeightsRead;

 public:
  ReadWeights(TapeState<T>& state, Weights& weights) noexcept : state_(state), weights_(weights) {
    weights.around = std::exchange(state.weights, &weights);
  }
  ReadWeights(const ReadWeights&) = delete;
  ReadWeights& operator=(const ReadWeights&) = delete;
  ~ReadWeights() { state_.weights = std::exchange(weights_.around, nullptr); }

 private:
  TapeState<T>& state_;
  Weights& weights_;
};

// Marks the nodes that backward has passed when it replays node `id`, until the end of a scope. The
// replay draws the random numbers of the forward, and reads its weights.
template <class T> class Replay {
 public:
  Replay(TapeState<T>& state, std::size_t id, std::uint64_t random_index,
         typename TapeState<T>::WeightsRead& weights)
      : state_(state), random_index_(state.random_index), weights_(state, weights) {
    state.passed.push_back({id, state.entries.size()});
    state.random_index = random_index;
  }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;
  ~Replay() {
    state_.passed.pop_back();
    state_.random_index = random_index_;
  }

 private:
  TapeState<T>& state_;
  std::uint64_t random_index_;
  ReadWeights<T> weights_;
};

template <class T, class F, std::size_t N> class CheckpointNode final : public Node<T> {
 public:
  using Weights = typename TapeState<T>::WeightsRead;

  CheckpointNode(F fn, std::array<Var<T>, N> inputs, std::uint64_t random_index, Weights weights)
      : Node<T>("checkpoint"),
        fn_(std::move(fn)),
        inputs_(std::move(inputs)),
        random_index_(random_index),
        weights_(std::move(weights)) {}

  void pull(Sweep<T>& sweep, std::size_t id) override {
    TapeState<T>& state = sweep.state();
    const auto floor = state.position();
    try {
      const Replay<T> replay(state, id, random_index_, weights_);
      std::vector<Var<T>> again;
      {
        const Pause<T> resume(state, 0, 0);
        again.push_back(std::apply([&](const auto&... x) { return fn_(x...); }, inputs_));
      }
      sweep.replay(id, floor.nodes, std::move(again));
    } catch (...) {
      if (!sweep.create_graph()) state.rewind(floor);
      throw;
    }
    if (!sweep.create_graph()) state.rewind(floor);
  }
  void describe(NodeDescription& out) const override { describe_inputs<T>(inputs_, out); }

 private:
  F fn_;
  std::array<Var<T>, N> inputs_;
  std::uint64_t random_index_;
  Weights weights_;
};

}  // namespace detail

/// Returns fn(inputs...), a Var, without recording its insides. backward computes them again, with the
/// same random numbers and weights, and frees them at once. Parameters used inside get their gradients. Every
/// tracked value that fn uses must be passed as an input: a captured one is a TapeError. fn is kept
/// until backward, so it must own or outlive what it refers to.
template <class T, class F, class... Inputs>
Var<T> checkpoint(F fn, const Var<T>& first, const Inputs&... rest) {
  const std::array<const Var<T>*, 1 + sizeof...(rest)> operands{&first, &rest...};
  const detail::NodeRef<T> context = detail::begin<T>("checkpoint", operands, {}).context;
  if (context.state == nullptr || !context.state->recording()) return fn(first, rest...);
  detail::TapeState<T>& state = *context.state;
  const std::uint64_t random_index = state.random_index;
  typename detail::TapeState<T>::WeightsRead weights;
  Var<T> value;
  {
    const detail::ReadWeights<T> read(state, weights);
    const detail::Pause<T> pause(state, state.paused + 1, state.inside_checkpoint + 1);
    value = fn(first.detach(), rest.detach()...);
  }
  std::array<Var<T>, 1 + sizeof...(rest)> inputs{first, rest...};
  using Node = detail::CheckpointNode<T, F, 1 + sizeof...(rest)>;
  return {value.pointer(), state.template append<Node>(std::move(fn), std::move(inputs),
                                                       random_index, std::move(weights))};
}

}  // namespace xtape
