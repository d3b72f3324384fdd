#include <xtape/tape/tape_state.hpp>

#include "base/instantiate.hpp"
#include "base/message.hpp"

#include <algorithm>

namespace xtape::detail {

const void* this_thread() noexcept {
  static thread_local const char here = 0;
  return &here;
}

template <class T> void check_node_ref(const char* op, const NodeRef<T>& ref) {
  const TapeState<T>& state = *ref.state;
  const bool own = state.owner == this_thread();
  if (own && state.valid(ref)) return;
  if (state.birth == 0 || ref.stamp < state.birth) {
    fail<TapeError>(op,
                    "stale handle: the operand's tape was destroyed, expected a live tape; "
                    "keep the Tape alive, or use the array: Var(x.value())");
  }
  if (!own) {
    fail<TapeError>(
        op,
        "wrong thread: the operand's tape belongs to another thread, expected the one that "
        "made it; make one Tape per thread");
  }
  fail<TapeError>(op,
                  "stale handle: the operand was recorded on a tape that has been cleared or "
                  "rewound since (backward clears it), expected a value recorded after that; "
                  "compute it again, detach() it, or pass {.retain = true} to backward");
}
XTAPE_FOR_REALS(check_node_ref);

template <class T> void join_into(const char* op, NodeRef<T>& context, const NodeRef<T>& ref) {
  if (ref.state == nullptr) return;
  check_node_ref(op, ref);
  if (context.state == nullptr) context = ref.state->context();
  if (context.state != ref.state) {
    fail<TapeError>(op,
                    "two tapes mixed: the operands belong to different tapes, expected one; "
                    "bring values over as constants: tape.input(x.value())");
  }
}
XTAPE_FOR_REALS(join_into);

template <class T> void Leaf<T>::pull(Sweep<T>& sweep, std::size_t id) {
  sweep.add_leaf(*this, id, sweep.gradient(id));
}

template <class T> void Leaf<T>::describe(NodeDescription& out) const {
  if (slot == nullptr) return;
  out.parameter = &slot->path;
  out.outputs.push_back(slot->value->shape());
}

template <class T> void TapeState<T>::rewind(const Position& to) noexcept {
  for (std::size_t i = entries.size(); i-- > to.nodes;) {
    if (entries[i].node != nullptr) entries[i].node->~Node<T>();
  }
  entries.resize(to.nodes);
  arena.rewind(to.arena);
}

template <class T> void TapeState<T>::clear() noexcept {
  rewind({});
  reads.clear();
  // Emptied, not assigned: the next step uses their memory again.
  penalties.outputs.clear();
  penalties.outputs_asked = false;
  penalties.weights_asked.clear();
  penalties.weights_hidden.clear();
}

template <class T> const ArrayPtr<T>& TapeState<T>::WeightsRead::of(const LeafSource<T>& slot) {
  const auto found = values.find(&slot);
  if (found != values.end()) return found->second;
  return values.emplace(&slot, around != nullptr ? around->of(slot) : slot.value).first->second;
}

template <class T> Var<T> TapeState<T>::leaf(const LeafPtr<T>& slot) {
  const ArrayPtr<T>& value = weights != nullptr ? weights->of(*slot) : slot->value;
  if (record && inside_checkpoint > 0 && slot->trainable && slot->penalized) {
    penalties.weights_hidden.emplace(slot, entries.size());
  }
  if (!slot->trainable || (!recording() && inside_checkpoint == 0)) return {value, context()};
  Read& read = reads.try_emplace(slot.get(), Read{{}, entries.size()}).first->second;
  read.first = std::min(read.first, entries.size());  // after a rewind
  if (!recording()) return {value, context()};        // its replay gets a leaf
  Var<T>& leaf = read.leaf;
  const auto is_passed = [&](const Passed& p) {
    return p.after < leaf.node_ref().node && leaf.node_ref().node < p.end;
  };
  // A retained tape keeps the old weights. Operations after an update use the new ones.
  if (!leaf.has_value() || !valid(leaf.node_ref()) || &leaf.value() != &*value ||
      std::ranges::any_of(passed, is_passed)) {
    leaf = Var<T>(value, append<Leaf<T>>(slot));
  }
  return leaf;
}

template struct Leaf<float>;
template struct Leaf<double>;
template struct TapeState<float>;
template struct TapeState<double>;

}  // namespace xtape::detail
