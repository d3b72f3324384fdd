#include "array/shapes.hpp"
#include "tape/fault.hpp"
#include "threads/loops.hpp"

#include <xtape/tape/tape.hpp>

#include <algorithm>

namespace xtape::detail {

template <class T>
Sweep<T>::Sweep(TapeState<T>& state, Gradients<T>& result, bool create_graph, bool retain,
                BackwardWatch<T>* watch)
    : state_(state),
      result_(result),
      graph_(create_graph),
      retain_(retain || create_graph),
      watch_(watch) {}

template <class T> static void add_into(Var<T>& slot, Var<T> g, bool graph) {
  if (!slot.has_value()) {
    slot = std::move(g);
  } else if (!graph && slot.pointer().unique()) {
    parallel_add_to(static_cast<Index>(g.size()), g.data(), slot.pointer().mutate().data());
  } else {
    slot = add(slot, g);
  }
}

template <class T> void Sweep<T>::add(std::size_t id, Var<T> g) {
  if (slots_.size() <= id) slots_.resize(id + 1);
  // A pullback may compute without context. Products further down follow the tape's rounding, not the process's.
  if (!g.has_context()) g = Var<T>(std::move(g.pointer()), state_.context());
  add_into(slots_[id], std::move(g), graph_);
}

template <class T> const Var<T>& Sweep<T>::gradient(std::size_t id) const {
  static const Var<T> none;
  return id < slots_.size() ? slots_[id] : none;
}

template <class T> GradientSum<T> Sweep<T>::sum(std::size_t id, const Shape& shape) {
  if (kFaults || state_.check_finite) return {};
  Var<T>& slot = slots_[id];
  const bool is_new = !slot.has_value();
  if (is_new) slot = Var<T>(ArrayPtr<T>(shape), state_.context());
  if (!slot.pointer().unique()) return {};
  return {slot.pointer().mutate().data(), is_new};
}

template <class T>
void Sweep<T>::accumulate(const char* op, std::size_t id, Var<T> g, const Shape& expected) {
  if (!g.has_value()) {
    fail<TapeError>(op, "pullback returned no value, expected a gradient of shape ",
                    to_string(expected), "; return a Var");
  }
  if (g.shape() != expected) {
    if (!broadcasts_to(expected, g.shape())) {
      fail<ShapeError>(op, "pullback returned the wrong shape: gradient is ", to_string(g.shape()),
                       ", expected ", to_string(expected),
                       " or a shape it broadcasts to; look at the pullback of this operand");
    }
    g = sum_to(g, expected);
  }
#ifdef XTAPE_FAULTS
  if (gradient_hook<T> != nullptr) gradient_hook<T>(op, fault_operand_, g);
  ++fault_operand_;
#endif
  if (state_.check_finite) {
    const Index at = kernels::first_non_finite(static_cast<Index>(g.size()), g.data());
    if (at >= 0) {
      fail<NonFiniteError>(op, "gradient is not finite: element ", at, " of ", to_string(expected),
                           " is ", g.data()[at],
                           " in backward, expected a finite gradient; look at the operands' range");
    }
  }
  add(id, std::move(g));
}

template <class T> void Sweep<T>::add_leaf(const Leaf<T>& leaf, std::size_t id, Var<T> g) {
  result_.accumulate(leaf.slot, &state_, state_.entries[id].stamp, std::move(g));
}

template <class T> bool Sweep<T>::complete(const LeafSource<T>& parameter) const {
  const auto read = state_.reads.find(&parameter);
  return read == state_.reads.end() || read->second.first >= passed_;
}

template <class T> void Sweep<T>::run(std::size_t top, std::size_t floor) {
  for (std::size_t id = top; id-- > floor;) {
    Node<T>* node = state_.entries[id].node;
    if (node == nullptr || node->outputs == 0) continue;
    const std::size_t end = std::min(id + node->outputs, slots_.size());
    bool arrived = false;
    for (std::size_t k = id; k < end; ++k) arrived = arrived || slots_[k].has_value();
    if (arrived) {
#ifdef XTAPE_FAULTS
      fault_operand_ = 0;
#endif
      node->pull(*this, id);
      for (std::size_t k = id; k < end; ++k) slots_[k] = {};
    }
    if (!retain_) {
      node->~Node<T>();
      state_.entries[id].node = nullptr;
    }
    if (watch_ != nullptr) {
      passed_ = std::min(passed_, id);  // the nodes of a replay lie above
      watch_->passed(*this);
    }
  }
}

template <class T>
void Sweep<T>::replay(std::size_t id, std::size_t floor, std::vector<Var<T>> again) {
  const Node<T>& node = *state_.entries[id].node;
  if (again.size() != node.outputs) {
    fail<TapeError>(node.name, "computed again, it returned ", again.size(), " values, expected ",
                    node.outputs, " as before; make the composed function return each output once");
  }
  for (std::size_t i = 0; i < again.size(); ++i) {
    const Var<T> g = gradient(id + i);
    if (g.has_value() && (!again[i].has_value() || again[i].shape() != g.shape())) {
      fail<ShapeError>(node.name, "computed again, it returned another shape: output ", i, " is ",
                       again[i].has_value() ? to_string(again[i].shape()) : "without a value",
                       ", expected ", to_string(g.shape()),
                       " as before; let the function depend on its inputs alone");
    }
    if (g.has_value() && again[i].tracked()) add(again[i].node_ref().node, g);
  }
  again.clear();
  run(state_.entries.size(), floor);
}

template class Sweep<float>;
template class Sweep<double>;

}  // namespace xtape::detail
