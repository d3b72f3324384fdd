#pragma once
// What layers do beside computing: the penalty of an output, and telling a summary what they made.

#include "base/message.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/params/regularizers.hpp>
#include <xtape/tape/tape_state.hpp>

#include <string>

namespace xtape::detail {

/// Adds an activity regularizer's penalty of y to its tape, divided by the batch; 0 for an empty one.
/// A tape that does not record collects it too: the loss of an evaluation contains it.
template <class T>
void penalize_output(const std::string& path, const Regularizer<T>& regularizer, const Var<T>& y,
                     std::size_t batch) {
  TapeState<T>* state = y.node_ref().state;
  if (!regularizer || state == nullptr) return;
  if (state->paused > 0 && state->inside_checkpoint == 0) return;
  if (batch == 0) {
    add_penalty(*state, path, Var<T>(T(0)));
  } else {
    add_penalty(*state, path, regularizer(y, path) / static_cast<T>(batch));
  }
}

/// Whether a summary is being made on y's tape.
template <class T>
bool listening(const Var<T>& y) {
  const TapeState<T>* state = y.node_ref().state;
  return state != nullptr && state->calls != nullptr;
}

/// Where a summary is being made on y's tape, notes that the layer at `path` made it; y.
template <class T>
const Var<T>& announce(const std::string& path, const char* type, const Var<T>& y) {
  if (listening(y)) y.node_ref().state->calls->push_back({path, type, y.shape()});
  return y;
}

}  // namespace xtape::detail
