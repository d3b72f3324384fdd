#include "layers/transformer_parts.hpp"

#include "base/instantiate.hpp"
#include "layers/attention/masks.hpp"

namespace xtape::detail {

template <class T>
std::variant<LayerNormalization<T>, RMSNormalization<T>> norm_of(const Scope<T>& scope,
                                                                 const TransformerOptions<T>& o) {
  if (o.normalization == Normalization::rms) {
    return RMSNormalization<T>(scope, {.epsilon = o.epsilon, .trainable = o.trainable});
  }
  return LayerNormalization<T>(
      scope, {.epsilon = o.epsilon, .center = o.use_bias, .trainable = o.trainable});
}
XTAPE_FOR_REALS(norm_of);

template <class T>
const TransformerOptions<T>& checked(const std::string& path, const TransformerOptions<T>& o) {
  check_positive_integer(path, "hidden_dim", o.hidden_dim);
  check_positive_integer(path, "num_heads", o.num_heads);
  check_positive_integer(path, "intermediate_dim", o.intermediate_dim);
  if (o.hidden_dim % o.num_heads != 0) {
    fail<ValueError>(path, "num_heads does not divide: hidden_dim is ", o.hidden_dim,
                     ", num_heads is ", o.num_heads,
                     ", expected hidden_dim to be a multiple of num_heads");
  }
  check_unit(path, "dropout", o.dropout, true);
  check_unit(path, "attention_dropout", o.attention_dropout.value_or(o.dropout), true);
  check_unit(path, "activation_dropout", o.activation_dropout, true);
  check_option(o.epsilon >= 0, path, "epsilon", o.epsilon, ">= 0");
  return o;
}
XTAPE_FOR_REALS(checked);

template <class T>
typename MultiHeadAttention<T>::Options attention_options(const TransformerOptions<T>& o,
                                                          bool self) {
  using Options = typename MultiHeadAttention<T>::Options;
  auto a = forward_weight_options<Options>(o, {.num_heads = o.num_heads,
                                               .key_dim = o.hidden_dim / o.num_heads,
                                               .dropout = o.attention_dropout.value_or(o.dropout)});
  if (self) {
    a.num_key_value_heads = o.num_key_value_heads;
    a.rotary = o.rotary;
  }
  return a;
}
XTAPE_FOR_REALS(attention_options);

template <class T>
typename FeedForward<T>::Options feed_forward_options(const TransformerOptions<T>& o) {
  using Options = typename FeedForward<T>::Options;
  return forward_weight_options<Options>(o, {.intermediate_dim = o.intermediate_dim,
                                             .activation = o.activation,
                                             .dropout = o.activation_dropout});
}
XTAPE_FOR_REALS(feed_forward_options);

template <class T> void check_input(const std::string& path, const Var<T>& x, std::size_t width) {
  if (x.rank() != 3 || x.shape()[2] != width) {
    fail<ShapeError>(path, "input does not fit: x is ", xtape::to_string(x.shape()),
                     ", expected (batch, positions, ", width, "), the hidden_dim of the layer");
  }
}
XTAPE_FOR_REALS(check_input);

void check_masks(const std::string& path, const char* padding_name,
                 const OptionalArray<bool>& padding, const char* mask_name,
                 const OptionalArray<bool>& mask, const Shape& scores) {
  const Shape keys{scores[0], scores[3]};
  if (padding && padding->shape() != keys) {
    fail<ShapeError>(path, padding_name, " does not fit: ", padding_name, " is ",
                     xtape::to_string(padding->shape()), ", expected ", xtape::to_string(keys),
                     "; true means attend");
  }
  if (mask && !with_missing_axes(mask->shape(), 1, scores)) {
    fail<ShapeError>(
        path, mask_name, " does not fit: ", mask_name, " is ", xtape::to_string(mask->shape()),
        ", expected 2 to 4 axes, each 1 or that of the scores ", xtape::to_string(scores),
        " (missing ones are inserted before the query axis); true means attend");
  }
}

template <class T>
ResidualPart<T>::ResidualPart(const Scope<T>& norm, const TransformerOptions<T>& options)
    : first_(options.normalize_first),
      dropout_({.rate = options.dropout, .name = norm.path() + "/dropout"}),
      norm_(norm_of(norm, options)) {}

template <class T> Var<T> ResidualPart<T>::normalized(const Var<T>& x) const {
  return std::visit([&](const auto& norm) { return norm(x); }, norm_);
}

template <class T> void ResidualPart<T>::build(const Shape& input) const {
  std::visit([&](const auto& norm) { norm.build(input); }, norm_);
}

XTAPE_CLASS_FOR_REALS(ResidualPart);

}  // namespace xtape::detail
