#include <xtape/tape/penalty_ledger.hpp>

#include "base/instantiate.hpp"
#include "base/message.hpp"

#include <xtape/tape/tape_state.hpp>

namespace xtape::detail {

template <class T> void PenaltyLedger<T>::rewind(std::size_t count, std::size_t nodes) {
  if (outputs.size() > count) outputs.resize(count);
  std::erase_if(weights_hidden, [nodes](const auto& use) { return use.second >= nodes; });
}

template <class T>
void add_penalty(TapeState<T>& state, const std::string& who, const Var<T>& penalty) {
  if (state.inside_checkpoint > 0) {
    fail<TapeError>(who,
                    "penalty inside checkpoint(): no gradient would pass to it, expected it "
                    "outside; leave this layer out of the checkpoint, or return the penalty "
                    "from it");
  }
  state.penalties.outputs.push_back(penalty);
  state.penalties.outputs_asked = false;
}
XTAPE_FOR_REALS(add_penalty);

template <class T> void check_penalties(const TapeState<T>& state) {
  const PenaltyLedger<T>& penalties = state.penalties;
  if (!penalties.outputs.empty() && !penalties.outputs_asked) {
    fail<TapeError>("backward", penalties.outputs.size(),
                    " penalties were recorded and nobody asked for them, expected their sum in the "
                    "loss; add tape.penalties(), or with those of the weights "
                    "tape.penalties(params), after the layers were called");
  }
  // The first by name, so that the message is always the same.
  const LeafSource<T>* unasked = nullptr;
  const auto look = [&](const LeafSource<T>* slot, const Var<T>* leaf) {
    if (!slot->trainable || !slot->penalized) return;
    const auto asked = penalties.weights_asked.find(slot);
    if (asked != penalties.weights_asked.end() &&
        (leaf == nullptr || asked->second == leaf->node_ref().stamp))
      return;
    if (unasked == nullptr || slot->path < unasked->path) unasked = slot;
  };
  for (const auto& [slot, read] : state.reads) {
    if (read.leaf.has_value() && state.valid(read.leaf.node_ref())) look(slot, &read.leaf);
  }
  for (const auto& [slot, nodes] : penalties.weights_hidden) look(slot.get(), nullptr);
  if (unasked != nullptr) {
    fail<TapeError>("backward", "penalty left out: parameter '", unasked->path,
                    "' has a regularizer and nobody asked for its penalty, expected it in the "
                    "loss; add tape.penalties(params), after the layers were called");
  }
}
XTAPE_FOR_REALS(check_penalties);

template struct PenaltyLedger<float>;
template struct PenaltyLedger<double>;

}  // namespace xtape::detail
