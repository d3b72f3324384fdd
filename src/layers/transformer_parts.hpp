#pragma once
// What the blocks of a Transformer share: the checks of options and masks, and the options of their
// parts.

#include "layers/common.hpp"

#include <xtape/layers/transformer_encoder.hpp>

namespace xtape::detail {

/// The options. ValueError for everything that they may say wrongly, before any parameter is reserved.
template <class T>
const TransformerOptions<T>& checked(const std::string& path, const TransformerOptions<T>& options);

/// Those of a self- or of a cross-attention.
template <class T>
typename MultiHeadAttention<T>::Options attention_options(const TransformerOptions<T>& o,
                                                          bool self);
template <class T>
typename FeedForward<T>::Options feed_forward_options(const TransformerOptions<T>& o);

/// ShapeError unless x is (batch, positions, width).
template <class T>
void check_input(const std::string& path, const Var<T>& x, std::size_t width);
/// ShapeError unless the masks fit an attention whose scores are (batch, heads, queries, keys).
void check_masks(const std::string& path, const char* padding_name,
                 const std::optional<Array<bool>>& padding, const char* mask_name,
                 const std::optional<Array<bool>>& mask, const Shape& scores);
/// TapeError where a cache would cut gradients off.
template <class T>
void check_cache(const std::string& path, const Var<T>& x);

/// Calls an attention layer, asking for the scores only where they are wanted.
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

/// f(), and when it throws the cache (which may be null) as it was before.
template <class T, class F>
auto restoring(KeyValueCache<T>* cache, F&& f) {
  const std::size_t held = cache == nullptr ? 0 : cache->length();
  try {
    return f();
  } catch (...) {
    if (cache != nullptr) cache->truncate(held);
    throw;
  }
}

}  // namespace xtape::detail
