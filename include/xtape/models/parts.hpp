#pragma once
/// \file
/// Shared by Seq2Seq and LanguageModel: kinds of positions and of shared tables, the options of losses,
/// and the first and last layers.

#include <xtape/layers/embedding.hpp>
#include <xtape/layers/positions.hpp>
#include <xtape/layers/transformer_decoder.hpp>
#include <xtape/losses/losses.hpp>

namespace xtape {

/// Encoding of positions: sines and cosines or learned vectors, added to the tokens' vectors; queries and
/// keys turned by angles (rotary); or none.
enum class Positions { sine, learned, rotary, none };

/// Which tables are one array: none; the (target) embedding and the output layer; or, in a Seq2Seq,
/// also the source embedding.
enum class Tying { none, output, all };

/// Options of a model's loss.
struct TokenLossOptions {
  double label_smoothing = 0.0;  ///< 0 to 1: this much of the target is spread over the vocabulary
  /// The mean over the tokens that count, or their sum.
  Reduction reduction = Reduction::sum_over_batch_size;
};

namespace detail {

/// Maps token ids to vectors: table, factor, positions, dropout.
template <class T> class TokenInput {
 public:
  struct Options {
    int vocabulary, width;
    Initializer embedding_initializer, position_initializer;
    bool scale;
    Positions positions;
    int max_length;
    double max_wavelength, dropout;
  };
  /// The table is reserved in the first scope, learned positions in the second.
  TokenInput(const Scope<T>& table, const Scope<T>& positions, const Options& options);
  /// ids (batch, length), at positions from `start` on -> (batch, length, width).
  Var<T> operator()(const Tokens<T>& ids, std::size_t start, std::optional<bool> training) const;
  [[nodiscard]] const Embedding<T>& table() const { return table_; }

 private:
  Embedding<T> table_;
  std::optional<SinePositionEncoding<T>> sines_;
  std::optional<PositionEmbedding<T>> learned_;
  Dropout<T> dropout_;
  T factor_;
};

/// Maps vectors to logits by a layer of its own or by the rows of a table.
template <class T> class TokenOutput {
 public:
  struct Options {
    int vocabulary, width;
    Initializer initializer, bias_initializer;
    bool tied, use_bias;
  };
  TokenOutput(const Scope<T>& scope, const Options& options);
  /// x (..., width) -> (..., vocabulary).
  Var<T> operator()(const Var<T>& x, const Embedding<T>& table) const;

 private:
  std::optional<Dense<T>> dense_;
  std::optional<Parameter<T>> bias_;  // of a tied layer
  std::size_t vocabulary_;
  Initializer bias_initializer_;
};

/// The normalization after a stack of blocks, or the identity.
template <class T> class FinalNorm {
 public:
  FinalNorm(const Scope<T>& scope, const TransformerOptions<T>& options, bool wanted);
  Var<T> operator()(const Var<T>& x) const;

 private:
  std::optional<std::variant<LayerNormalization<T>, RMSNormalization<T>>> norm_;
};

}  // namespace detail

}  // namespace xtape
