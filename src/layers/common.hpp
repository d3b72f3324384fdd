#pragma once
// Shared by layers: penalties of outputs, notes for summaries, and options that they pass on.

#include "base/check.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/params/regularizers.hpp>
#include <xtape/tape/tape_state.hpp>

#include <optional>
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
template <class T> bool listening(const Var<T>& y) {
  const TapeState<T>* state = y.node_ref().state;
  return state != nullptr && state->calls != nullptr;
}

/// Throws TapeError if the tape (which may be null) records: `what` is a use of a cache.
template <class T>
void check_inference(const std::string& path, const char* what, const TapeState<T>* state) {
  if (state == nullptr || !state->recording()) return;
  fail<TapeError>(path, what,
                  " on a recording tape: no gradient would pass through the cache, expected "
                  "inference; use values without a tape, or a Tape with {.record = false}");
}

/// Throws ValueError unless the heads of keys and values are a divisor of the heads.
inline void check_key_value_heads(const std::string& path, int heads, int key_value_heads) {
  check_positive_integer(path, "num_key_value_heads", key_value_heads);
  if (heads % key_value_heads == 0) return;
  fail<ValueError>(path, "num_key_value_heads does not divide: num_heads is ", heads,
                   ", num_key_value_heads is ", key_value_heads,
                   ", expected num_heads to be divisible by it");
}

/// Returns a layer made of the arguments if it is wanted.
template <class Layer, class... Args> std::optional<Layer> layer_if(bool wanted, Args&&... args) {
  std::optional<Layer> layer;
  if (wanted) layer.emplace(std::forward<Args>(args)...);
  return layer;
}

/// Notes for a summary that is being made on y's tape that the layer at `path` made y. Returns y.
template <class T>
const Var<T>& note_layer_call(const std::string& path, const char* type, const Var<T>& y) {
  if (listening(y)) y.node_ref().state->calls->push_back({path, type, y.shape()});
  return y;
}

/// Returns `to` with the options about weights that both have taken from `from`. A new option of weights
/// is one line here and its declaration in each Options that has it.
template <class To, class From> To forward_weight_options(const From& from, To to) {
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
