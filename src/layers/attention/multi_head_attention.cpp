#include <xtape/layers/attention/multi_head_attention.hpp>

#include "layers/attention/cached.hpp"
#include "layers/attention/layout.hpp"
#include "layers/attention/masks.hpp"
#include "layers/attention/path.hpp"
#include "layers/attention/silence.hpp"
#include "ops/attention.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reductions.hpp>
#include <xtape/ops/shape.hpp>

#include <algorithm>
#include <cmath>

namespace xtape {

using detail::fail;

namespace {

void check_positive(const std::string& path, const char* name, int value) {
  if (value <= 0) {
    fail<ValueError>(path, name, " out of range: ", name, " is ", value,
                     ", expected a positive integer");
  }
}

template <class T>
typename MultiHeadAttention<T>::Options checked(const std::string& path,
                                                typename MultiHeadAttention<T>::Options o) {
  check_positive(path, "num_heads", o.num_heads);
  check_positive(path, "key_dim", o.key_dim);
  if (o.value_dim < 0) {
    fail<ValueError>(path, "value_dim out of range: value_dim is ", o.value_dim,
                     ", expected a positive integer, or 0 for key_dim");
  }
  if (o.value_dim == 0) o.value_dim = o.key_dim;
  static_cast<void>(o.output_shape.shape(path + ": output_shape"));
  if (o.sliding_window) check_positive(path, "sliding_window", *o.sliding_window);
  if (!o.num_key_value_heads) o.num_key_value_heads = o.num_heads;
  check_positive(path, "num_key_value_heads", *o.num_key_value_heads);
  if (o.num_heads % *o.num_key_value_heads != 0) {
    fail<ValueError>(path, "num_key_value_heads does not divide: num_heads is ", o.num_heads,
                     ", num_key_value_heads is ", *o.num_key_value_heads,
                     ", expected num_heads to be divisible by it");
  }
  if (o.rotary && !(o.rotary->max_wavelength > 0 && std::isfinite(o.rotary->max_wavelength))) {
    fail<ValueError>(path, "rotary out of range: max_wavelength is ", o.rotary->max_wavelength,
                     ", expected a positive number");
  }
  if (o.rotary && o.key_dim % 2 != 0) {
    fail<ValueError>(path, "key_dim is not even: key_dim is ", o.key_dim,
                     ", expected an even number for rotary positions");
  }
  return o;
}

/// Operands without a value, and options for something that is not given.
template <class T>
void check_given(const std::string& path, const Var<T>& query, const Var<T>& value,
                 const typename MultiHeadAttention<T>::CallOptions& call) {
  const auto check = [&](const char* name, const Var<T>& x) {
    if (x.has_value()) return;
    fail<ValueError>(path, name, " missing: ", name,
                     " is a Var without a value, expected an array");
  };
  if (call.cache_read_only && call.cache == nullptr) {
    fail<ValueError>(path,
                     "cache_read_only without a cache: cache is null, expected a cache to read");
  }
  check("query", query);
  if (!call.cache_read_only) {
    check("value", value);
    if (call.key) check("key", *call.key);
  }
  if (call.attention_bias) check("attention_bias", *call.attention_bias);
}

/// What all projections have in common.
template <class T>
typename Dense<T>::Options common(const typename MultiHeadAttention<T>::Options& o) {
  return {.use_bias = o.use_bias,
          .kernel_initializer = o.kernel_initializer,
          .bias_initializer = o.bias_initializer,
          .trainable = o.trainable,
          .kernel_regularizer = o.kernel_regularizer,
          .bias_regularizer = o.bias_regularizer,
          .activity_regularizer = o.activity_regularizer,
          .kernel_constraint = o.kernel_constraint,
          .bias_constraint = o.bias_constraint};
}

template <class T>
typename Dense<T>::Options projection(const typename MultiHeadAttention<T>::Options& o, int heads,
                                      int dim) {
  typename Dense<T>::Options options = common<T>(o);
  options.units = {heads, dim};
  return options;
}

template <class T>
typename Dense<T>::Options output_projection(const typename MultiHeadAttention<T>::Options& o) {
  typename Dense<T>::Options options = common<T>(o);
  options.units = o.output_shape;
  options.units_at_call = o.output_shape.empty();
  options.axes = 2;
  return options;
}

Axes last_axes(std::size_t count) {
  Axes last(count);
  for (std::size_t i = 0; i < count; ++i) last[i] = static_cast<int>(i) - static_cast<int>(count);
  return last;
}

/// Scaled products, masked softmax, dropout, combination: what attention is, in plain operations. Gives
/// {the heads' outputs, the probabilities}.
template <class T>
std::vector<Var<T>> attend(const detail::Attention<T>& a, const detail::AttentionLayout& l,
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
  const Softmax<T> softmax({.axes = last_axes(l.axes.size())});
  const Var<T> scores = softmax(products, detail::evaluate(a.seen, a.scores));
  const Var<T> dropped = a.rate > 0 ? dropout(scores, a.rate, a.key) : scores;
  Shape joined = query.shape();
  joined.back() = value.shape().back();
  return {join_heads(einsum(l.combine, split_heads(dropped, l.free.size()), value), joined),
          scores};
}

template <class T>
bool same(const Var<T>& a, const Var<T>& b) {
  return a.data() == b.data() && a.shape() == b.shape() &&
         a.node_ref().state == b.node_ref().state && a.node_ref().stamp == b.node_ref().stamp &&
         a.node_ref().node == b.node_ref().node;
}

}  // namespace

template <class T>
struct MultiHeadAttention<T>::Layout : detail::AttentionLayout {};

template <class T>
struct MultiHeadAttention<T>::Projected {
  Var<T> query, key, value;
  std::ptrdiff_t offset = 0;  // position of the first query
};

template <class T>
MultiHeadAttention<T>::MultiHeadAttention(const Scope<T>& scope, Options options)
    : path_(scope.path()),
      options_(checked<T>(path_, std::move(options))),
      query_(scope / "query", projection<T>(options_, options_.num_heads, options_.key_dim)),
      key_(scope / "key", projection<T>(options_, *options_.num_key_value_heads, options_.key_dim)),
      gate_(options_.use_gate ? std::optional<Dense<T>>(
                                    std::in_place, scope / "gate",
                                    projection<T>(options_, options_.num_heads, options_.value_dim))
                              : std::nullopt),
      value_(scope / "value",
             projection<T>(options_, *options_.num_key_value_heads, options_.value_dim)),
      attention_output_(scope / "attention_output", output_projection<T>(options_)),
      dropout_({.rate = options_.dropout, .seed = options_.seed, .name = path_ + "/dropout"}) {}

template <class T>
auto MultiHeadAttention<T>::layout(const PartialShape& query, const PartialShape& value,
                                   const PartialShape& key) const -> Layout {
  const bool grouped = *options_.num_key_value_heads != options_.num_heads;
  Layout l{detail::attention_layout(path_, options_.attention_axes, grouped, query, value,
                                    key.empty() ? value : key)};
  if ((options_.rotary || options_.sliding_window) && l.axes.size() != 1) {
    fail<ShapeError>(path_, options_.rotary ? "rotary" : "sliding_window",
                     " needs one attention axis: there are ", l.axes.size(), " for query ",
                     detail::to_string(query), ", expected 1; name it with attention_axes");
  }
  return l;
}

template <class T>
void MultiHeadAttention<T>::build(const Shape& query, const Shape& value,
                                  const std::optional<Shape>& key) const {
  static_cast<void>(
      layout(detail::partial(query), detail::partial(value), detail::partial(key.value_or(value))));
  query_.build(query);
  key_.build(key.value_or(value));
  if (gate_) gate_->build(query);
  value_.build(value);
  const Shape heads{static_cast<std::size_t>(options_.num_heads),
                    static_cast<std::size_t>(options_.value_dim)};
  if (options_.output_shape.empty()) {
    attention_output_.build(heads, Shape{query.back()});
  } else {
    attention_output_.build(heads);
  }
}

template <class T>
auto MultiHeadAttention<T>::compute_output_shape(const PartialShape& query,
                                                 const PartialShape& value,
                                                 const PartialShape& key) const -> PartialShape {
  static_cast<void>(layout(query, value, key));
  PartialShape out(query.begin(), query.end() - 1);
  if (options_.output_shape.empty()) {
    out.push_back(query.back());
  } else {
    const auto& extents = options_.output_shape.values();
    out.insert(out.end(), extents.begin(), extents.end());
  }
  return out;
}

template <class T>
auto MultiHeadAttention<T>::compute_scores_shape(const PartialShape& query,
                                                 const PartialShape& value,
                                                 const PartialShape& key) const -> PartialShape {
  return layout(query, value, key).scores(options_.num_heads);
}

template <class T>
auto MultiHeadAttention<T>::project(const Var<T>& query, const Var<T>& value,
                                    const CallOptions& call, const Layout& l) const -> Projected {
  const auto turned = [&](const Var<T>& x, std::ptrdiff_t offset) {
    if (!options_.rotary) return x;
    RotaryOptions o = *options_.rotary;
    o.start += offset;
    return rotary(x, static_cast<int>(l.axes[0]), o);
  };
  Projected p;
  if (call.cache != nullptr && !call.cache_read_only) {
    p.offset = static_cast<std::ptrdiff_t>(call.cache->length());
  }
  if (call.cache != nullptr && call.cache_read_only) {
    p.query = turned(query_(query), p.offset);
    return p;
  }
  // Layers with the same input are computed together.
  const Var<T>& key = call.key ? *call.key : value;
  if (same(query, value) && same(key, value)) {
    std::vector<Var<T>> all = Dense<T>::together(value, {&query_, &key_, &value_});
    p.query = all[0];
    p.key = all[1];
    p.value = all[2];
  } else {
    p.query = query_(query);
    if (same(key, value)) {
      std::vector<Var<T>> both = Dense<T>::together(value, {&key_, &value_});
      p.key = both[0];
      p.value = both[1];
    } else {
      p.key = key_(key);
      p.value = value_(value);
    }
  }
  p.query = turned(p.query, p.offset);
  p.key = turned(p.key, p.offset);
  if (call.cache != nullptr) call.cache->append(p.key, p.value);
  return p;
}

template <class T>
typename MultiHeadAttention<T>::WithScores MultiHeadAttention<T>::compute(
    const Var<T>& query, const Var<T>& value, const CallOptions& call, bool scores_wanted) const {
  check_given(path_, query, value, call);
  // What the inputs' shapes say, with the keys that a cache holds.
  Layout l = [&] {
    if (call.cache == nullptr) {
      return layout(detail::partial(query.shape()), detail::partial(value.shape()),
                    detail::partial(call.key ? call.key->shape() : value.shape()));
    }
    if (query.rank() != 3) {
      fail<ShapeError>(path_, "a cache needs inputs of rank 3: query is ", to_string(query.shape()),
                       ", expected (batch, positions, features)");
    }
    PartialShape held = detail::partial(call.cache_read_only ? query.shape() : value.shape());
    const auto length = static_cast<std::ptrdiff_t>(call.cache->length());
    if (held.size() == 3) held[1] = call.cache_read_only ? length : held[1] + length;
    return layout(detail::partial(query.shape()), held, held);
  }();
  const PartialShape extents = l.scores(options_.num_heads);
  const Shape shape(extents.begin(), extents.end());
  const bool appends = call.cache != nullptr && !call.cache_read_only;
  const std::ptrdiff_t offset = appends ? static_cast<std::ptrdiff_t>(call.cache->length()) : 0;
  detail::Attention<T> attention;
  attention.axes = l.axes;
  attention.scores = shape;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(options_.key_dim));
  attention.seen = detail::visibility<T>(path_, l, shape, options_.sliding_window, call, offset);
  attention.slopes = call.alibi_slopes;
  attention.position = offset;
  detail::check_biases<T>(path_, l, shape, call);
  check_operands(query, value, call);
  if (call.cache == nullptr || appends) {
    build(query.shape(), value.shape(), call.key ? call.key->shape() : value.shape());
  }

  // Masked positions may hold anything.
  Var<T> q = query;
  Var<T> v = value;
  CallOptions clean = call;
  const auto finite = [&] {
    return detail::all_finite(q) && (call.cache_read_only || detail::all_finite(v)) &&
           (!clean.key || detail::all_finite(*clean.key));
  };
  const bool masked = !attention.seen.everything();
  bool spoils = false;
  if (masked && !finite()) {
    const detail::Attended a = detail::attended(*detail::evaluate(attention.seen, shape), shape, l);
    q = detail::only(a.queries, query, 0);
    if (!call.cache_read_only) {
      v = detail::only(a.keys, value, offset);
      if (call.key) clean.key = detail::only(a.keys, *call.key, offset);
    }
    spoils = !finite();
  }

  Projected p = project(q, v, clean, l);
  if (const auto key = dropout_.draw(p.query, call.training)) {
    attention.rate = options_.dropout;
    attention.key = *key;
  }
  const bool in_place = call.cache != nullptr && !spoils && !call.attention_bias &&
                        detail::attention_path() != detail::AttentionPath::composed &&
                        detail::attends_cached(attention, p.query, *call.cache);
  if (call.cache != nullptr && !in_place) {
    p.key = call.cache->keys();
    p.value = call.cache->values();
  }
  std::optional<detail::Spoiled> spoiled;
  if (spoils) {
    spoiled = detail::silence(*detail::evaluate(attention.seen, shape), shape, l, p.query, p.key,
                              p.value);
  }
  std::optional<Var<T>> bias;
  if (call.attention_bias) {
    const Var<T>& given = *call.attention_bias;
    bias = reshape(given, *detail::with_missing_axes(given.shape(), l.axes.size(), shape));
  }
  const Var<T>* b = bias ? &*bias : nullptr;
  const detail::ComposedAttention<T> composed = [attention, l](const Var<T>& pq, const Var<T>& pk,
                                                               const Var<T>& pv, const Var<T>* pb) {
    return attend(attention, l, pq, pk, pv, pb);
  };
  std::vector<Var<T>> attended = [&] {
    if (in_place) return detail::attend_cached(attention, p.query, *call.cache, scores_wanted);
    const bool fuses = detail::attention_path() != detail::AttentionPath::composed &&
                       detail::attention_fuses(attention, p.query, p.key, p.value, b);
    return fuses ? detail::fused_attention(attention, p.query, p.key, p.value, b, scores_wanted,
                                           composed)
                 : composed(p.query, p.key, p.value, b);
  }();
  if (spoiled) {
    const T nan = std::numeric_limits<T>::quiet_NaN();
    attended[0] = where(spoiled->outputs, nan, attended[0]);
    if (attended.size() > 1) attended[1] = where(spoiled->scores, nan, attended[1]);
  }
  Var<T> mixed = attended[0];
  if (gate_) mixed = mixed * sigmoid((*gate_)(q));
  const Var<T> output = options_.output_shape.empty()
                            ? attention_output_(mixed, Shape{query.shape().back()})
                            : attention_output_(mixed);
  return {output, attended.size() > 1 ? attended[1] : Var<T>()};
}

template <class T>
typename MultiHeadAttention<T>::WithScores MultiHeadAttention<T>::with_scores(
    const Var<T>& query, const Var<T>& value, const CallOptions& call) const {
  return compute(query, value, call, true);
}

template <class T>
Var<T> MultiHeadAttention<T>::operator()(const Var<T>& query, const Var<T>& value,
                                         const CallOptions& call) const {
  return compute(query, value, call, false).output;
}

template class MultiHeadAttention<float>;
template class MultiHeadAttention<double>;

}  // namespace xtape
