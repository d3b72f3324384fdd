#include <xtape/layers/multi_head_attention.hpp>

#include "layers/attention_layout.hpp"
#include "layers/attention_silence.hpp"

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

/// A mask or bias with the axes it lacks inserted before the query axes. Empty when its rank is not
/// admissible.
std::optional<Shape> with_missing_axes(const Shape& given, std::size_t attended, std::size_t rank) {
  if (given.size() < 2 * attended || given.size() > rank) return std::nullopt;
  std::vector<std::size_t> shape(given.begin(), given.end());
  shape.insert(shape.end() - static_cast<std::ptrdiff_t>(2 * attended), rank - given.size(), 1);
  return Shape(shape.begin(), shape.end());
}

Axes last_axes(std::size_t count) {
  Axes last(count);
  for (std::size_t i = 0; i < count; ++i) last[i] = static_cast<int>(i) - static_cast<int>(count);
  return last;
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
std::optional<Array<bool>> MultiHeadAttention<T>::combined_mask(const Layout& l,
                                                                const Shape& scores,
                                                                const CallOptions& call,
                                                                std::ptrdiff_t offset) const {
  std::optional<Array<bool>> mask;
  const auto add = [&](Array<bool> m) { mask = mask ? logical_and(*mask, m) : std::move(m); };
  const std::size_t rank = scores.size();
  if (call.attention_mask) {
    const Shape& given = call.attention_mask->shape();
    const auto full = with_missing_axes(given, l.axes.size(), rank);
    if (!full || !detail::broadcasts_to(*full, scores)) {
      fail<ShapeError>(path_, "attention_mask does not fit: attention_mask is ", to_string(given),
                       ", expected ", 2 * l.axes.size(), " to ", rank,
                       " axes, each 1 or that of the scores ", to_string(scores),
                       " (missing ones are inserted before the query axes); true means attend");
    }
    add(detail::reshaped(*call.attention_mask, *full));
  }
  const auto add_padding = [&](const std::optional<Array<bool>>& m, const char* name,
                               bool of_query) {
    if (!m) return;
    if (rank != 4) {
      fail<ShapeError>(path_, name, " needs inputs of rank 3: scores are ", to_string(scores),
                       ", expected (batch, heads, queries, keys); use attention_mask");
    }
    const Shape expected{scores[0], of_query ? scores[2] : scores[3]};
    if (m->shape() != expected) {
      fail<ShapeError>(path_, name, " does not fit: ", name, " is ", to_string(m->shape()),
                       ", expected ", to_string(expected), "; true means attend");
    }
    add(detail::reshaped(
        *m, of_query ? Shape{scores[0], 1, scores[2], 1} : Shape{scores[0], 1, 1, scores[3]}));
  };
  add_padding(call.query_mask, "query_mask", true);
  add_padding(call.value_mask, "value_mask", false);
  add_padding(call.key_mask, "key_mask", false);
  Mask typed = call.mask;
  if (call.use_causal_mask) typed = typed & Mask::causal(offset);
  if (options_.sliding_window) {
    typed =
        typed & Mask::sliding_window(static_cast<std::size_t>(*options_.sliding_window), offset);
  }
  if (!typed.empty()) {
    if (l.axes.size() != 1) {
      fail<ShapeError>(path_, call.use_causal_mask ? "use_causal_mask" : "mask",
                       " needs one attention axis: there are ", l.axes.size(),
                       ", expected 1; pass an attention_mask");
    }
    add(typed.evaluate(path_, scores));
  }
  return mask;
}

template <class T>
void MultiHeadAttention<T>::check_call(const Layout& l, const Shape& scores,
                                       const CallOptions& call) const {
  if (call.attention_bias) {
    const Shape& given = call.attention_bias->shape();
    const auto full = with_missing_axes(given, l.axes.size(), scores.size());
    if (!full || !detail::broadcasts_to(*full, scores)) {
      fail<ShapeError>(path_, "attention_bias does not fit: attention_bias is ", to_string(given),
                       ", expected ", 2 * l.axes.size(), " to ", scores.size(),
                       " axes, each 1 or that of the scores ", to_string(scores));
    }
  }
  if (call.alibi_slopes) {
    const Shape expected{static_cast<std::size_t>(options_.num_heads)};
    if (call.alibi_slopes->shape() != expected || l.axes.size() != 1) {
      fail<ShapeError>(path_, "alibi_slopes do not fit: alibi_slopes are ",
                       to_string(call.alibi_slopes->shape()), " for ", l.axes.size(),
                       " attention axes, expected ", to_string(expected), " and one axis");
    }
  }
}

/// attention_bias and the linear biases, added to the scaled products.
template <class T>
Var<T> MultiHeadAttention<T>::biased(const Var<T>& products, const Layout& l,
                                     const CallOptions& call, std::ptrdiff_t offset) const {
  Var<T> y = products;
  const Shape& scores = products.shape();
  if (call.attention_bias) {
    const Var<T>& bias = *call.attention_bias;
    y = y + reshape(bias, *with_missing_axes(bias.shape(), l.axes.size(), scores.size()));
  }
  if (call.alibi_slopes) {
    const std::size_t rank = scores.size();
    const std::size_t heads = scores[rank - 3], t = scores[rank - 2], s = scores[rank - 1];
    Array<T> bias(Shape{heads, t, s});
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t i = 0; i < t; ++i) {
        for (std::size_t j = 0; j < s; ++j) {
          const auto distance =
              static_cast<std::ptrdiff_t>(i) + offset - static_cast<std::ptrdiff_t>(j);
          bias(h, i, j) =
              -call.alibi_slopes->data()[h] * static_cast<T>(distance < 0 ? -distance : distance);
        }
      }
    }
    y = y + bias;
  }
  return y;
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
  const T scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(options_.key_dim)));
  if (call.cache != nullptr && !call.cache_read_only) {
    p.offset = static_cast<std::ptrdiff_t>(call.cache->length());
  }
  p.query = turned(query_(query), p.offset) * scale;
  if (call.cache != nullptr && call.cache_read_only) {
    p.key = call.cache->keys();
    p.value = call.cache->values();
    return p;
  }
  p.key = turned(key_(call.key ? *call.key : value), p.offset);
  p.value = value_(value);
  if (call.cache != nullptr) {
    call.cache->append(p.key, p.value);
    p.key = call.cache->keys();
    p.value = call.cache->values();
  }
  return p;
}

template <class T>
typename MultiHeadAttention<T>::WithScores MultiHeadAttention<T>::with_scores(
    const Var<T>& query, const Var<T>& value, const CallOptions& call) const {
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
  const std::optional<Array<bool>> mask = combined_mask(l, shape, call, offset);
  check_call(l, shape, call);
  check_operands(query, value, call);
  if (call.cache == nullptr || appends) {
    build(query.shape(), value.shape(), call.key ? call.key->shape() : value.shape());
  }

  // Masked positions may hold anything.
  Var<T> q = query;
  Var<T> v = value;
  CallOptions clean = call;
  const auto holds_only_finite = [](const Var<T>& x) { return detail::all_finite(x); };
  if (mask && !(holds_only_finite(query) && (call.cache_read_only || holds_only_finite(value)) &&
                (!call.key || holds_only_finite(*call.key)))) {
    const detail::Attended a = detail::attended(*mask, shape, l);
    q = detail::only(a.queries, query, 0);
    if (!call.cache_read_only) {
      v = detail::only(a.keys, value, offset);
      if (call.key) clean.key = detail::only(a.keys, *call.key, offset);
    }
  }

  // Projections, scaled products, masked softmax, dropout, combination, output projection.
  const Projected p = project(q, v, clean, l);
  const std::size_t groups = static_cast<std::size_t>(*options_.num_key_value_heads);
  const std::size_t heads = static_cast<std::size_t>(options_.num_heads);
  const bool grouped = groups != heads;
  const auto split_heads = [&](const Var<T>& x, std::size_t axis) {
    if (!grouped) return x;
    std::vector<std::size_t> extended(x.shape().begin(), x.shape().end());
    extended[axis] = groups;
    extended.insert(extended.begin() + static_cast<std::ptrdiff_t>(axis) + 1, heads / groups);
    return reshape(x, Shape(extended.begin(), extended.end()));
  };
  const auto join_heads = [&](const Var<T>& x, const Shape& joined) {
    return grouped ? reshape(x, joined) : x;
  };
  const Var<T> products =
      join_heads(einsum(l.products, p.key, split_heads(p.query, query.rank() - 1)), shape);
  const Softmax<T> softmax({.axes = last_axes(l.axes.size())});
  const Var<T> scores = softmax(biased(products, l, call, offset), mask);
  const Var<T> dropped = dropout_(scores, call.training);
  Shape joined = p.query.shape();
  joined.back() = static_cast<std::size_t>(options_.value_dim);
  Var<T> mixed =
      join_heads(detail::weighted(l.combine, split_heads(dropped, l.free.size()), p.value), joined);
  if (gate_) mixed = mixed * sigmoid((*gate_)(q));
  if (options_.output_shape.empty()) {
    return {attention_output_(mixed, Shape{query.shape().back()}), scores};
  }
  return {attention_output_(mixed), scores};
}

template <class T>
Var<T> MultiHeadAttention<T>::operator()(const Var<T>& query, const Var<T>& value,
                                         const CallOptions& call) const {
  return with_scores(query, value, call).output;
}

template class MultiHeadAttention<float>;
template class MultiHeadAttention<double>;

}  // namespace xtape
