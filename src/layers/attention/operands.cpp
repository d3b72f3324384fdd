// Checks of what a call of MultiHeadAttention combines: tapes, the dropout's seed, the cache.

#include "base/message.hpp"

#include <xtape/layers/attention/multi_head_attention.hpp>
#include <xtape/tape/tape_state.hpp>

namespace xtape {

using detail::fail;

/// What would be noticed only after parameters were made and projections computed.
template <class T>
void MultiHeadAttention<T>::check_operands(const Var<T>& query, const Var<T>& value,
                                           const CallOptions& call) const {
  const auto context =
      detail::join(path_.c_str(), query.node_ref(), value.node_ref(),
                   call.key ? call.key->node_ref() : value.node_ref(),
                   call.attention_bias ? call.attention_bias->node_ref() : value.node_ref());
  if (context.state == nullptr) static_cast<void>(dropout_.active(query, call.training));
  if (call.cache == nullptr) return;
  const auto shape = [&](std::size_t positions, int dim) {
    return Shape{query.shape()[0], positions,
                 static_cast<std::size_t>(*options_.num_key_value_heads),
                 static_cast<std::size_t>(dim)};
  };
  if (call.cache_read_only) {
    const std::size_t held = call.cache->length();
    call.cache->check_held(shape(held, options_.key_dim), shape(held, options_.value_dim), path_);
    return;
  }
  if (context.state != nullptr && context.state->recording()) {
    fail<TapeError>(path_,
                    "a cache on a recording tape: no gradient would pass through the cache, "
                    "expected inference; use values without a tape, or a Tape with {.record = "
                    "false}");
  }
  const std::size_t added = value.shape()[1];
  call.cache->check_append(shape(added, options_.key_dim), shape(added, options_.value_dim), path_);
}

template void MultiHeadAttention<float>::check_operands(const Var<float>&, const Var<float>&,
                                                        const CallOptions&) const;
template void MultiHeadAttention<double>::check_operands(const Var<double>&, const Var<double>&,
                                                         const CallOptions&) const;

}  // namespace xtape
