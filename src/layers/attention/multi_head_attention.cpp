#include <xtape/layers/attention/multi_head_attention.hpp>

#include "base/instantiate.hpp"
#include "layers/attention/layout.hpp"
#include "layers/common.hpp"

#include <cmath>

namespace xtape {

namespace {

template <class T>
typename MultiHeadAttention<T>::Options checked(const std::string& path,
                                                typename MultiHeadAttention<T>::Options o) {
  detail::check_positive_integer(path, "num_heads", o.num_heads);
  detail::check_positive_integer(path, "key_dim", o.key_dim);
  detail::check_option(o.value_dim >= 0, path, "value_dim", o.value_dim,
                       "a positive integer, or 0 for key_dim");
  if (o.value_dim == 0) o.value_dim = o.key_dim;
  static_cast<void>(o.output_shape.shape(path + ": output_shape"));
  if (o.sliding_window) detail::check_positive_integer(path, "sliding_window", *o.sliding_window);
  if (!o.num_key_value_heads) o.num_key_value_heads = o.num_heads;
  detail::check_key_value_heads(path, o.num_heads, *o.num_key_value_heads);
  if (o.rotary && !(o.rotary->max_wavelength > 0 && std::isfinite(o.rotary->max_wavelength))) {
    detail::fail<ValueError>(path, "rotary out of range: max_wavelength is ",
                             o.rotary->max_wavelength, ", expected a positive number");
  }
  constexpr std::ptrdiff_t kFar = std::ptrdiff_t{1} << 60U;
  detail::check_option(!o.rotary || (o.rotary->start > -kFar && o.rotary->start < kFar), path,
                       "rotary: start", o.rotary ? o.rotary->start : 0, "-2^60 to 2^60");
  if (o.rotary && o.key_dim % 2 != 0) {
    detail::fail<ValueError>(path, "key_dim is not even: key_dim is ", o.key_dim,
                             ", expected an even number for rotary positions");
  }
  return o;
}

template <class T>
typename Dense<T>::Options projection(const typename MultiHeadAttention<T>::Options& o, int heads,
                                      int dim) {
  return detail::forward_weight_options<typename Dense<T>::Options>(o, {.units = {heads, dim}});
}

template <class T>
typename Dense<T>::Options output_projection(const typename MultiHeadAttention<T>::Options& o) {
  return detail::forward_weight_options<typename Dense<T>::Options>(
      o, {.units = o.output_shape, .units_at_call = o.output_shape.empty(), .axes = 2});
}

}  // namespace

template <class T>
MultiHeadAttention<T>::MultiHeadAttention(const Scope<T>& scope, Options options)
    : path_(scope.path()),
      options_(checked<T>(path_, std::move(options))),
      query_(scope / "query", projection<T>(options_, options_.num_heads, options_.key_dim)),
      key_(scope / "key", projection<T>(options_, *options_.num_key_value_heads, options_.key_dim)),
      gate_(detail::layer_if<Dense<T>>(
          options_.use_gate, scope / "gate",
          projection<T>(options_, options_.num_heads, options_.value_dim))),
      value_(scope / "value",
             projection<T>(options_, *options_.num_key_value_heads, options_.value_dim)),
      attention_output_(scope / "attention_output", output_projection<T>(options_)),
      dropout_({.rate = options_.dropout, .seed = options_.seed, .name = path_ + "/dropout"}) {}

template <class T>
auto MultiHeadAttention<T>::layout(const PartialShape& query, const PartialShape& value,
                                   const PartialShape& key) const -> detail::AttentionLayout {
  const bool grouped = *options_.num_key_value_heads != options_.num_heads;
  detail::AttentionLayout l = detail::attention_layout(path_, options_.attention_axes, grouped,
                                                       query, value, key.empty() ? value : key);
  if ((options_.rotary || options_.sliding_window) && l.axes.size() != 1) {
    detail::fail<ShapeError>(path_, options_.rotary ? "rotary" : "sliding_window",
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

XTAPE_CLASS_FOR_REALS(MultiHeadAttention);

}  // namespace xtape
