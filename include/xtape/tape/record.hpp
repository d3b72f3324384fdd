#pragma once
/// \file
/// How an operation is made: its forward value and, beside it, its gradient. The library's own
/// operations and a user's are made the same way (see examples/custom_op.cpp):
///
///     template <class T> Var<T> cube(const Var<T>& x) {
///       return record<T>("cube", x.value() * x.value() * x.value(),
///                        wrt(x, [x](const Var<T>& g) { return T(3) * g * x * x; }));
///     }
///
/// Forward and backward of softmax(x @ w), where w is a parameter and x an input:
/// 1. The first use of w appends a Leaf node to the tape. x has a context and no node.
/// 2. matmul computes y = x w and calls record("matmul", y, wrt(x, to_x), wrt(w, to_w)).
/// 3. record() destroys to_x, because x needs no gradient. It appends a node with to_w and w's number.
/// 4. softmax appends a node that keeps its output p, because its pullback to y reads p.
/// 5. backward() makes a Sweep, with slots up to the result's node, and puts the seed into its slot.
/// 6. Sweep::run() visits nodes in decreasing order. A slot is complete when its node is reached.
/// 7. The node of softmax maps its slot g to p * (g - sum(g * p)). accumulate() adds it to y's slot.
/// 8. The node of matmul maps its slot g to x^T g, which goes to the slot of the leaf.
/// 9. The leaf adds its slot to the Gradients, under the key of the parameter w.
/// 10. run() empties each slot that it leaves. It destroys the node unless retain or create_graph is set,
///     and tells the BackwardWatch, if there is one.

#include <xtape/tape/tape_state.hpp>

#include <array>
#include <concepts>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace xtape {

/// A value that an operation produces: an Array<T>, or storage of a shape to be written into.
/// Copies share the storage.
template <class T> class Result {
 public:
  /// Elements not set.
  explicit Result(const Shape& shape) : value_(shape) {}
  /// Takes an array.
  Result(Array<T> array) : value_(std::move(array)) {}
  /// An xtensor expression of T, evaluated now.
  template <detail::ExpressionOf<T> E>
  requires(!std::same_as<std::decay_t<E>, Array<T>>) Result(E&& expression)
      : value_(Array<T>(std::forward<E>(expression))) {}
  /// Returns the elements, to write.
  [[nodiscard]] T* data() noexcept { return value_.mutate().data(); }
  /// Returns the elements.
  [[nodiscard]] const T* data() const noexcept { return value_->data(); }
  /// Returns the shape.
  [[nodiscard]] const Shape& shape() const noexcept { return value_->shape(); }
  /// Returns the number of elements.
  [[nodiscard]] std::size_t size() const noexcept { return value_->size(); }
  /// Returns the array.
  [[nodiscard]] const Array<T>& array() const noexcept { return *value_; }
  /// Returns the pointer to the array; for operations.
  [[nodiscard]] detail::ArrayPtr<T>& pointer() noexcept { return value_; }

 private:
  detail::ArrayPtr<T> value_;
};

namespace detail {

// The forms of a pullback. Each returns a Var, because an Array could not be differentiated.
template <class F, class T, class... Args>
concept ReturnsVar = requires(F& f, const Args&... args) {
  requires std::same_as<std::remove_cvref_t<decltype(f(args...))>, Var<T>>;
};
template <class F, class T>
concept PullbackWithOutput = ReturnsVar<F, T, Var<T>, Var<T>>;
template <class F, class T>
concept Pullback = ReturnsVar<F, T, Var<T>> || PullbackWithOutput<F, T>;

}  // namespace detail

/// An operand together with the pullback to it; see wrt().
template <class T, class F> struct Wrt {
  const Var<T>& input;  ///< the operand
  F pullback;           ///< maps the gradient of the output to that of the operand
};

/// "With respect to `input`": `pullback(g)` maps the output gradient to the gradient of `input`.
/// `pullback(g, y)` also receives the output. A pullback uses operations on Var, so that it can be
/// differentiated again. A gradient of the output's broadcast shape is summed to the input's shape.
/// The pullback is destroyed at once when `input` needs no gradient.
template <class T, class F> Wrt<T, F> wrt(const Var<T>& input, F pullback) {
  static_assert(detail::Pullback<F, T>,
                "wrt(): a pullback (g) or (g, y) takes const Var<T>& and returns Var<T>; write it "
                "in operations on Var, not on Array");
  return {input, std::move(pullback)};
}

/// A pullback for operands without a derivative: throws TapeError if a gradient would have to pass.
struct NoGradient {
  const char* op;  ///< name of the operation
  /// Throws TapeError.
  template <class T> Var<T> operator()(const Var<T>&) const {
    throw TapeError(std::string(op) +
                    ": not differentiable: a gradient would have to pass through it, expected an "
                    "untracked operand; detach() the operand");
  }
};

namespace detail {

template <class T> using Operands = std::span<const Var<T>* const>;

/// The result of begin().
template <class T> struct Recording {
  NodeRef<T> context;    // common to the operands; empty where no operand has a tape
  bool records = false;  // whether the operation is to become a node
};

/// Does what every operation does before its node is appended. Joins the operands' tapes, checks the
/// outputs under check_finite, and decides whether the operation is recorded. Throws TapeError as
/// record() does, and NonFiniteError, which names `op`.
template <class T>
Recording<T> begin(const char* op, Operands<T> operands, std::span<const Result<T>> outputs);

template <class T, class F> struct Pull {
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

// The pullbacks of one operation: a tuple of several types, or a vector of one type.
template <class Pulls, class Visit> void each(Pulls& pulls, const Visit& visit) {
  if constexpr (requires { pulls.begin(); }) {
    for (auto& p : pulls) visit(p);
  } else {
    std::apply([&](auto&... p) { (visit(p), ...); }, pulls);
  }
}

template <class T, bool kWantsOutput, class Pulls> class OpNode final : public Node<T> {
 public:
  OpNode(const char* op, const ArrayPtr<T>& value, Pulls pulls)
      : Node<T>(op), pulls_(std::move(pulls)) {
    if constexpr (kWantsOutput) value_ = value;
  }
  void pull(Sweep<T>& sweep, std::size_t id) override {
    each(pulls_, [&](auto& p) { one(sweep, id, sweep.gradient(id), p); });
  }
  void describe(NodeDescription& out) const override {
    if constexpr (kWantsOutput) out.outputs.push_back(value_->shape());
    each(pulls_, [&](const auto& p) {
      if (p.pullback) out.inputs.push_back({p.input, p.shape});
    });
  }

 private:
  template <class F> void one(Sweep<T>& sweep, std::size_t id, const Var<T>& g, Pull<T, F>& p) {
    if (!p.pullback) return;
    const Shape& expected = p.shape ? *p.shape : g.shape();
    if constexpr (PullbackWithOutput<F, T>) {
      const Var<T> y = sweep.output(id, value_);
      sweep.accumulate(this->name, p.input, (*p.pullback)(g, y), expected);
    } else if constexpr (Pullback<F, T>) {  // else wrt() has refused it
      sweep.accumulate(this->name, p.input, (*p.pullback)(g), expected);
    }
  }
  struct Nothing {};
  Pulls pulls_;
  [[no_unique_address]] std::conditional_t<kWantsOutput, ArrayPtr<T>, Nothing> value_;
};

}  // namespace detail

/// Wraps a computed `value` as a Var. Appends a node if an operand is tracked and the tape records.
/// `op` names the operation in messages and must outlive the tape (a string literal). Throws TapeError
/// when the operands belong to different tapes, to another thread's, or to one that is gone, and for a
/// tracked value captured in checkpoint(). Throws NonFiniteError under check_finite.
template <class T, class... Fs>
Var<T> record(const char* op, std::type_identity_t<Result<T>> value, Wrt<T, Fs>... inputs) {
  const std::array<const Var<T>*, sizeof...(Fs)> operands{&inputs.input...};
  auto [ref, records] = detail::begin<T>(op, operands, {&value, 1});
  if (records) {
    using Pulls = std::tuple<detail::Pull<T, Fs>...>;
    using Node = detail::OpNode<T, (detail::PullbackWithOutput<Fs, T> || ...), Pulls>;
    ref = ref.state->template append<Node>(op, value.pointer(),
                                           Pulls(detail::Pull<T, Fs>(inputs, value.shape())...));
  }
  return {std::move(value.pointer()), ref};
}

/// Makes the value of an operation whose number of operands is known only at run time.
template <class T, class F>
Var<T> record(const char* op, std::type_identity_t<Result<T>> value,
              std::vector<Wrt<T, F>> inputs) {
  std::vector<const Var<T>*> operands;
  for (const Wrt<T, F>& w : inputs) operands.push_back(&w.input);
  auto [ref, records] = detail::begin<T>(op, operands, {&value, 1});
  if (records) {
    using Pulls = std::vector<detail::Pull<T, F>>;
    Pulls pulls;
    for (Wrt<T, F>& w : inputs) pulls.emplace_back(w, value.shape());
    ref = ref.state->template append<detail::OpNode<T, detail::PullbackWithOutput<F, T>, Pulls>>(
        op, value.pointer(), std::move(pulls));
  }
  return {std::move(value.pointer()), ref};
}

/// One backward of a fused operation: the gradients that arrived at its outputs, its inputs, and
/// the place where the inputs' gradients go.
template <class T> class FusedBackward {
 public:
  /// Is called by the backward.
  FusedBackward(const char* op, detail::Sweep<T>& sweep, std::size_t id,
                std::span<const Var<T>> inputs) noexcept
      : op_(op), sweep_(sweep), id_(id), inputs_(inputs) {}

  /// Returns the gradient of output i. Null means that no gradient arrived, which equals zero. With one
  /// output it is never null.
  [[nodiscard]] const Array<T>* grad_output(std::size_t i) const {
    const Var<T>& g = sweep_.gradient(id_ + i);
    return g.has_value() ? &g.value() : nullptr;
  }
  /// Input k, as it was given to record_fused().
  [[nodiscard]] const Var<T>& input(std::size_t k) const { return inputs_[k]; }
  /// Whether the gradient of input k is wanted.
  [[nodiscard]] bool needs_grad(std::size_t k) const { return inputs_[k].tracked(); }
  /// Adds to the gradient of input k, if that is wanted. ShapeError unless `gradient` has the shape
  /// of the input, or one that the input broadcasts to.
  void add(std::size_t k, Result<T> gradient) {
    if (!needs_grad(k)) return;
    sweep_.accumulate(op_, inputs_[k].node_ref().node,
                      Var<T>(std::move(gradient.pointer()), sweep_.state().context()),
                      inputs_[k].shape());
  }
  /// Returns the gradient of input k for a kernel that adds to it in place. If its data are null, the
  /// kernel must call add() instead. Requires needs_grad(k).
  [[nodiscard]] detail::GradientSum<T> sum(std::size_t k) {
    return sweep_.sum(inputs_[k].node_ref().node, inputs_[k].shape());
  }

 private:
  const char* op_;
  detail::Sweep<T>& sweep_;
  std::size_t id_;
  std::span<const Var<T>> inputs_;
};

namespace detail {

template <class T> void describe_inputs(std::span<const Var<T>> inputs, NodeDescription& out) {
  for (const Var<T>& x : inputs) {
    if (x.tracked()) out.inputs.push_back({x.node_ref().node, x.shape()});
  }
}

template <class T, class Fast, class Composed> class FusedNode final : public Node<T> {
  using Outputs = std::vector<Result<T>>;
  static constexpr bool kWantsOutputs =
      std::is_invocable_v<Fast&, FusedBackward<T>&, const Outputs&>;
  static_assert(kWantsOutputs || std::is_invocable_v<Fast&, FusedBackward<T>&>,
                "record_fused(): the gradient takes FusedBackward<T>& and, to keep the outputs, "
                "const std::vector<Result<T>>&");

 public:
  FusedNode(const char* op, const Outputs& values, Fast fast, Composed composed, Operands<T> inputs)
      : Node<T>(op), fast_(std::move(fast)), composed_(std::move(composed)) {
    this->outputs = static_cast<std::uint32_t>(values.size());
    if constexpr (kWantsOutputs) outputs_ = values;
    inputs_.reserve(inputs.size());
    for (const Var<T>* x : inputs) inputs_.push_back(*x);
  }
  void pull(Sweep<T>& sweep, std::size_t id) override {
    if (sweep.create_graph()) {
      // The forward again, in plain operations on the tape, so that its gradient is recorded too.
      const std::size_t floor = sweep.state().entries.size();
      return sweep.replay(id, floor, composed_(std::as_const(inputs_)));
    }
    FusedBackward<T> backward(this->name, sweep, id, inputs_);
    if constexpr (kWantsOutputs) {
      fast_(backward, std::as_const(outputs_));
    } else {
      fast_(backward);
    }
  }
  void describe(NodeDescription& out) const override {
    if constexpr (kWantsOutputs) {
      for (const Result<T>& y : outputs_) out.outputs.push_back(y.shape());
    }
    describe_inputs<T>(inputs_, out);
  }

 private:
  struct Nothing {};
  Fast fast_;
  Composed composed_;
  std::vector<Var<T>> inputs_;
  [[no_unique_address]] std::conditional_t<kWantsOutputs, Outputs, Nothing> outputs_;
};

template <class T, class Fast, class Composed>
std::vector<Var<T>> record_outputs(const char* op, std::vector<Result<T>>& outputs, Fast& fast,
                                   Composed composed, Operands<T> inputs) {
  auto [ref, records] = begin<T>(op, inputs, outputs);
  std::vector<Var<T>> values;
  values.reserve(outputs.size());
  for (Result<T>& y : outputs) {
    if (records && values.empty()) {
      ref = ref.state->template append<FusedNode<T, Fast, Composed>>(op, outputs, std::move(fast),
                                                                     std::move(composed), inputs);
    } else if (records) {
      ref = ref.state->template append<Stub<T>>(op);
    }
    values.emplace_back(y.pointer(), ref);
  }
  return values;
}

}  // namespace detail

/// Records an operation as one fused node. Use it for several outputs, or for gradients that share
/// computation. It takes two functions:
/// - `fast(backward)` computes on arrays the gradients that backward.needs_grad() asks for, and
///   hands each to backward.add(), or adds to backward.sum(). With the signature
///   `fast(backward, outputs)`, the node keeps the output arrays until backward. See FusedBackward.
/// - `composed(inputs...)` computes the outputs in plain operations, as a std::vector<Var<T>>. It is
///   replayed when the backward itself is to be differentiated, so that no second derivative is
///   written by hand.
template <class T, class Fast, class Composed, class... Inputs>
std::vector<Var<T>> record_fused(const char* op, std::vector<Result<T>> outputs, Fast fast,
                                 Composed composed, const Var<T>& first, const Inputs&... rest) {
  const std::array<const Var<T>*, 1 + sizeof...(rest)> inputs{&first, &rest...};
  auto unpack = [composed = std::move(composed)](const std::vector<Var<T>>& x) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) { return composed(x[I]...); }
    (std::make_index_sequence<1 + sizeof...(rest)>());
  };
  return detail::record_outputs<T>(op, outputs, fast, std::move(unpack), inputs);
}

/// Makes a fused operation whose number of inputs is known only at run time. `composed(inputs)` takes
/// them as a vector. Inputs may be without a value.
template <class T, class Fast, class Composed>
std::vector<Var<T>> record_fused(const char* op, std::vector<Result<T>> outputs, Fast fast,
                                 Composed composed, const std::vector<Var<T>>& inputs) {
  std::vector<const Var<T>*> all;
  for (const Var<T>& x : inputs) all.push_back(&x);
  return detail::record_outputs<T>(op, outputs, fast, std::move(composed), all);
}

}  // namespace xtape
