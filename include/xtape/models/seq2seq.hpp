#pragma once
/// \file
/// Seq2Seq: a Transformer that reads one sequence of tokens and writes another.

#include <xtape/models/parts.hpp>

namespace xtape {

/// Options of Seq2Seq. All have a default but the sizes of the vocabularies.
struct Seq2SeqOptions {
  int source_vocabulary = 0;   ///< tokens 0 ... source_vocabulary - 1; positive
  int target_vocabulary = 0;   ///< likewise
  int hidden_dim = 256;        ///< width of the vectors; a multiple of num_heads
  int num_heads = 4;           ///< of every attention
  int intermediate_dim = 512;  ///< width inside the feed-forward parts
  int encoder_layers = 3;      ///< blocks of the encoder
  int decoder_layers = 3;      ///< blocks of the decoder
  /// Pre-norm, x + f(norm(x)), instead of post-norm, norm(x + f(x)).
  bool normalize_first = true;
  /// A normalization after the encoder's last layer, and one after the decoder's. Default: with
  /// pre-norm.
  std::optional<bool> final_norms = {};
  Normalization normalization = Normalization::layer;  ///< layer or root mean square
  double epsilon = 1e-5;                               ///< of the normalizations
  Positions positions = Positions::sine;               ///< sine, learned, rotary or none
  int max_length = 512;  ///< how many learned positions there are, of source and target each
  double max_wavelength = 10000.0;  ///< of sines and of rotary positions
  std::string activation = "relu";  ///< inside the feed-forward parts, by Activation's names
  double dropout = 0.0;             ///< rate on what each part of a block adds
  std::optional<double> embedding_dropout = {};   ///< on the input vectors; default: as `dropout`
  std::optional<double> attention_dropout = {};   ///< on probabilities; default: as `dropout`
  std::optional<double> activation_dropout = {};  ///< inside feed-forward; default: as `dropout`
  bool scale_embeddings = true;  ///< tokens' vectors are multiplied by sqrt(hidden_dim)
  Tying tying = Tying::none;     ///< Tying::all needs vocabularies of one size
  bool use_bias = true;          ///< in projections, feed-forward parts and layer normalizations
  std::optional<bool> output_bias = {};  ///< in the output layer; default: as use_bias, if not tied
  std::optional<Initializer> embedding_initializer = {};  ///< default: N(0, 1 / hidden_dim)
  std::optional<Initializer> position_initializer = {};   ///< default: as the embeddings
  Initializer kernel_initializer = "glorot_uniform";      ///< initial values of the kernel
  std::optional<Initializer> output_initializer = {};     ///< default: as kernel_initializer
  Initializer bias_initializer = "zeros";                 ///< initial values of the bias
  std::optional<int> num_key_value_heads = {};  ///< of self-attention, see MultiHeadAttention
  std::int64_t pad_id = 0;                      ///< of target tokens that do not count
  std::int64_t start_id = 2;                    ///< what a target begins with, to be read
  std::int64_t end_id = 3;                      ///< what it ends with, to be written
};

/// An encoder reads the source. A decoder writes the target token by token and attends to the encoder's
/// output and to its own tokens (Vaswani et al. 2017).
///
///     Params<float> params({.seed = 1});
///     Seq2Seq<float> model(params.scope(), {.source_vocabulary = 60, .target_vocabulary = 40});
///     auto loss = model.loss(tape.input(source), source_mask, tape.input(target_in), target_out);
///
/// The decoder reads start, y1, y2, ... (target_in) and must write y1, y2, ..., end (target_out). At a
/// position it has never read a token that it must write there or later. Masks are true where a token
/// exists. greedy(), beam_search() and sample() decode.
///
/// Weights, below the scope: source_embedding/embeddings, target_embedding/embeddings (one of
/// embedding/embeddings with Tying::all), source_positions/embeddings, target_positions/embeddings,
/// encoder/0/..., encoder_norm/..., decoder/0/..., decoder_norm/..., output/kernel, output/bias.
template <class T> class Seq2Seq {
 public:
  /// The options of the constructor.
  using Options = Seq2SeqOptions;
  using Caches = std::vector<DecoderCache<T>>;  ///< one per layer of the decoder

  /// Logits, and the attention of each decoder layer: probabilities (batch, heads, target
  /// positions, source positions).
  struct WithScores {
    Var<T> logits;                     ///< (batch, positions, target_vocabulary)
    std::vector<Var<T>> cross_scores;  ///< probabilities of the cross-attention, by layer
  };

  /// ValueError naming the option that is out of range, before anything is reserved.
  Seq2Seq(const Scope<T>& scope, Options options);
  /// Moves. The source must not be used afterwards.
  Seq2Seq(Seq2Seq&&) noexcept = default;

  /// source (batch, S) -> memory (batch, S, hidden_dim). `mask` (batch, S) says which tokens exist; by
  /// default all. `training` replaces the tape's. ValueError for a token outside the vocabulary or more
  /// positions than there are; ShapeError for anything that does not fit.
  Var<T> encode(const Tokens<T>& source, const OptionalArray<bool>& mask = {},
                std::optional<bool> training = {}) const;
  /// target (batch, T), memory (batch, S, hidden_dim) with the source's mask -> logits (batch, T,
  /// target_vocabulary): those at position t are of the token after target[t], and depend on target[0]
  /// ... target[t] only.
  Var<T> logits(const Tokens<T>& target, const Var<T>& memory, const OptionalArray<bool>& mask = {},
                std::optional<bool> training = {}) const;
  /// Returns the same logits and the scores of the cross-attentions.
  WithScores with_scores(const Tokens<T>& target, const Var<T>& memory,
                         const OptionalArray<bool>& mask = {},
                         std::optional<bool> training = {}) const;
  /// Mean of -log(probability) of the tokens target_out (batch, T) that are not padding, the decoder
  /// reading target_in (batch, T).
  Var<T> loss(const Tokens<T>& source, const OptionalArray<bool>& mask, const Tokens<T>& target_in,
              const ArrayArg<std::int64_t>& target_out, const TokenLossOptions& options = {}) const;

  /// Caches for a batch of at most `length` target positions.
  [[nodiscard]] Caches caches(std::size_t length) const;
  /// Step by step: `tokens` (batch, n), mostly n = 1, follow those that the caches have seen. Logits
  /// (batch, target_vocabulary) of the next token. The memory is looked at by the first call only.
  /// Inference only.
  Var<T> step(const Tokens<T>& tokens, const Var<T>& memory, const OptionalArray<bool>& mask,
              Caches& caches) const;
  /// Returns the same logits and the scores (batch, heads, n, S).
  WithScores step_with_scores(const Tokens<T>& tokens, const Var<T>& memory,
                              const OptionalArray<bool>& mask, Caches& caches) const;

  /// Returns logits (batch, target_vocabulary) of the token after `target` (batch, T) without caches: all
  /// positions are computed.
  Var<T> next(const Tokens<T>& target, const Var<T>& memory,
              const OptionalArray<bool>& mask = {}) const;
  /// Returns next() with the probabilities of the cross-attention.
  WithScores next_with_scores(const Tokens<T>& target, const Var<T>& memory,
                              const OptionalArray<bool>& mask = {}) const;

  /// Makes all parameters without a call.
  void build() const;
  /// Returns the options.
  [[nodiscard]] const Options& options() const { return options_; }
  /// Returns the options as JSON text, to be stored beside the weights. ValueError naming the option for a
  /// user's initializer, which cannot be written.
  [[nodiscard]] std::string get_config() const;
  /// Returns options from such a text; missing keys keep their defaults. ValueError naming the key for text
  /// that is not JSON, unknown keys, and values of another type. The constructor checks the ranges.
  [[nodiscard]] static Options from_config(const std::string& config);

 private:
  WithScores decode(const Tokens<T>& target, const Var<T>& memory, const OptionalArray<bool>& mask,
                    std::optional<bool> training, Caches* caches, bool only_last,
                    bool scores_wanted) const;

  std::string path_;
  Options options_;
  detail::TokenInput<T> source_, target_;
  std::vector<TransformerEncoder<T>> encoder_;
  detail::FinalNorm<T> encoder_norm_;
  std::vector<TransformerDecoder<T>> decoder_;
  detail::FinalNorm<T> decoder_norm_;
  detail::TokenOutput<T> output_;
};

}  // namespace xtape
