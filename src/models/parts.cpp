#include <xtape/models/parts.hpp>

#include "base/instantiate.hpp"
#include "layers/transformer_parts.hpp"

#include <cmath>

namespace xtape::detail {

template <class T>
TokenInput<T>::TokenInput(const Scope<T>& table, const Scope<T>& positions, const Options& o)
    : table_(table, {.input_dim = o.vocabulary,
                     .output_dim = o.width,
                     .embeddings_initializer = o.embedding_initializer}),
      dropout_({.rate = o.dropout, .name = table.path() + "/dropout"}),
      factor_(o.scale ? static_cast<T>(std::sqrt(static_cast<double>(o.width))) : T(1)) {
  if (o.positions == Positions::sine) {
    sines_ = SinePositionEncoding<T>({.max_wavelength = o.max_wavelength});
  } else if (o.positions == Positions::learned) {
    learned_.emplace(positions,
                     typename PositionEmbedding<T>::Options{.sequence_length = o.max_length,
                                                            .initializer = o.position_initializer});
  }
}

template <class T>
Var<T> TokenInput<T>::operator()(const Tokens<T>& ids, std::size_t start,
                                 std::optional<bool> training) const {
  Var<T> x = table_(ids);
  if (factor_ != T(1)) x = x * factor_;
  if (sines_) x = x + (*sines_)(x, start);
  if (learned_) x = x + (*learned_)(x, start);
  return dropout_(x, training);
}

template <class T>
TokenOutput<T>::TokenOutput(const Scope<T>& scope, const Options& o)
    : vocabulary_(static_cast<std::size_t>(o.vocabulary)), bias_initializer_(o.bias_initializer) {
  if (!o.tied) {
    dense_.emplace(scope, typename Dense<T>::Options{.units = o.vocabulary,
                                                     .use_bias = o.use_bias,
                                                     .kernel_initializer = o.initializer,
                                                     .bias_initializer = o.bias_initializer});
  } else if (o.use_bias) {
    bias_ = scope.reserve("bias");
  }
}

template <class T>
Var<T> TokenOutput<T>::operator()(const Var<T>& x, const Embedding<T>& table) const {
  if (dense_) return (*dense_)(x);
  const Var<T> y = table.attend(x);
  if (!bias_) return y;
  const auto fan = static_cast<double>(vocabulary_);
  bias_->build(Shape{vocabulary_}, bias_initializer_, Fans{fan, fan});
  return y + bias_->value_for(y);
}

template <class T>
FinalNorm<T>::FinalNorm(const Scope<T>& scope, const TransformerOptions<T>& o, bool wanted) {
  if (wanted) norm_.emplace(norm_of(scope, o));
}

template <class T> Var<T> FinalNorm<T>::operator()(const Var<T>& x) const {
  if (!norm_) return x;
  return std::visit([&](const auto& norm) { return norm(x); }, *norm_);
}

XTAPE_CLASS_FOR_REALS(TokenInput);
XTAPE_CLASS_FOR_REALS(TokenOutput);
XTAPE_CLASS_FOR_REALS(FinalNorm);

}  // namespace xtape::detail
