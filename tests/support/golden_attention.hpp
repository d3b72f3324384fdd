#pragma once
// The golden cases of multi-head attention, by all frameworks, as calls of the layer.

#include "support/golden.hpp"

#include <vector>

namespace xtape::test {

/// Files of tests/golden with cases of multi-head attention: Keras 3, PyTorch, and tf-keras.
inline const std::vector<std::string> attention_goldens = {
    "multi_head_attention", "multi_head_attention_torch", "multi_head_attention_tf"};

/// The layer's options in a case.
template <class T> typename MultiHeadAttention<T>::Options golden_attention_options(const Json& c) {
  typename MultiHeadAttention<T>::Options o{.num_heads = c.at("num_heads").get<int>(),
                                            .key_dim = c.at("key_dim").get<int>()};
  o.value_dim = c.value("value_dim", 0);
  o.use_bias = c.value("use_bias", true);
  o.use_gate = c.value("use_gate", false);
  if (c.contains("output_shape")) o.output_shape = golden_extents(c["output_shape"]);
  if (c.contains("attention_axes")) {
    const Json& axes = c["attention_axes"];
    o.attention_axes = axes.is_array() ? axes.get<Axes>() : Axes{axes.get<int>()};
  }
  if (c.contains("sliding_window")) o.sliding_window = c["sliding_window"].get<int>();
  if (c.contains("num_key_value_heads")) {
    o.num_key_value_heads = c["num_key_value_heads"].get<int>();
  }
  if (c.contains("rotary")) {
    const Json& r = c["rotary"];
    o.rotary = RotaryOptions{.max_wavelength = r.value("max_wavelength", 10000.0),
                             .start = r.value("start", 0),
                             .interleaved = r.value("interleaved", false)};
  }
  return o;
}

/// Returns the options of a case's call; `input(name)` is a differentiable input.
template <class T, class Has, class Input>
typename MultiHeadAttention<T>::CallOptions golden_attention_call(const Json& c, const Has& has,
                                                                  const Input& input) {
  typename MultiHeadAttention<T>::CallOptions call;
  if (has("key")) call.key = input("key");
  if (has("attention_bias")) call.attention_bias = input("attention_bias");
  call.attention_mask = golden_constant<bool>(c, "attention_mask");
  call.query_mask = golden_constant<bool>(c, "query_mask");
  call.value_mask = golden_constant<bool>(c, "value_mask");
  call.key_mask = golden_constant<bool>(c, "key_mask");
  call.alibi_slopes = golden_constant<T>(c, "alibi_slopes");
  call.use_causal_mask = c.at("causal").get<bool>();
  return call;
}

}  // namespace xtape::test
