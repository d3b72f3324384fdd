#include <xtape/layers/transformer_decoder.hpp>

#include "base/instantiate.hpp"
#include "layers/transformer_parts.hpp"

namespace xtape {

using detail::fail;

template <class T> void DecoderCache<T>::reorder(const ArrayArg<std::int64_t>& rows) {
  self_.reorder(rows);
  if (cross_) cross_->reorder(rows);
}

template <class T> void DecoderCache<T>::clear() noexcept {
  self_.clear();
  cross_.reset();
}

template <class T>
TransformerDecoder<T>::TransformerDecoder(const Scope<T>& scope, Options options,
                                          CrossAttention cross)
    : path_(scope.path()),
      heads_(options.num_heads),
      width_(static_cast<std::size_t>(detail::checked(path_, options).hidden_dim)),
      attention_(scope / "self_attention", detail::attention_options(options, true)),
      attention_part_(scope / "self_attention_norm", options),
      cross_attention_(detail::layer_if<MultiHeadAttention<T>>(
          cross == CrossAttention::yes, scope / "cross_attention",
          detail::attention_options(options, false))),
      cross_part_(detail::layer_if<detail::ResidualPart<T>>(
          cross == CrossAttention::yes, scope / "cross_attention_norm", options)),
      feed_forward_(scope / "feed_forward", detail::feed_forward_options(options)),
      feed_forward_part_(scope / "feed_forward_norm", options) {}

template <class T>
void TransformerDecoder<T>::check(const Var<T>& x, const Var<T>& memory,
                                  const CallOptions& call) const {
  detail::check_input(path_, x, width_);
  const std::size_t batch = x.shape()[0];
  const std::size_t queries = x.shape()[1];
  const auto heads = static_cast<std::size_t>(heads_);
  std::size_t held = 0;
  if (call.cache != nullptr) {
    detail::check_cache(path_, x);
    held = call.cache->length();
  }
  detail::check_masks(path_, "decoder_padding_mask", call.decoder_padding_mask,
                      "decoder_attention_mask", call.decoder_attention_mask,
                      {batch, heads, queries, held + queries});
  if (!cross_attention_) {
    if (memory.has_value() || call.encoder_padding_mask || call.encoder_attention_mask) {
      fail<ValueError>(path_,
                       "no cross-attention: a memory or its mask was given, expected x alone; make "
                       "the layer with CrossAttention::yes");
    }
    return;
  }
  std::size_t keys = 0;
  const bool builds = call.cache == nullptr || !call.cache->cross();
  if (!builds) {
    keys = call.cache->cross()->length();
  } else {
    if (!memory.has_value()) {
      fail<ValueError>(path_,
                       "no memory: it is empty, expected the encoder's output; give it with the "
                       "first call on a cache, or make the layer with CrossAttention::no");
    }
    if (memory.rank() != 3 || memory.shape()[0] != batch) {
      fail<ShapeError>(path_, "memory does not fit: memory is ", to_string(memory.shape()),
                       ", expected (", batch, ", positions, features), with the batch of x ",
                       to_string(x.shape()));
    }
    keys = memory.shape()[1];
    if (keys == 0 && call.cache != nullptr) {
      fail<ShapeError>(
          path_, "empty memory: memory is ", to_string(memory.shape()),
          ", expected at least one position to keep in the cache; leave out the cache");
    }
  }
  detail::check_masks(path_, "encoder_padding_mask", call.encoder_padding_mask,
                      "encoder_attention_mask", call.encoder_attention_mask,
                      {batch, heads, queries, keys});
  if (builds) cross_attention_->build(x.shape(), memory.shape());
}

template <class T>
Var<T> TransformerDecoder<T>::run(const Var<T>& x, const Var<T>& memory, const CallOptions& call,
                                  WithScores* scores) const {
  check(x, memory, call);
  const Var<T> joined = x.in(detail::join(path_.c_str(), x.node_ref(), memory.node_ref()));
  if (call.cache == nullptr) return blocks(joined, memory, call, nullptr, scores);
  // Only the first call projects the memory.
  std::optional<KeyValueCache<T>>& cross = call.cache->cross();
  const bool first = cross_attention_ && !cross;
  if (first) cross.emplace(memory.shape()[1]);
  try {
    return detail::restoring(&call.cache->self(),
                             [&] { return blocks(joined, memory, call, call.cache, scores); });
  } catch (...) {
    if (first) cross.reset();
    throw;
  }
}

template <class T>
Var<T> TransformerDecoder<T>::blocks(const Var<T>& x, const Var<T>& memory, const CallOptions& call,
                                     DecoderCache<T>* cache, WithScores* scores) const {
  Var<T> y = attention_part_(x, call.training, [&](const Var<T>& q) {
    return detail::attend(attention_, path_ + "/self_attention", q, q,
                          {.attention_mask = call.decoder_attention_mask,
                           .value_mask = call.decoder_padding_mask,
                           .use_causal_mask = call.use_causal_mask,
                           .training = call.training,
                           .cache = cache == nullptr ? nullptr : &cache->self()},
                          scores == nullptr ? nullptr : &scores->self_scores);
  });
  if (cross_attention_) {
    KeyValueCache<T>* held = cache == nullptr ? nullptr : &*cache->cross();
    y = (*cross_part_)(y, call.training, [&](const Var<T>& q) {
      return detail::attend(*cross_attention_, path_ + "/cross_attention", q, memory,
                            {.attention_mask = call.encoder_attention_mask,
                             .value_mask = call.encoder_padding_mask,
                             .training = call.training,
                             .cache = held,
                             .cache_read_only = held != nullptr && held->length() > 0},
                            scores == nullptr ? nullptr : &scores->cross_scores);
    });
  }
  y = feed_forward_part_(y, call.training,
                         [&](const Var<T>& h) { return feed_forward_(h, call.training); });
  return detail::note_layer_call(path_, "TransformerDecoder", y);
}

template <class T>
Var<T> TransformerDecoder<T>::operator()(const Var<T>& x, const Var<T>& memory,
                                         const CallOptions& call) const {
  return run(x, memory, call, nullptr);
}

template <class T>
Var<T> TransformerDecoder<T>::operator()(const Var<T>& x, const CallOptions& call) const {
  return run(x, Var<T>(), call, nullptr);
}

template <class T>
typename TransformerDecoder<T>::WithScores TransformerDecoder<T>::with_scores(
    const Var<T>& x, const Var<T>& memory, const CallOptions& call) const {
  WithScores all;
  all.output = run(x, memory, call, &all);
  return all;
}

XTAPE_CLASS_FOR_REALS(DecoderCache);
XTAPE_CLASS_FOR_REALS(TransformerDecoder);

}  // namespace xtape
