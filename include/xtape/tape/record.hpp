#pragma once
/// \file
/// How an operation is made: its forward value and, beside it, its gradient. The library's own
/// operations and a user's are made the same way (see examples/custom_op.cpp).

#include <xtape/tape/tape_state.hpp>

#include <array>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace xtape {

/// The value an operation is producing: an Array<T>, or storage of a shape to be written into.
template <class T>
class Result {
 public:
  /// Elements not set.
  explicit Result(const Shape& shape) : value_(shape) {}
  Result(Array<T> array) : value_(std::move(array)) {}
  [[nodiscard]] T* data() noexcept { return value_.mutate().data(); }
  [[nodiscard]] const Shape& shape() const noexcept { return value_->shape(); }
  [[nodiscard]] std::size_t size() const noexcept { return value_->size(); }
  [[nodiscard]] const Array<T>& array() const noexcept { return *value_; }
  [[nodiscard]] detail::ArrayPtr<T>& pointer() noexcept { return value_; }

 private:
  detail::ArrayPtr<T> value_;
};

/// An operand together with the pullback to it; see wrt().
template <class T, class F>
struct Wrt {
  const Var<T>& input;
  F pullback;
};

/// "With respect to `input`": `pullback(g)` or `pullback(g, y)` maps the gradient of the output (and
/// the output) to the gradient of `input`, written in operations on Var so that it can be
/// differentiated again. It may return the output's broadcast shape: it is summed back centrally.
/// It is not stored when `input` needs no gradient.
template <class T, class F>
Wrt<T, F> wrt(const Var<T>& input, F pullback) {
  return {input, std::move(pullback)};
}

/// A pullback for operands without a derivative: throws TapeError if a gradient would have to pass.
struct NoGradient {
  const char* op;
  template <class T>
  Var<T> operator()(const Var<T>&) const {
    throw TapeError(std::string(op) +
                    ": not differentiable: a gradient would have to pass through it, expected "
                    "an untracked operand; detach() the operand");
  }
};

namespace detail {

// Throws NonFiniteError naming the operation, its output and its operands.
template <class T>
void check_finite(const char* op, const Array<T>& value, std::span<const Var<T>* const> operands);

template <class T, class F>
struct Pull {
  std::size_t input = 0;
  std::optional<F> pullback;   // only where the operand is tracked
  std::optional<Shape> shape;  // of the operand, where it differs from the output's

  Pull(Wrt<T, F>& w, const Shape& output) {
    if (!w.input.tracked()) return;
    input = w.input.node_ref().node;
    pullback.emplace(std::move(w.pullback));
    if (w.input.shape() != output) shape.emplace(w.input.shape());
  }
};

template <class T, class... Fs>
class OpNode final : public Node<T> {
  static constexpr bool kWantsOutput =
      (std::is_invocable_v<Fs&, const Var<T>&, const Var<T>&> || ...);

 public:
  OpNode(const char* op, const ArrayPtr<T>& value, Wrt<T, Fs>&... inputs)
      : Node<T>(op), pulls_(Pull<T, Fs>(inputs, value->shape())...) {
    if constexpr (kWantsOutput) value_ = value;
  }
  void pull(Sweep<T>& sweep, std::size_t id) override {
    const Var<T>& g = sweep.gradient(id);
    std::apply([&](auto&... p) { (one(sweep, id, g, p), ...); }, pulls_);
  }
  void describe(NodeDescription& out) const override {
    if constexpr (kWantsOutput) out.outputs.push_back(value_->shape());
    const auto add = [&out](const auto& p) {
      if (p.pullback) out.inputs.push_back({p.input, p.shape});
    };
    std::apply([&](const auto&... p) { (add(p), ...); }, pulls_);
  }

 private:
  template <class F>
  void one(Sweep<T>& sweep, std::size_t id, const Var<T>& g, Pull<T, F>& p) {
    if (!p.pullback) return;
    const Shape& expected = p.shape ? *p.shape : g.shape();
    if constexpr (std::is_invocable_v<F&, const Var<T>&, const Var<T>&>) {
      const Var<T> y = sweep.output(id, value_);
      sweep.accumulate(this->name, p.input, (*p.pullback)(g, y), expected);
    } else {
      sweep.accumulate(this->name, p.input, (*p.pullback)(g), expected);
    }
  }
  struct Nothing {};
  std::tuple<Pull<T, Fs>...> pulls_;
  [[no_unique_address]] std::conditional_t<kWantsOutput, ArrayPtr<T>, Nothing> value_;
};

}  // namespace detail

/// Makes the value of an operation, recorded on the tape of its operands when one of them is
/// tracked. `op` names it in messages and must outlive the tape (a string literal). Throws TapeError
/// when the operands belong to different tapes, to another thread's, or to one that is gone.
template <class T, class... Fs>
Var<T> record(const char* op, std::type_identity_t<Result<T>> value, Wrt<T, Fs>... inputs) {
  detail::NodeRef<T> ref = detail::join(op, inputs.input.node_ref()...);
  if (ref.state == nullptr) return {std::move(value.pointer()), ref};
  detail::TapeState<T>& state = *ref.state;
  if (state.check_finite) {
    const std::array<const Var<T>*, sizeof...(Fs)> operands{&inputs.input...};
    detail::check_finite<T>(op, value.array(), operands);
  }
  if ((inputs.input.tracked() || ...)) {
    if (state.recording()) {
      ref = state.template append<detail::OpNode<T, Fs...>>(op, value.pointer(), inputs...);
    } else if (state.inside_checkpoint > 0) {
      detail::fail_captured(op);
    }
  }
  return {std::move(value.pointer()), ref};
}

/// What the fast gradient of a joint operation works on.
template <class T>
struct Joint {
  std::vector<const Array<T>*> g;  ///< gradient of each output; null where none arrived
  std::vector<const Array<T>*> y;  ///< the outputs
  std::vector<bool> need;          ///< which inputs want a gradient
};

namespace detail {

template <class T>
void describe_inputs(std::span<const Var<T>> inputs, NodeDescription& out) {
  for (const Var<T>& x : inputs) {
    if (x.tracked()) out.inputs.push_back({x.node_ref().node, x.shape()});
  }
}

template <class T, class Fast, class Composed, std::size_t N>
class JointNode final : public Node<T> {
 public:
  JointNode(const char* op, std::vector<ArrayPtr<T>> values, Fast fast, Composed composed,
            std::array<Var<T>, N> inputs)
      : Node<T>(op),
        outputs_(std::move(values)),
        fast_(std::move(fast)),
        composed_(std::move(composed)),
        inputs_(std::move(inputs)) {
    this->outputs = static_cast<std::uint32_t>(outputs_.size());
  }

  void pull(Sweep<T>& sweep, std::size_t id) override {
    if (sweep.create_graph()) {
      replay(sweep, id);
      return;
    }
    Joint<T> joint;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const Var<T>& g = sweep.gradient(id + i);
      joint.g.push_back(g.has_value() ? &g.value() : nullptr);
      joint.y.push_back(&*outputs_[i]);
    }
    for (const Var<T>& x : inputs_) joint.need.push_back(x.tracked());
    std::vector<Array<T>> gradients = fast_(joint);
    for (std::size_t k = 0; k < N; ++k) {
      if (!inputs_[k].tracked()) continue;
      sweep.accumulate(this->name, inputs_[k].node_ref().node,
                       Var<T>(ArrayPtr<T>(std::move(gradients[k])), sweep.state().context()),
                       inputs_[k].shape());
    }
  }
  void describe(NodeDescription& out) const override {
    for (const ArrayPtr<T>& y : outputs_) out.outputs.push_back(y->shape());
    describe_inputs<T>(inputs_, out);
  }

 private:
  // The forward again, in plain operations on the tape, so that its gradient is recorded too.
  void replay(Sweep<T>& sweep, std::size_t id) {
    TapeState<T>& state = sweep.state();
    const std::size_t floor = state.entries.size();
    const std::vector<Var<T>> again =
        std::apply([&](const auto&... x) { return composed_(x...); }, inputs_);
    for (std::size_t i = 0; i < again.size(); ++i) {
      const Var<T> g = sweep.gradient(id + i);
      if (g.has_value() && again[i].tracked()) sweep.seed(again[i].node_ref().node, g);
    }
    sweep.run(state.entries.size(), floor);
  }

  std::vector<ArrayPtr<T>> outputs_;
  Fast fast_;
  Composed composed_;
  std::array<Var<T>, N> inputs_;
};

}  // namespace detail

/// Makes an operation whose gradients are computed jointly. `fast(joint)` returns one array per
/// input, computing only those that joint.need asks for. `composed(inputs...)` is the same forward
/// in plain operations, returning a std::vector<Var<T>>: it is replayed when the backward itself is
/// to be differentiated, so no second derivative is written by hand.
template <class T, class Fast, class Composed, class... Inputs>
std::vector<Var<T>> record_fused(const char* op, std::vector<Result<T>> outputs, Fast fast,
                                 Composed composed, const Var<T>& first, const Inputs&... rest) {
  detail::NodeRef<T> ref = detail::join(op, first.node_ref(), rest.node_ref()...);
  std::vector<Var<T>> values;
  for (Result<T>& y : outputs) values.emplace_back(std::move(y.pointer()), ref);
  if (ref.state == nullptr) return values;
  detail::TapeState<T>& state = *ref.state;
  if (state.check_finite) {
    const std::array<const Var<T>*, 1 + sizeof...(rest)> operands{&first, &rest...};
    for (const Var<T>& y : values) detail::check_finite<T>(op, y.value(), operands);
  }
  if (!(first.tracked() || ... || rest.tracked())) return values;
  if (!state.recording()) {
    if (state.inside_checkpoint > 0) detail::fail_captured(op);
    return values;
  }
  std::vector<detail::ArrayPtr<T>> kept;
  for (const Var<T>& y : values) kept.push_back(y.pointer());
  std::array<Var<T>, 1 + sizeof...(rest)> inputs{first, rest...};
  using Node = detail::JointNode<T, Fast, Composed, 1 + sizeof...(rest)>;
  values[0] = Var<T>(values[0].pointer(),
                     state.template append<Node>(op, std::move(kept), std::move(fast),
                                                 std::move(composed), std::move(inputs)));
  for (std::size_t i = 1; i < values.size(); ++i) {
    values[i] = Var<T>(values[i].pointer(), state.template append<detail::Stub<T>>(op));
  }
  return values;
}

namespace detail {

template <class T, class F>
class ManyNode final : public Node<T> {
 public:
  ManyNode(const char* op, F pullback, const std::vector<Var<T>>& inputs)
      : Node<T>(op), pullback_(std::move(pullback)) {
    for (const Var<T>& x : inputs) inputs_.push_back({x.tracked(), x.node_ref().node, x.shape()});
  }
  void pull(Sweep<T>& sweep, std::size_t id) override {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!inputs_[i].tracked) continue;
      sweep.accumulate(this->name, inputs_[i].node, pullback_(sweep.gradient(id), i),
                       inputs_[i].shape);
    }
  }
  void describe(NodeDescription& out) const override {
    for (const Input& x : inputs_) {
      if (x.tracked) out.inputs.push_back({x.node, x.shape});
    }
  }

 private:
  struct Input {
    bool tracked;
    std::uint64_t node;
    Shape shape;
  };
  F pullback_;
  std::vector<Input> inputs_;
};

}  // namespace detail

/// record() for a number of operands known only at run time: `pullback(g, i)` is the gradient of
/// operand i, asked for only where it is tracked.
template <class T, class F>
Var<T> record_many(const char* op, Result<T> value, const std::vector<Var<T>>& inputs, F pullback) {
  detail::NodeRef<T> ref;
  bool tracked = false;
  for (const Var<T>& x : inputs) {
    ref = detail::join(op, ref, x.node_ref());
    tracked = tracked || x.tracked();
  }
  if (ref.state != nullptr && tracked) {
    if (ref.state->recording()) {
      ref = ref.state->template append<detail::ManyNode<T, F>>(op, std::move(pullback), inputs);
    } else if (ref.state->inside_checkpoint > 0) {
      detail::fail_captured(op);
    }
  }
  return {std::move(value.pointer()), ref};
}

}  // namespace xtape
