#pragma once
// Checks of the options and masks of Transformer blocks, and the options of their parts.

#include "layers/common.hpp"

#include <xtape/layers/transformer_encoder.hpp>

namespace xtape::detail {

/// Returns the options. Throws ValueError for an option out of range, before any parameter is reserved.
template <class T>
const TransformerOptions<T>& checked(const std::string& path, const TransformerOptions<T>& options);

/// Returns the normalization that the options ask for.
template <class T>
std::variant<LayerNormalization<T>, RMSNormalization<T>> norm_of(const Scope<T>& scope,
                                                                 const TransformerOptions<T>& o);

/// Returns the options of the self-attention, or of the cross-attention.
template <class T>
typename MultiHeadAttention<T>::Options attention_options(const TransformerOptions<T>& o,
                                                          bool self);
template <class T>
typename FeedForward<T>::Options feed_forward_options(const TransformerOptions<T>& o);

/// Throws ShapeError unless x is (batch, positions, width).
template <class T> void check_input(const std::string& path, const Var<T>& x, std::size_t width);
/// Throws ShapeError unless the masks fit scores (batch, heads, queries, keys).
void check_masks(const std::string& path, const char* padding_name,
                 const OptionalArray<bool>& padding, const char* mask_name,
                 const OptionalArray<bool>& mask, const Shape& scores);
/// Throws TapeError if a cache would cut gradients off.
template <class T> void check_cache(const std::string& path, const Var<T>& x) {
  check_inference(path, "cache", x.node_ref().state);
}

/// Returns the layer's output. Sets `scores` unless it is null.
template <class T>
Var<T> attend(const MultiHeadAttention<T>& layer, const std::string& path, const Var<T>& query,
              const Var<T>& value, const typename MultiHeadAttention<T>::CallOptions& call,
              Var<T>* scores) {
  Var<T> y;
  if (scores == nullptr) {
    y = layer(query, value, call);
  } else {
    const auto both = layer.with_scores(query, value, call);
    *scores = both.scores;
    y = both.output;
  }
  return detail::note_layer_call(path, "MultiHeadAttention", y);
}

/// Returns f(). If it throws, the cache (which may be null) is cut back to what it held.
template <class T, class F> auto restoring(KeyValueCache<T>* cache, F&& f) {
  const std::size_t held = cache == nullptr ? 0 : cache->length();
  try {
    return f();
  } catch (...) {
    if (cache != nullptr) cache->truncate(held);
    throw;
  }
}

}  // namespace xtape::detail
