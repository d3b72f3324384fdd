#pragma once
/// \file
/// checkpoint(): store a part's inputs instead of its insides, and compute it again in backward.

#include <xtape/tape/record.hpp>

namespace xtape {
namespace detail {

// Suspends recording on a tape (or resumes it), and restores what was on leaving.
template <class T>
class Pause {
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

template <class T, class F, std::size_t N>
class CheckpointNode final : public Node<T> {
 public:
  CheckpointNode(F fn, std::array<Var<T>, N> inputs, std::uint64_t random_index)
      : Node<T>("checkpoint"),
        fn_(std::move(fn)),
        inputs_(std::move(inputs)),
        random_index_(random_index) {}

  void pull(Sweep<T>& sweep, std::size_t id) override {
    TapeState<T>& state = sweep.state();
    const Var<T> g = sweep.gradient(id);
    const auto floor = state.position();
    const std::uint64_t present = std::exchange(state.random_index, random_index_);
    Var<T> again;
    {
      const Pause<T> resume(state, 0, 0);
      again = std::apply([&](const auto&... x) { return fn_(x...); }, inputs_);
    }
    state.random_index = present;
    if (again.tracked()) sweep.seed(again.node_ref().node, g);
    again = {};
    // Contributions to nodes below the floor go straight into the outer gradients.
    sweep.run(state.entries.size(), floor.nodes);
    if (!sweep.create_graph()) state.rewind(floor);
  }
  void describe(NodeDescription& out) const override { describe_inputs<T>(inputs_, out); }

 private:
  F fn_;
  std::array<Var<T>, N> inputs_;
  std::uint64_t random_index_;
};

}  // namespace detail

/// fn(inputs...), a Var, without recording its insides: backward computes them again, with the same
/// random numbers, and frees them at once. Parameters used inside get their gradients. Everything
/// tracked that fn uses must be passed as an input: a captured tracked value is a TapeError. fn is
/// kept until backward, so it must own or outlive what it refers to.
template <class T, class F, class... Inputs>
Var<T> checkpoint(F fn, const Var<T>& first, const Inputs&... rest) {
  const detail::NodeRef<T> ref = detail::join("checkpoint", first.node_ref(), rest.node_ref()...);
  if (ref.state == nullptr || !ref.state->recording()) return fn(first, rest...);
  detail::TapeState<T>& state = *ref.state;
  const std::uint64_t random_index = state.random_index;
  Var<T> value;
  {
    const detail::Pause<T> pause(state, state.paused + 1, state.inside_checkpoint + 1);
    value = fn(first.detach(), rest.detach()...);
  }
  std::array<Var<T>, 1 + sizeof...(rest)> inputs{first, rest...};
  using Node = detail::CheckpointNode<T, F, 1 + sizeof...(rest)>;
  return {value.pointer(),
          state.template append<Node>(std::move(fn), std::move(inputs), random_index)};
}

}  // namespace xtape
