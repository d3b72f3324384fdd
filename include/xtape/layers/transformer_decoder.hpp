#pragma once
/// \file
/// TransformerDecoder: one layer of the decoder of a Transformer (Vaswani et al. 2017), under
/// keras-hub's name (PyTorch's TransformerDecoderLayer), and its cache for decoding step by step.

#include <xtape/layers/transformer_encoder.hpp>

namespace xtape {

/// Keys and values that one TransformerDecoder keeps while decoding step by step: of the positions
/// before, and of the encoder's output, projected once.
template <class T> class DecoderCache {
 public:
  /// Room for `capacity` positions. ValueError for 0.
  explicit DecoderCache(std::size_t capacity) : self_(capacity) {}
  /// Positions held.
  [[nodiscard]] std::size_t length() const noexcept { return self_.length(); }
  /// Returns how many target positions fit.
  [[nodiscard]] std::size_t capacity() const noexcept { return self_.capacity(); }
  /// Replaces row b by row rows[b]: beams continue their parents. The batch may change its size.
  /// ValueError for a row out of range; then nothing is changed.
  void reorder(const ArrayArg<std::int64_t>& rows);
  /// Forgets everything, for another batch.
  void clear() noexcept;

  // For TransformerDecoder.
  /// Returns the cache of the self-attention.
  [[nodiscard]] KeyValueCache<T>& self() noexcept { return self_; }
  /// Returns the keys and values of the memory, after the first call.
  [[nodiscard]] std::optional<KeyValueCache<T>>& cross() noexcept { return cross_; }

 private:
  KeyValueCache<T> self_;
  std::optional<KeyValueCache<T>> cross_;
};

/// Whether a TransformerDecoder looks at an encoder's output.
enum class CrossAttention { yes, no };

/// Causal self-attention, attention over an encoder's output, then a feed-forward part; each is added
/// to what it was given.
///
/// Weights, below the scope: self_attention/..., self_attention_norm/..., cross_attention/...,
/// cross_attention_norm/..., feed_forward/..., feed_forward_norm/....
template <class T> class TransformerDecoder {
 public:
  /// The options of the constructor.
  using Options = TransformerOptions<T>;

  /// Options of a call. Masks are boolean, true = attend; their shapes are those
  /// of TransformerEncoder's.
  struct CallOptions {
    OptionalArray<bool> decoder_padding_mask = {};    ///< (batch, T)
    OptionalArray<bool> decoder_attention_mask = {};  ///< of the self-attention
    OptionalArray<bool> encoder_padding_mask = {};    ///< (batch, S)
    OptionalArray<bool> encoder_attention_mask = {};  ///< of the attention over the encoder
    bool use_causal_mask = true;                      ///< position i sees positions 0 ... i of x
    std::optional<bool> training = {};                ///< replaces the tape's
    /// Step by step: x holds the positions after those in the cache, and the keys of the
    /// self-attention's masks are all positions, held and new. Inference only.
    DecoderCache<T>* cache = nullptr;
  };
  /// An output with the probabilities of the attention.
  struct WithScores {
    Var<T> output;        ///< the output of the layer
    Var<T> self_scores;   ///< probabilities (batch, heads, T, T), before dropout
    Var<T> cross_scores;  ///< (batch, heads, T, S); empty without cross-attention
  };

  /// ValueError naming the argument for options out of range.
  TransformerDecoder(const Scope<T>& scope, Options options,
                     CrossAttention cross = CrossAttention::yes);
  /// Moves. The source must not be used afterwards.
  TransformerDecoder(TransformerDecoder&&) noexcept = default;

  /// x (batch, T, hidden_dim), memory (batch, S, features), the encoder's output -> (batch, T,
  /// hidden_dim). With a cache only its first call looks at memory. ShapeError naming the path for an
  /// input or mask that does not fit, before any work.
  Var<T> operator()(const Var<T>& x, const Var<T>& memory, const CallOptions& call = {}) const;
  /// Computes a decoder without cross-attention.
  Var<T> operator()(const Var<T>& x, const CallOptions& call = {}) const;
  /// Returns the same output and the probabilities. Without cross-attention memory is an empty Var.
  WithScores with_scores(const Var<T>& x, const Var<T>& memory, const CallOptions& call = {}) const;

 private:
  void check(const Var<T>& x, const Var<T>& memory, const CallOptions& call) const;
  Var<T> run(const Var<T>& x, const Var<T>& memory, const CallOptions& call,
             WithScores* scores) const;
  Var<T> blocks(const Var<T>& x, const Var<T>& memory, const CallOptions& call,
                DecoderCache<T>* cache, WithScores* scores) const;

  std::string path_;
  int heads_;
  std::size_t width_;
  MultiHeadAttention<T> attention_;
  detail::ResidualPart<T> attention_part_;
  std::optional<MultiHeadAttention<T>> cross_attention_;
  std::optional<detail::ResidualPart<T>> cross_part_;
  FeedForward<T> feed_forward_;
  detail::ResidualPart<T> feed_forward_part_;
};

}  // namespace xtape
