#include <xtape/layers/embedding.hpp>

#include "base/message.hpp"

#include <xtape/detail/tape_state.hpp>

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

template <class T>
void Embedding<T>::build() const {
  if (embeddings_.built()) return;
  const auto rows = static_cast<std::size_t>(options_.input_dim);
  const auto width = static_cast<std::size_t>(options_.output_dim);
  embeddings_.build({rows, width}, options_.embeddings_initializer,
                    {static_cast<double>(rows), static_cast<double>(width)});
}

template <class T>
Var<T> Embedding<T>::operator()(const Tokens<T>& ids) const {
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
  return embedding_lookup(embeddings_.on(ids.place()), ids);
}

template <class T>
std::optional<Array<bool>> Embedding<T>::compute_mask(const Tokens<T>& ids) const {
  if (!options_.mask_zero) return std::nullopt;
  Array<bool> mask(ids.shape());
  for (std::size_t i = 0; i < mask.size(); ++i) mask.data()[i] = ids.value().data()[i] != 0;
  return mask;
}

template class Embedding<float>;
template class Embedding<double>;

}  // namespace xtape
