#include <xtape/layers/transformer_encoder.hpp>

#include "base/instantiate.hpp"
#include "layers/transformer_parts.hpp"

namespace xtape {

template <class T>
TransformerEncoder<T>::TransformerEncoder(const Scope<T>& scope, Options options)
    : path_(scope.path()),
      heads_(options.num_heads),
      width_(static_cast<std::size_t>(detail::checked(path_, options).hidden_dim)),
      attention_(scope / "self_attention", detail::attention_options(options, true)),
      attention_part_(scope / "self_attention_norm", options),
      feed_forward_(scope / "feed_forward", detail::feed_forward_options(options)),
      feed_forward_part_(scope / "feed_forward_norm", options) {}

template <class T>
Var<T> TransformerEncoder<T>::run(const Var<T>& x, const CallOptions& call, Var<T>* scores) const {
  detail::check_input(path_, x, width_);
  std::size_t keys = x.shape()[1];
  if (call.cache != nullptr) {
    detail::check_cache(path_, x);
    keys += call.cache->length();
  }
  detail::check_masks(path_, "padding_mask", call.padding_mask, "attention_mask",
                      call.attention_mask,
                      {x.shape()[0], static_cast<std::size_t>(heads_), x.shape()[1], keys});
  attention_part_.build(x.shape());
  feed_forward_part_.build(x.shape());

  return detail::restoring(call.cache, [&] {
    const Var<T> seen = attention_part_(x, call.training, [&](const Var<T>& q) {
      return detail::attend(attention_, path_ + "/self_attention", q, q,
                            {.attention_mask = call.attention_mask,
                             .value_mask = call.padding_mask,
                             .use_causal_mask = call.use_causal_mask,
                             .training = call.training,
                             .cache = call.cache},
                            scores);
    });
    const Var<T> y = feed_forward_part_(
        seen, call.training, [&](const Var<T>& h) { return feed_forward_(h, call.training); });
    return detail::note_layer_call(path_, "TransformerEncoder", y);
  });
}

template <class T>
Var<T> TransformerEncoder<T>::operator()(const Var<T>& x, const CallOptions& call) const {
  return run(x, call, nullptr);
}

template <class T>
typename TransformerEncoder<T>::WithScores TransformerEncoder<T>::with_scores(
    const Var<T>& x, const CallOptions& call) const {
  WithScores both;
  both.output = run(x, call, &both.scores);
  return both;
}

XTAPE_CLASS_FOR_REALS(TransformerEncoder);

}  // namespace xtape
