#pragma once
/// \file
/// LanguageModel: a Transformer that continues a sequence of tokens.

#include <xtape/models/parts.hpp>

namespace xtape {

/// Options of LanguageModel; as those of Seq2Seq.
struct LanguageModelOptions {
  int vocabulary = 0;  ///< tokens 0 ... vocabulary - 1; positive
  int hidden_dim = 256;
  int num_heads = 4;
  int intermediate_dim = 1024;
  int layers = 4;
  bool normalize_first = true;
  std::optional<bool> final_norm = {};  ///< after the last layer. Default: with pre-norm
  Normalization normalization = Normalization::layer;
  double epsilon = 1e-5;
  Positions positions = Positions::learned;
  int max_length = 512;  ///< how many learned positions there are
  double max_wavelength = 10000.0;
  std::string activation = "gelu";
  double dropout = 0.0;
  std::optional<double> embedding_dropout = {};
  std::optional<double> attention_dropout = {};
  std::optional<double> activation_dropout = {};
  bool scale_embeddings = false;
  Tying tying = Tying::output;  ///< none or output
  bool use_bias = true;
  std::optional<bool> output_bias = {};
  std::optional<Initializer> embedding_initializer = {};
  std::optional<Initializer> position_initializer = {};
  Initializer kernel_initializer = "glorot_uniform";
  std::optional<Initializer> output_initializer = {};
  Initializer bias_initializer = "zeros";
  std::optional<int> num_key_value_heads = {};
  std::optional<std::int64_t> pad_id = {};    ///< of tokens that do not count
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
  using Options = LanguageModelOptions;
  using Caches = std::vector<DecoderCache<T>>;  ///< one per layer

  /// ValueError naming the option that is out of range, before anything is reserved.
  LanguageModel(const Scope<T>& scope, Options options);
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
  [[nodiscard]] const Options& options() const { return options_; }
  /// The options as JSON text, and back; see Seq2Seq.
  [[nodiscard]] std::string get_config() const;
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
