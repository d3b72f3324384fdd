#include <xtape/layers/multi_head_attention.hpp>

#include "array/shapes.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>

#include <algorithm>
#include <cmath>

namespace xtape {

using detail::fail;

namespace {

int positive(const std::string& path, const char* name, int value) {
  if (value <= 0) {
    fail<ValueError>(path, name, " out of range: ", name, " is ", value,
                     ", expected a positive integer");
  }
  return value;
}

int value_dim_or(const std::string& path, int value_dim, int key_dim) {
  if (value_dim < 0) {
    fail<ValueError>(path, "value_dim out of range: value_dim is ", value_dim,
                     ", expected a positive integer, or 0 for key_dim");
  }
  return value_dim == 0 ? key_dim : value_dim;
}

template <class T>
typename Dense<T>::Options projection(const typename MultiHeadAttention<T>::Options& o, int dim) {
  return {.units = {o.num_heads, dim},
          .use_bias = o.use_bias,
          .kernel_initializer = o.kernel_initializer,
          .bias_initializer = o.bias_initializer,
          .trainable = o.trainable};
}

template <class T>
typename Dense<T>::Options output_projection(const typename MultiHeadAttention<T>::Options& o) {
  return {.units = o.output_shape,
          .units_at_call = o.output_shape.empty(),
          .axes = 2,
          .use_bias = o.use_bias,
          .kernel_initializer = o.kernel_initializer,
          .bias_initializer = o.bias_initializer,
          .trainable = o.trainable};
}

}  // namespace

/// The letters of one call. Projected arrays are (batch, axes..., heads, dim).
template <class T>
struct MultiHeadAttention<T>::Layout {
  std::size_t attended = 0;   // number of attention axes
  std::string scores;         // equation from keys and queries to scores
  std::string combine;        // equation from scores and values to the heads' outputs
  Shape scores_shape;
  std::vector<std::size_t> axes;  // attention axes of the input
};

template <class T>
MultiHeadAttention<T>::MultiHeadAttention(const Scope<T>& scope, Options options)
    : path_(scope.path()),
      options_([&] {
        positive(path_, "num_heads", options.num_heads);
        positive(path_, "key_dim", options.key_dim);
        options.value_dim = value_dim_or(path_, options.value_dim, options.key_dim);
        static_cast<void>(options.output_shape.shape(path_ + ": output_shape"));
        return std::move(options);
      }()),
      query_(scope / "query", projection<T>(options_, options_.key_dim)),
      key_(scope / "key", projection<T>(options_, options_.key_dim)),
      value_(scope / "value", projection<T>(options_, options_.value_dim)),
      attention_output_(scope / "attention_output", output_projection<T>(options_)),
      dropout_({.rate = options_.dropout, .seed = options_.seed, .name = path_ + "/dropout"}) {}

template <class T>
typename MultiHeadAttention<T>::Layout MultiHeadAttention<T>::layout(const Shape& query,
                                                                     const Shape& value,
                                                                     const Shape& key) const {
  const std::size_t rank = query.size();
  const auto refuse = [&](const char* what, const char* operand, const Shape& is, const auto&... why) {
    fail<ShapeError>(path_, what, ": ", operand, " is ", to_string(is), ", query is ",
                     to_string(query), why...);
  };
  if (rank < 3) {
    fail<ShapeError>(path_, "too few axes: query is ", to_string(query),
                     ", expected (batch, positions..., features); add an axis of 1");
  }
  if (value.size() != rank) refuse("ranks differ", "value", value, ", expected equal ranks");
  if (key.size() != rank) refuse("ranks differ", "key", key, ", expected equal ranks");
  Layout l;
  if (options_.attention_axes.empty()) {
    for (std::size_t i = 1; i + 1 < rank; ++i) l.axes.push_back(i);
  } else {
    l.axes = detail::normalize_axes(path_ + ": attention_axes", options_.attention_axes, rank);
  }
  for (const std::size_t axis : l.axes) {
    if (axis == 0 || axis + 1 == rank) {
      fail<ShapeError>(path_, "attention_axes out of range: axis ", axis,
                       " is the batch or the features of query ", to_string(query),
                       ", expected axes between them");
    }
  }
  l.attended = l.axes.size();
  for (std::size_t i = 0; i + 1 < rank; ++i) {
    if (key[i] != value[i]) {
      refuse("key and value differ", "key", key, ", value is ", to_string(value),
             ", expected them equal on all axes but the last");
    }
    const bool attends = std::find(l.axes.begin(), l.axes.end(), i) != l.axes.end();
    if (!attends && value[i] != query[i]) {
      refuse("value does not fit", "value", value, ", expected equal extents on axis ", i,
             ", which is not attended over");
    }
  }
  // Letters of the projected query: a b c ... for its axes, then heads N and dim K; the attention
  // axes of key and value are A, B, ... in their place.
  std::string target, source;
  std::string target_axes, source_axes, free_axes;
  std::vector<std::size_t> free_shape, target_shape, source_shape;
  for (std::size_t i = 0; i + 1 < rank; ++i) {
    const char letter = static_cast<char>('a' + i);
    const bool attends = std::find(l.axes.begin(), l.axes.end(), i) != l.axes.end();
    target += letter;
    source += attends ? static_cast<char>('A' + i) : letter;
    if (!attends) {
      free_axes += letter;
      free_shape.push_back(query[i]);
    }
  }
  for (const std::size_t axis : l.axes) {
    target_axes += static_cast<char>('a' + axis);
    source_axes += static_cast<char>('A' + axis);
    target_shape.push_back(query[axis]);
    source_shape.push_back(value[axis]);
  }
  const std::string scores = free_axes + "N" + target_axes + source_axes;
  l.scores = source + "NK," + target + "NK->" + scores;
  l.combine = scores + "," + source + "NV->" + target + "NV";
  free_shape.push_back(static_cast<std::size_t>(options_.num_heads));
  free_shape.insert(free_shape.end(), target_shape.begin(), target_shape.end());
  free_shape.insert(free_shape.end(), source_shape.begin(), source_shape.end());
  l.scores_shape = Shape(free_shape.begin(), free_shape.end());
  detail::check_rank(path_.c_str(), l.scores_shape.size());
  return l;
}

namespace {

Array<bool> reshaped(const Array<bool>& mask, const Shape& shape) {
  Array<bool> out = mask;
  out.reshape(shape);
  return out;
}

Array<bool> both(const Array<bool>& a, const Array<bool>& b) {
  Shape shape = detail::broadcast_shapes("attention mask", a.shape(), b.shape());
  Array<bool> out(shape);
  const auto loop = detail::make_loop<3>(
      shape, {detail::broadcast_strides(a.shape(), shape),
              detail::broadcast_strides(b.shape(), shape), detail::strides_of(shape)});
  kernels::for_each_outer(loop, 0, [&](const kernels::Index(&at)[3]) {
    out.data()[at[2]] = a.data()[at[0]] && b.data()[at[1]];
  });
  return out;
}

}  // namespace

template <class T>
std::optional<Array<bool>> MultiHeadAttention<T>::combined_mask(const Layout& l,
                                                                const CallOptions& call) const {
  std::optional<Array<bool>> mask;
  const auto add = [&](Array<bool> m) { mask = mask ? both(*mask, m) : std::move(m); };
  const std::size_t rank = l.scores_shape.size();
  const std::size_t targets = l.scores_shape[rank - 2 * l.attended];
  const std::size_t sources = l.scores_shape[rank - l.attended];
  if (call.attention_mask) {
    const Shape& given = call.attention_mask->shape();
    const auto refuse = [&](const std::string& expected) {
      fail<ShapeError>(path_, "attention_mask does not fit: attention_mask is ", to_string(given),
                       ", expected ", expected, " for scores ", to_string(l.scores_shape),
                       "; true means attend");
    };
    if (given.size() < 2 * l.attended || given.size() > rank) {
      refuse("between " + std::to_string(2 * l.attended) + " and " + std::to_string(rank) + " axes");
    }
    // Missing axes go just before the query axes.
    std::vector<std::size_t> shape(given.begin(), given.end());
    shape.insert(shape.end() - static_cast<std::ptrdiff_t>(2 * l.attended), rank - given.size(), 1);
    const Shape full(shape.begin(), shape.end());
    if (!detail::broadcasts_to(full, l.scores_shape)) {
      refuse("every extent of " + to_string(full) + " to be 1 or the scores'");
    }
    add(reshaped(*call.attention_mask, full));
  }
  const std::size_t batch = l.scores_shape[0];
  const auto add_padding = [&](const std::optional<Array<bool>>& m, const char* name,
                               std::size_t length, bool of_query) {
    if (!m) return;
    if (rank != 4) {
      fail<ShapeError>(path_, name, " needs inputs of rank 3: scores are ",
                       to_string(l.scores_shape), "; use attention_mask");
    }
    if (m->shape() != Shape{batch, length}) {
      fail<ShapeError>(path_, name, " does not fit: ", name, " is ", to_string(m->shape()),
                       ", expected ", to_string(Shape{batch, length}), "; true means attend");
    }
    add(reshaped(*m, of_query ? Shape{batch, 1, length, 1} : Shape{batch, 1, 1, length}));
  };
  add_padding(call.query_mask, "query_mask", targets, true);
  add_padding(call.value_mask, "value_mask", sources, false);
  add_padding(call.key_mask, "key_mask", sources, false);
  if (call.use_causal_mask) {
    if (l.attended != 1) {
      fail<ShapeError>(path_, "use_causal_mask needs one attention axis: there are ", l.attended,
                       ", expected 1; pass an attention_mask");
    }
    Array<bool> causal(Shape{targets, sources});
    for (std::size_t i = 0; i < targets; ++i) {
      for (std::size_t j = 0; j < sources; ++j) causal.data()[i * sources + j] = j <= i;
    }
    add(std::move(causal));
  }
  return mask;
}

template <class T>
void MultiHeadAttention<T>::build(const Shape& query, const Shape& value,
                                  const std::optional<Shape>& key) const {
  static_cast<void>(layout(query, value, key.value_or(value)));
  query_.build(query);
  key_.build(key.value_or(value));
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
typename MultiHeadAttention<T>::WithScores MultiHeadAttention<T>::with_scores(
    const Var<T>& query, const Var<T>& value, const CallOptions& call) const {
  const Var<T>& key = call.key ? *call.key : value;
  const Layout l = layout(query.shape(), value.shape(), key.shape());
  const std::optional<Array<bool>> mask = combined_mask(l, call);
  build(query.shape(), value.shape(), key.shape());

  const T scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(options_.key_dim)));
  const Var<T> q = query_(query) * scale;
  const Var<T> k = key_(key);
  const Var<T> v = value_(value);
  Axes last(l.attended);
  for (std::size_t i = 0; i < last.size(); ++i) {
    last[i] = static_cast<int>(i) - static_cast<int>(last.size());
  }
  const Softmax<T> softmax({.axes = last});
  const Var<T> scores = softmax(einsum(l.scores, k, q), mask);
  const Var<T> heads = einsum(l.combine, dropout_(scores, call.training), v);
  if (options_.output_shape.empty()) {
    return {attention_output_(heads, Shape{query.shape().back()}), scores};
  }
  return {attention_output_(heads), scores};
}

template <class T>
Var<T> MultiHeadAttention<T>::operator()(const Var<T>& query, const Var<T>& value,
                                         const CallOptions& call) const {
  return with_scores(query, value, call).output;
}

template class MultiHeadAttention<float>;
template class MultiHeadAttention<double>;

}  // namespace xtape
