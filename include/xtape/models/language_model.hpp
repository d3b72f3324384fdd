#pragma once
/// \file
/// LanguageModel: a Transformer that continues a sequence of tokens.

#include <xtape/models/parts.hpp>

namespace xtape {

/// Options of LanguageModel; as those of Seq2Seq.
struct LanguageModelOptions {
  int vocabulary = 0;                   ///< tokens 0 ... vocabulary - 1; positive
  int hidden_dim = 256;                 ///< width of the vectors; a multiple of num_heads
  int num_heads = 4;                    ///< of every attention
  int intermediate_dim = 1024;          ///< width inside the feed-forward parts
  int layers = 4;                       ///< how many blocks
  bool normalize_first = true;          ///< pre-norm instead of post-norm
  std::optional<bool> final_norm = {};  ///< after the last layer. Default: with pre-norm
  Normalization normalization = Normalization::layer;     ///< layer or root mean square
  double epsilon = 1e-5;                                  ///< of the normalizations
  Positions positions = Positions::learned;               ///< learned, sine, rotary or none
  int max_length = 512;                                   ///< how many learned positions there are
  double max_wavelength = 10000.0;                        ///< of sines and of rotary positions
  std::string activation = "gelu";                        ///< inside the feed-forward parts
  double dropout = 0.0;                                   ///< rate on what each part adds
  std::optional<double> embedding_dropout = {};           ///< default: as dropout
  std::optional<double> attention_dropout = {};           ///< default: as dropout
  std::optional<double> activation_dropout = {};          ///< default: as dropout
  bool scale_embeddings = false;                          ///< multiplied by sqrt(hidden_dim)
  Tying tying = Tying::output;                            ///< none or output
  bool use_bias = true;                                   ///< in projections and feed-forward parts
  std::optional<bool> output_bias = {};                   ///< default: as use_bias, if not tied
  std::optional<Initializer> embedding_initializer = {};  ///< default: N(0, 1 / hidden_dim)
  std::optional<Initializer> position_initializer = {};   ///< default: as the embeddings
  Initializer kernel_initializer = "glorot_uniform";      ///< initial values of the kernel
  std::optional<Initializer> output_initializer = {};     ///< default: as kernel_initializer
  Initializer bias_initializer = "zeros";                 ///< initial values of the bias
  std::optional<int> num_key_value_heads = {};            ///< see MultiHeadAttention
  std::optional<std::int64_t> pad_id = {};                ///< of tokens that do not count
  std::optional<std::int64_t> start_id = {};  ///< what a text begins with, never written
  std::optional<std::int64_t> end_id = {};    ///< what ends a text
};

/// A stack of blocks with causal self-attention that gives, at each position, the logits of the token
/// after it.
///
/// Weights, below the scope: embedding/embeddings, positions/embeddings, decoder/0/..., norm/...,
/// output/kernel, output/bias.
template <class T> class LanguageModel {
 public:
  /// The options of the constructor.
  using Options = LanguageModelOptions;
  using Caches = std::vector<DecoderCache<T>>;  ///< one per layer

  /// ValueError naming the option that is out of range, before anything is reserved.
  LanguageModel(const Scope<T>& scope, Options options);
  /// Moves. The source must not be used afterwards.
  LanguageModel(LanguageModel&&) noexcept = default;

  /// ids (batch, T) -> logits (batch, T, vocabulary): those at position t are of the token after ids[t],
  /// and depend on ids[0] ... ids[t] only. `training` replaces the tape's. ValueError for a token
  /// outside the vocabulary or more positions than there are.
  Var<T> logits(const Tokens<T>& ids, std::optional<bool> training = {}) const;
  /// Mean of -log(probability) of the tokens `next` (batch, T), but padding, where `ids` (batch, T) is
  /// read: next[t] is the token after ids[t].
  Var<T> loss(const Tokens<T>& ids, const ArrayArg<std::int64_t>& next,
              const TokenLossOptions& options = {}) const;

  /// Caches for a batch of at most `length` positions.
  [[nodiscard]] Caches caches(std::size_t length) const;
  /// Step by step: `tokens` (batch, n) follow those that the caches have seen. Logits (batch,
  /// vocabulary) of the next token. Inference only.
  Var<T> step(const Tokens<T>& tokens, Caches& caches) const;
  /// Returns logits (batch, vocabulary) of the token after `ids` (batch, T) without caches: all positions
  /// are computed.
  Var<T> next(const Tokens<T>& ids) const;

  /// Makes all parameters without a call.
  void build() const;
  /// Returns the options.
  [[nodiscard]] const Options& options() const { return options_; }
  /// The options as JSON text, and back; see Seq2Seq.
  [[nodiscard]] std::string get_config() const;
  /// Returns options from such a text; see Seq2Seq. ValueError for other text.
  [[nodiscard]] static Options from_config(const std::string& config);

 private:
  Var<T> last_logits(const Var<T>& decoded) const;
  Var<T> decode(const Tokens<T>& ids, std::optional<bool> training, Caches* caches) const;

  std::string path_;
  Options options_;
  detail::TokenInput<T> input_;
  std::vector<TransformerDecoder<T>> decoder_;
  detail::FinalNorm<T> norm_;
  detail::TokenOutput<T> output_;
};

}  // namespace xtape
