#include "base/message.hpp"
#include "kernels/elementwise.hpp"

#include <xtape/tape/tape.hpp>

#include <mutex>

namespace xtape {

template <Real T>
T Var<T>::item() const {
  if (size() != 1) {
    detail::fail<ShapeError>("item", "not a single element: operand is ", to_string(shape()),
                             ", expected one element; reduce it first, with sum() or mean()");
  }
  return data()[0];
}

template <Real T>
Var<T> Var<T>::detach() const {
  if (node_ref_.state == nullptr) return *this;
  detail::NodeRef<T> context;
  // A handle into a cleared tape keeps its context as long as that tape lives.
  if (node_ref_.state->birth == 0 || node_ref_.stamp < node_ref_.state->birth) {
    detail::check_node_ref("detach", node_ref_);
  }
  context = node_ref_.state->context();
  return {value_, context};
}

template <class T>
std::ostream& operator<<(std::ostream& out, const Var<T>& x) {
  return x.has_value() ? out << x.value() : out << "(no value)";
}

template class Var<float>;
template class Var<double>;
template std::ostream& operator<<(std::ostream&, const Var<float>&);
template std::ostream& operator<<(std::ostream&, const Var<double>&);

namespace detail {

const void* this_thread() noexcept {
  static thread_local const char here = 0;
  return &here;
}

template <class T>
void check_node_ref(const char* op, const NodeRef<T>& ref) {
  TapeState<T>& state = *ref.state;
  if (state.owner != this_thread()) {
    if (state.birth == 0 || ref.stamp < state.birth) {
      fail<TapeError>(op,
                      "stale handle: the operand's tape was destroyed, expected a live tape; "
                      "keep the Tape alive, or use the array: Var(x.value())");
    }
    fail<TapeError>(op,
                    "wrong thread: the operand's tape belongs to the thread that made it; "
                    "make one Tape per thread");
  }
  if (state.valid(ref)) return;
  if (state.birth == 0 || ref.stamp < state.birth) {
    fail<TapeError>(op,
                    "stale handle: the operand's tape was destroyed, expected a live tape; "
                    "keep the Tape alive, or use the array: Var(x.value())");
  }
  fail<TapeError>(op,
                  "stale handle: the operand was recorded on a tape that has been cleared or "
                  "rewound since (backward clears it), expected a value recorded after that; "
                  "compute it again, detach() it, or pass {.retain = true} to backward");
}

void fail_mixed_tapes(const char* op) {
  fail<TapeError>(op,
                  "two tapes mixed: the operands belong to different tapes, expected one; "
                  "bring values over as constants: tape.input(x.value())");
}

void fail_captured(const char* op) {
  fail<TapeError>(op,
                  "tracked value captured inside checkpoint(): no gradient would pass to it, "
                  "expected it among the inputs; pass it as an argument of checkpoint(fn, ...)");
}

template <class T>
void check_finite(const char* op, const Array<T>& value, std::span<const Var<T>* const> operands) {
  const auto at =
      kernels::first_non_finite(static_cast<kernels::Index>(value.size()), value.data());
  if (at < 0) return;
  std::string text = message(op, "result is not finite: element ", at, " of ",
                             to_string(value.shape()), " is ", value.data()[at], "; operands are");
  for (const Var<T>* x : operands) {
    const bool bad =
        kernels::first_non_finite(static_cast<kernels::Index>(x->size()), x->data()) >= 0;
    text += ' ';
    text += to_string(x->shape());
    text += bad ? " (not finite)" : " (finite)";
  }
  throw NonFiniteError(text + ", expected a finite result; look at the operands' range");
}

template <class T>
void Leaf<T>::pull(Sweep<T>& sweep, std::size_t id) {
  sweep.add_leaf(*this, id, sweep.gradient(id));
}

template <class T>
void Leaf<T>::describe(NodeDescription& out) const {
  if (slot == nullptr) return;
  out.parameter = &slot->path;
  out.outputs.push_back(slot->value->shape());
}

template <class T>
void TapeState<T>::rewind(const Position& to) noexcept {
  for (std::size_t i = entries.size(); i-- > to.nodes;) {
    if (entries[i].node != nullptr) entries[i].node->~Node<T>();
  }
  entries.resize(to.nodes);
  arena.rewind(to.arena);
}

template <class T>
void TapeState<T>::clear() noexcept {
  rewind({});
  leaves.clear();
  penalties.clear();
  penalties_asked = false;
  penalized.clear();
  checkpointed.clear();
}

template <class T>
Var<T> TapeState<T>::leaf(const LeafSource<T>& slot) {
  if (record && inside_checkpoint > 0 && slot.trainable && slot.penalized) {
    checkpointed.emplace(&slot, entries.size());
  }
  if (!recording() || !slot.trainable) return {slot.value, context()};
  Var<T>& leaf = leaves[&slot];
  // A retained tape keeps the old weights; what is computed after an update uses the new ones.
  if (!leaf.has_value() || !valid(leaf.node_ref()) || &leaf.value() != &*slot.value) {
    leaf = Var<T>(slot.value, append<Leaf<T>>(&slot));
  }
  return leaf;
}

template <class T>
void TapeState<T>::add_penalty(const std::string& who, const Var<T>& penalty) {
  if (inside_checkpoint > 0) {
    fail<TapeError>(who,
                    "penalty inside checkpoint(): no gradient would pass to it, expected it "
                    "outside; leave this layer out of the checkpoint, or return the penalty "
                    "from it");
  }
  penalties.push_back(penalty);
  penalties_asked = false;
}

template <class T>
void TapeState<T>::check_penalties() const {
  if (!penalties.empty() && !penalties_asked) {
    fail<TapeError>("backward", penalties.size(),
                    " penalties were recorded and nobody asked for them, expected their sum in the "
                    "loss; add tape.penalties(), or with those of the weights "
                    "tape.penalties(params), after the layers were called");
  }
  // The first by name, so that the message is always the same.
  const LeafSource<T>* unasked = nullptr;
  const auto look = [&](const LeafSource<T>* slot, const Var<T>* leaf) {
    if (!slot->trainable || !slot->penalized) return;
    const auto asked = penalized.find(slot);
    if (asked != penalized.end() && (leaf == nullptr || asked->second == leaf->node_ref().stamp))
      return;
    if (unasked == nullptr || slot->path < unasked->path) unasked = slot;
  };
  for (const auto& [slot, leaf] : leaves) {
    if (leaf.has_value() && valid(leaf.node_ref())) look(slot, &leaf);
  }
  for (const auto& [slot, nodes] : checkpointed) look(slot, nullptr);
  if (unasked != nullptr) {
    fail<TapeError>(
        "backward", "penalty left out: parameter '", unasked->path,
        "' has a regularizer and nobody asked for its penalty, expected it in the loss; "
        "add tape.penalties(params), after the layers were called");
  }
}

#define XTAPE_INSTANTIATE(T)                                    \
  template struct Leaf<T>;                                      \
  template struct TapeState<T>;                                 \
  template void check_node_ref(const char*, const NodeRef<T>&); \
  template void check_finite(const char*, const Array<T>&, std::span<const Var<T>* const>);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace detail
}  // namespace xtape
