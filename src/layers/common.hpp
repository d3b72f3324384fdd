#pragma once
// What layers share: penalties of outputs, notes for summaries, and options that they pass on.

#include "base/message.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/params/regularizers.hpp>
#include <xtape/tape/tape_state.hpp>

#include <string>
#include <type_traits>

namespace xtape::detail {

/// Adds an activity regularizer's penalty of y to its tape, divided by the batch, or 0 for an empty batch.
/// A tape that does not record collects penalties too: the loss of an evaluation contains them.
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

/// Returns whether a summary is being made on y's tape.
template <class T>
bool listening(const Var<T>& y) {
  const TapeState<T>* state = y.node_ref().state;
  return state != nullptr && state->calls != nullptr;
}

/// Notes for a summary that is being made on y's tape that the layer at `path` made y. Returns y.
template <class T>
const Var<T>& note_layer_call(const std::string& path, const char* type, const Var<T>& y) {
  if (listening(y)) y.node_ref().state->calls->push_back({path, type, y.shape()});
  return y;
}

/// Returns `to` with the options about weights that both have taken from `from`. A new option of weights
/// is one line here and its declaration in each Options that has it.
template <class To, class From>
To forward_weight_options(const From& from, To to) {
  const auto copy = [&](auto option) {
    if constexpr (std::is_invocable_v<decltype(option), const From&> &&
                  std::is_invocable_v<decltype(option), To&>) {
      option(to) = option(from);
    }
  };
  copy([](auto& o) -> decltype((o.use_bias)) { return o.use_bias; });
  copy([](auto& o) -> decltype((o.trainable)) { return o.trainable; });
  copy([](auto& o) -> decltype((o.kernel_initializer)) { return o.kernel_initializer; });
  copy([](auto& o) -> decltype((o.bias_initializer)) { return o.bias_initializer; });
  copy([](auto& o) -> decltype((o.kernel_regularizer)) { return o.kernel_regularizer; });
  copy([](auto& o) -> decltype((o.bias_regularizer)) { return o.bias_regularizer; });
  copy([](auto& o) -> decltype((o.activity_regularizer)) { return o.activity_regularizer; });
  copy([](auto& o) -> decltype((o.kernel_constraint)) { return o.kernel_constraint; });
  copy([](auto& o) -> decltype((o.bias_constraint)) { return o.bias_constraint; });
  return to;
}

}  // namespace xtape::detail
