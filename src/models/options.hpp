#pragma once
// Shared by the options of Seq2Seq and LanguageModel: checks, and the options of a model's parts.

#include "layers/transformer_parts.hpp"

#include <xtape/models/parts.hpp>
#include <xtape/ops/shape.hpp>

#include <cmath>
#include <string>

namespace xtape::detail {

inline void check_id(const std::string& path, const char* name, std::int64_t id, int vocabulary) {
  check_option(id >= 0 && id < vocabulary, path, name, id, "0 to ", vocabulary - 1,
               ", a token of the vocabulary");
}

template <class T, class Options> TransformerOptions<T> block_options(const Options& o) {
  TransformerOptions<T> b{.hidden_dim = o.hidden_dim,
                          .num_heads = o.num_heads,
                          .intermediate_dim = o.intermediate_dim,
                          .dropout = o.dropout,
                          .attention_dropout = o.attention_dropout.value_or(o.dropout),
                          .activation_dropout = o.activation_dropout.value_or(o.dropout),
                          .activation = o.activation,
                          .normalize_first = o.normalize_first,
                          .normalization = o.normalization,
                          .epsilon = o.epsilon,
                          .num_key_value_heads = o.num_key_value_heads};
  if (o.positions == Positions::rotary)
    b.rotary = RotaryOptions{.max_wavelength = o.max_wavelength};
  return forward_weight_options(o, std::move(b));
}

/// Throws ValueError for an option of both models that is out of range.
template <class T, class Options> void check_common(const std::string& path, const Options& o) {
  try {
    static_cast<void>(Activation<T>(o.activation));
  } catch (const ValueError& e) {
    fail<ValueError>(path, "activation: ", e.what());
  }
  static_cast<void>(checked(path, block_options<T>(o)));
  check_number(path, "epsilon", o.epsilon);
  check_unit(path, "embedding_dropout", o.embedding_dropout.value_or(0), true);
  if (o.activation == "glu" && o.intermediate_dim % 2 != 0) {
    fail<ValueError>(path, "intermediate_dim is not even: intermediate_dim is ", o.intermediate_dim,
                     ", expected an even number for the activation glu");
  }
  check_key_value_heads(path, o.num_heads, o.num_key_value_heads.value_or(o.num_heads));
  if (o.positions == Positions::learned) check_positive_integer(path, "max_length", o.max_length);
  check_positive(path, "max_wavelength", o.max_wavelength);
  if (o.positions == Positions::rotary && o.hidden_dim / o.num_heads % 2 != 0) {
    fail<ValueError>(path, "width of a head is not even: hidden_dim is ", o.hidden_dim,
                     " and num_heads is ", o.num_heads,
                     ", expected an even quotient for rotary positions");
  }
}

template <class T, class Options>
typename TokenInput<T>::Options input_options(const Options& o, int vocabulary) {
  const Initializer normal =
      initializers::RandomNormal{.stddev = 1 / std::sqrt(static_cast<double>(o.hidden_dim))};
  const Initializer embedding = o.embedding_initializer.value_or(normal);
  return {.vocabulary = vocabulary,
          .width = o.hidden_dim,
          .embedding_initializer = embedding,
          .position_initializer = o.position_initializer.value_or(embedding),
          .scale = o.scale_embeddings,
          .positions = o.positions,
          .max_length = o.max_length,
          .max_wavelength = o.max_wavelength,
          .dropout = o.embedding_dropout.value_or(o.dropout)};
}

template <class T, class Options>
typename TokenOutput<T>::Options output_options(const Options& o, int vocabulary) {
  const bool tied = o.tying != Tying::none;
  return {.vocabulary = vocabulary,
          .width = o.hidden_dim,
          .initializer = o.output_initializer.value_or(o.kernel_initializer),
          .bias_initializer = o.bias_initializer,
          .tied = tied,
          .use_bias = o.output_bias.value_or(o.use_bias && !tied)};
}

/// Returns the mean or sum of the losses of tokens that are not padding.
template <class T>
Var<T> token_loss(const Var<T>& logits, const Array<std::int64_t>& targets,
                  std::optional<std::int64_t> pad_id, const TokenLossOptions& options) {
  return sparse_categorical_crossentropy(logits, targets,
                                         {.from_logits = true,
                                          .ignore_class = pad_id,
                                          .label_smoothing = options.label_smoothing,
                                          .reduction = options.reduction});
}

/// Throws ShapeError unless ids are (batch, positions).
template <class T>
void check_tokens(const std::string& path, const char* name, const Tokens<T>& ids) {
  if (ids.shape().size() != 2) {
    fail<ShapeError>(path, name, " does not fit: ", name, " is ", to_string(ids.shape()),
                     ", expected (batch, positions)");
  }
}

/// Throws ShapeError unless targets have the shape of the tokens that the decoder reads.
template <class T>
void check_targets(const std::string& path, const char* read_name, const Tokens<T>& read,
                   const char* name, const Array<std::int64_t>& targets) {
  check_tokens(path, read_name, read);
  if (targets.shape() != read.shape()) {
    fail<ShapeError>(path, name, " does not fit: ", name, " is ", to_string(targets.shape()),
                     ", expected ", to_string(read.shape()), ", the shape of ", read_name);
  }
}

/// Throws ValueError unless there is one cache for each layer.
template <class T>
void check_caches(const std::string& path, std::size_t layers,
                  const std::vector<DecoderCache<T>>& caches) {
  if (caches.size() != layers) {
    fail<ValueError>(path, "another number of caches: there are ", caches.size(), ", expected ",
                     layers, ", one for each layer of the decoder; make them with caches()");
  }
}

/// Returns f(). If it throws, the caches (which may be null) are cut back to what they held.
template <class T, class F> auto restoring(std::vector<DecoderCache<T>>* caches, F&& f) {
  const std::size_t held = caches == nullptr ? 0 : caches->front().length();
  try {
    return f();
  } catch (...) {
    for (std::size_t i = 0; caches != nullptr && i < caches->size(); ++i) {
      DecoderCache<T>& cache = (*caches)[i];
      if (held == 0) {
        cache.clear();
      } else if (cache.length() > held) {
        cache.self().truncate(held);
      }
    }
    throw;
  }
}

/// Returns `count` blocks, numbered below the scope.
template <class Block, class T, class... More>
std::vector<Block> stack(const Scope<T>& scope, int count, const TransformerOptions<T>& options,
                         More... more) {
  std::vector<Block> blocks;
  for (int i = 0; i < count; ++i) blocks.emplace_back(scope / i, options, more...);
  return blocks;
}

/// Returns the last position (batch, width) of x (batch, positions, width).
template <class T> Var<T> last_position(const Var<T>& x) {
  if (x.shape()[1] == 1) return reshape(x, Shape{x.shape()[0], x.shape()[2]});
  return slice(x, {Slice::all(), Slice::at(-1)});
}

}  // namespace xtape::detail
