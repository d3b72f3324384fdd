#include <xtape/layers/embedding.hpp>

#include "base/instantiate.hpp"
#include "layers/common.hpp"

#include <xtape/ops/linalg.hpp>

namespace xtape {

using detail::fail;

template <class T>
Embedding<T>::Embedding(const Scope<T>& scope, Options options)
    : path_(scope.path()), options_(std::move(options)) {
  if (options_.input_dim <= 0 || options_.output_dim <= 0) {
    fail<ValueError>(path_, "extent out of range: input_dim is ", options_.input_dim,
                     " and output_dim is ", options_.output_dim, ", expected positive integers");
  }
  embeddings_ = scope.reserve("embeddings", options_.trainable, options_.embeddings_regularizer,
                              options_.embeddings_constraint);
}

template <class T> void Embedding<T>::build() const {
  if (embeddings_.built()) return;
  const auto rows = static_cast<std::size_t>(options_.input_dim);
  const auto width = static_cast<std::size_t>(options_.output_dim);
  embeddings_.build({rows, width}, options_.embeddings_initializer,
                    Fans{static_cast<double>(rows), static_cast<double>(width)});
}

template <class T> Var<T> Embedding<T>::operator()(const Tokens<T>& ids) const {
  const Array<std::int64_t>& values = ids.value();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t id = values.data()[i];
    if (id < 0 || id >= options_.input_dim) {
      fail<ValueError>(path_, "id out of range: element ", i, " of ids ", to_string(ids.shape()),
                       " is ", id, ", expected 0 to ", options_.input_dim - 1,
                       "; enlarge input_dim, or map unknown tokens to an id of their own");
    }
  }
  build();
  const Var<T> y = embedding_lookup(embeddings_.value_for(ids.node_ref()), ids);
  detail::penalize_output(path_, options_.activity_regularizer, y,
                          ids.shape().empty() ? 1 : ids.shape()[0]);
  return detail::note_layer_call(path_, "Embedding", y);
}

template <class T> Var<T> Embedding<T>::attend(const Var<T>& x) const {
  if (x.rank() == 0 || x.shape().back() != static_cast<std::size_t>(options_.output_dim)) {
    fail<ShapeError>(path_, "width differs: x is ", to_string(x.shape()),
                     ", expected a last axis of ", options_.output_dim,
                     ", the width of the table; project x to it first");
  }
  build();
  return matmul(x, embeddings_.value_for(x), {.transpose_b = true});
}

template <class T> OptionalArray<bool> Embedding<T>::compute_mask(const Tokens<T>& ids) const {
  if (!options_.mask_zero) return std::nullopt;
  Array<bool> mask(ids.shape());
  for (std::size_t i = 0; i < mask.size(); ++i) mask.data()[i] = ids.value().data()[i] != 0;
  return mask;
}

XTAPE_CLASS_FOR_REALS(Embedding);

}  // namespace xtape
