// A call of MultiHeadAttention, in the order of its work: plan (checks, shapes, masks), project, attend.

#include "layers/attention/cached.hpp"
#include "layers/attention/masks.hpp"
#include "layers/attention/nonfinite.hpp"
#include "layers/attention/path.hpp"
#include "layers/common.hpp"

#include <xtape/ops/linalg.hpp>
#include <xtape/ops/shape.hpp>

#include <cmath>

namespace xtape {

namespace {

/// Throws ValueError for an operand without a value, and for an option of something not given.
template <class T>
void check_given(const std::string& path, const Var<T>& query, const Var<T>& value,
                 const typename MultiHeadAttention<T>::CallOptions& call) {
  const auto check = [&](const char* name, const Var<T>& x) {
    if (x.has_value()) return;
    detail::fail<ValueError>(path, name, " missing: ", name,
                             " is a Var without a value, expected an array");
  };
  if (call.cache_read_only && call.cache == nullptr) {
    detail::fail<ValueError>(
        path, "cache_read_only without a cache: cache is null, expected a cache to read");
  }
  check("query", query);
  if (!call.cache_read_only) {
    check("value", value);
    if (call.key) check("key", *call.key);
  }
  if (call.attention_bias) check("attention_bias", *call.attention_bias);
}

/// Returns {the heads' outputs, the probabilities}: scaled products, masked softmax, dropout and
/// combination in plain operations. This is the reference for the other paths.
template <class T>
std::vector<Var<T>> attend_composed(const detail::Attention<T>& a, const detail::AttentionLayout& l,
                                    const Var<T>& query, const Var<T>& key, const Var<T>& value,
                                    const Var<T>* bias) {
  const std::size_t heads = query.shape()[query.rank() - 2];
  const std::size_t groups = key.shape()[key.rank() - 2];
  const auto split_heads = [&](const Var<T>& x, std::size_t axis) {
    if (groups == heads) return x;
    std::vector<std::size_t> extended(x.shape().begin(), x.shape().end());
    extended[axis] = groups;
    extended.insert(extended.begin() + static_cast<std::ptrdiff_t>(axis) + 1, heads / groups);
    return reshape(x, Shape(extended.begin(), extended.end()));
  };
  const auto join_heads = [&](const Var<T>& x, const Shape& joined) {
    return groups == heads ? x : reshape(x, joined);
  };
  const Var<T> scaled = query * static_cast<T>(a.scale);
  Var<T> products =
      join_heads(einsum(l.products, key, split_heads(scaled, query.rank() - 2)), a.scores);
  if (bias != nullptr) products = products + *bias;
  if (a.slopes) products = products + detail::linear_biases(*a.slopes, a.scores, a.position);
  Axes keys;  // the last axes of the scores
  for (std::size_t i = l.axes.size(); i > 0; --i) keys.push_back(-static_cast<int>(i));
  const Var<T> scores = softmax(products, keys, detail::evaluate(a.seen, a.scores));
  const Var<T> dropped = a.rate > 0 ? dropout(scores, a.rate, a.key) : scores;
  Shape joined = query.shape();
  joined.back() = value.shape().back();
  return {join_heads(einsum(l.combine, split_heads(dropped, l.free.size()), value), joined),
          scores};
}

template <class T> bool same(const Var<T>& a, const Var<T>& b) {
  const auto &x = a.node_ref(), &y = b.node_ref();
  return a.data() == b.data() && a.shape() == b.shape() && x.state == y.state &&
         x.stamp == y.stamp && x.node == y.node;
}

}  // namespace

template <class T> struct MultiHeadAttention<T>::Call {
  const CallOptions& options;
  detail::AttentionLayout layout;
  detail::Attention<T> attention = {};
  detail::NodeRef<T> context = {};  // of all operands
};

/// Checks what a call combines: tapes, the dropout's seed, the cache. Without it the errors would come
/// after parameters are made and projections computed. Returns the common context.
template <class T>
detail::NodeRef<T> MultiHeadAttention<T>::check_operands(const Var<T>& query, const Var<T>& value,
                                                         const CallOptions& call) const {
  const auto context =
      detail::join(path_.c_str(), query.node_ref(), value.node_ref(),
                   call.key ? call.key->node_ref() : value.node_ref(),
                   call.attention_bias ? call.attention_bias->node_ref() : value.node_ref());
  if (context.state == nullptr) static_cast<void>(dropout_.active(query, call.training));
  if (call.cache == nullptr) return context;
  const auto shape = [&](std::size_t positions, int dim) {
    return Shape{query.shape()[0], positions,
                 static_cast<std::size_t>(*options_.num_key_value_heads),
                 static_cast<std::size_t>(dim)};
  };
  if (call.cache_read_only) {
    const std::size_t held = call.cache->length();
    call.cache->check_held(shape(held, options_.key_dim), shape(held, options_.value_dim), path_);
    return context;
  }
  detail::check_inference(path_, "a cache", context.state);
  const std::size_t added = value.shape()[1];
  call.cache->check_append(shape(added, options_.key_dim), shape(added, options_.value_dim), path_);
  return context;
}

/// Checks the call. Returns its axes, masks and biases, which count the keys that a cache holds.
template <class T>
auto MultiHeadAttention<T>::plan(const Var<T>& query, const Var<T>& value,
                                 const CallOptions& call) const -> Call {
  check_given(path_, query, value, call);
  PartialShape values, keys;
  std::ptrdiff_t position = 0;  // of the first query
  if (call.cache == nullptr) {
    values = detail::partial(value.shape());
    keys = call.key ? detail::partial(call.key->shape()) : values;
  } else {
    if (query.rank() != 3) {
      detail::fail<ShapeError>(path_, "a cache needs inputs of rank 3: query is ",
                               to_string(query.shape()), ", expected (batch, positions, features)");
    }
    const auto length = static_cast<std::ptrdiff_t>(call.cache->length());
    values = detail::partial(call.cache_read_only ? query.shape() : value.shape());
    if (!call.cache_read_only) position = length;
    if (values.size() == 3) values[1] = call.cache_read_only ? length : values[1] + length;
    keys = values;
  }
  Call c{call, layout(detail::partial(query.shape()), values, keys)};
  const PartialShape scores = c.layout.scores(options_.num_heads);
  detail::Attention<T>& a = c.attention;
  a.axes = c.layout.axes;
  a.scores = detail::checked(path_.c_str(), Shape(scores.begin(), scores.end()));
  a.scale = 1.0 / std::sqrt(static_cast<double>(options_.key_dim));
  a.position = position;
  a.seen =
      detail::visibility<T>(path_, c.layout, a.scores, options_.sliding_window, call, position);
  a.slopes = call.alibi_slopes;
  detail::check_biases<T>(path_, c.layout, a.scores, call);
  c.context = check_operands(query, value, call);
  return c;
}

/// Returns the projections, without keys and values if the cache holds them. Layers with the same input
/// are computed together.
template <class T>
auto MultiHeadAttention<T>::project(const Operands& x, const Call& c) const -> Operands {
  const auto turned = [&](const Var<T>& y) {
    if (!options_.rotary) return y;
    RotaryOptions o = *options_.rotary;
    o.start += c.attention.position;
    return rotary(y, static_cast<int>(c.layout.axes[0]), o);
  };
  if (c.options.cache_read_only) return {turned(query_(x.query)), {}, {}};
  const Var<T>& key = x.key.has_value() ? x.key : x.value;
  const bool same_keys = same(key, x.value);
  Operands p;
  if (same_keys && same(x.query, x.value)) {
    std::vector<Var<T>> all = Dense<T>::together(x.value, {&query_, &key_, &value_});
    p = {all[0], all[1], all[2]};
  } else {
    p.query = query_(x.query);
    if (same_keys) {
      std::vector<Var<T>> both = Dense<T>::together(x.value, {&key_, &value_});
      p.key = both[0];
      p.value = both[1];
    } else {
      p.key = key_(key);
      p.value = value_(x.value);
    }
  }
  p.query = turned(p.query);
  p.key = turned(p.key);
  if (c.options.cache != nullptr) {
    c.options.cache->append(p.key, p.value);
    p.key = p.value = Var<T>();
  }
  return p;
}

/// Returns {the heads' outputs} or {the heads' outputs, the scores} by the fastest path that serves.
template <class T>
std::vector<Var<T>> MultiHeadAttention<T>::attend(const Call& c, Operands p,
                                                  bool scores_wanted) const {
  const detail::Attention<T>& a = c.attention;
  const bool composed_only = detail::attention_path() == detail::AttentionPath::composed;
  if (!p.key.has_value()) {
    if (!composed_only && !c.options.attention_bias &&
        detail::attends_cached(a, p.query, *c.options.cache)) {
      return detail::attend_cached(a, p.query, *c.options.cache, scores_wanted);
    }
    p.key = c.options.cache->keys();
    p.value = c.options.cache->values();
  }
  std::optional<Var<T>> bias;
  if (c.options.attention_bias) {
    const Var<T>& given = *c.options.attention_bias;
    bias =
        reshape(given, *detail::with_missing_axes(given.shape(), c.layout.axes.size(), a.scores));
  }
  const Var<T>* b = bias ? &*bias : nullptr;
  if (composed_only || !detail::attention_fuses(a, p.query, p.key, p.value, b)) {
    return attend_composed(a, c.layout, p.query, p.key, p.value, b);
  }
  return detail::fused_attention<T>(
      a, p.query, p.key, p.value, b, scores_wanted,
      [a, l = c.layout](const Var<T>& pq, const Var<T>& pk, const Var<T>& pv, const Var<T>* pb) {
        return attend_composed(a, l, pq, pk, pv, pb);
      });
}

template <class T>
auto MultiHeadAttention<T>::compute(const Var<T>& query, const Var<T>& value,
                                    const CallOptions& call, bool scores_wanted) const
    -> WithScores {
  Call c = plan(query, value, call);
  Operands x{query.in(c.context), {}, {}};
  if (!call.cache_read_only) {
    x.value = value.in(c.context);
    if (call.key) x.key = call.key->in(c.context);
    build(query.shape(), value.shape(), call.key ? call.key->shape() : value.shape());
  }
  const auto nonfinite = detail::zero_unattended(c.attention, c.layout, x);
  Operands p = project(x, c);
  if (const auto key = dropout_.draw(p.query, call.training)) {
    c.attention.rate = options_.dropout;
    c.attention.key = *key;
  }
  const detail::Attend<T> ordinary = [&](const Operands& o) { return attend(c, o, scores_wanted); };
  std::vector<Var<T>> heads;
  if (nonfinite) {
    if (call.cache != nullptr) p = {p.query, call.cache->keys(), call.cache->values()};
    heads = detail::with_masked_nonfinite(*nonfinite, c.attention.scores, c.layout, std::move(p),
                                          ordinary);
  } else {
    heads = ordinary(p);
  }
  const Var<T> mixed = gate_ ? heads[0] * sigmoid((*gate_)(x.query)) : heads[0];
  const Var<T> output = options_.output_shape.empty()
                            ? attention_output_(mixed, Shape{query.shape().back()})
                            : attention_output_(mixed);
  return {output, heads.size() > 1 ? heads[1] : Var<T>()};
}

template <class T>
auto MultiHeadAttention<T>::with_scores(const Var<T>& query, const Var<T>& value,
                                        const CallOptions& call) const -> WithScores {
  return compute(query, value, call, true);
}

template <class T>
Var<T> MultiHeadAttention<T>::operator()(const Var<T>& query, const Var<T>& value,
                                         const CallOptions& call) const {
  return compute(query, value, call, false).output;
}

#define XTAPE_INSTANTIATE(T)                                                      \
  template MultiHeadAttention<T>::WithScores MultiHeadAttention<T>::with_scores(  \
      const Var<T>&, const Var<T>&, const CallOptions&) const;                    \
  template Var<T> MultiHeadAttention<T>::operator()(const Var<T>&, const Var<T>&, \
                                                    const CallOptions&) const;
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
