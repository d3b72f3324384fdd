#pragma once
/// \file
/// TransformerEncoder: one layer of the encoder of a Transformer (Vaswani et al. 2017), under
/// keras-hub's name (PyTorch's TransformerEncoderLayer), and the options that it shares with
/// TransformerDecoder.

#include <xtape/layers/attention/multi_head_attention.hpp>
#include <xtape/layers/feed_forward.hpp>
#include <xtape/layers/layer_normalization.hpp>
#include <xtape/layers/rms_normalization.hpp>

#include <variant>

namespace xtape {

/// The kind of a block's normalization.
enum class Normalization { layer, rms };

/// Options of both blocks.
template <class T> struct TransformerOptions {
  int hidden_dim = 0;        ///< width of the inputs; positive, a multiple of num_heads
  int num_heads = 0;         ///< positive
  int intermediate_dim = 0;  ///< width inside the feed-forward part; positive
  double dropout = 0.0;      ///< rate on what each part adds
  std::optional<double> attention_dropout = {};  ///< on the probabilities; default: as `dropout`
  double activation_dropout = 0.0;    ///< inside the feed-forward part; PyTorch's is as `dropout`
  Activation<T> activation = "relu";  ///< inside the feed-forward part
  /// Pre-norm, x + f(norm(x)), instead of post-norm, norm(x + f(x)). A stack of pre-norm blocks wants
  /// one more normalization after the last.
  bool normalize_first = false;
  Normalization normalization = Normalization::layer;  ///< layer or root mean square
  double epsilon = 1e-5;                               ///< of the normalizations
  bool use_bias = true;                                ///< in projections and normalizations
  Initializer kernel_initializer = "glorot_uniform";   ///< initial values of the kernel
  Initializer bias_initializer = "zeros";              ///< initial values of the bias
  std::optional<int> num_key_value_heads = {};  ///< of the self-attention, see MultiHeadAttention
  std::optional<RotaryOptions> rotary = {};     ///< of the self-attention
  bool trainable = true;                        ///< whether an optimizer updates the parameters
  Regularizer<T> kernel_regularizer = {};       ///< of each kernel, by itself
  Regularizer<T> bias_regularizer = {};         ///< penalty on the bias
};

namespace detail {

/// A part of a block with its normalization, dropout and sum.
template <class T> class ResidualPart {
 public:
  ResidualPart(const Scope<T>& norm, const TransformerOptions<T>& options);
  template <class F>
  Var<T> operator()(const Var<T>& x, std::optional<bool> training, F&& part) const {
    if (first_) return x + dropout_(part(normalized(x)), training);
    return normalized(x + dropout_(part(x), training));
  }
  void build(const Shape& input) const;

 private:
  Var<T> normalized(const Var<T>& x) const;
  bool first_;
  Dropout<T> dropout_;
  std::variant<LayerNormalization<T>, RMSNormalization<T>> norm_;
};

}  // namespace detail

/// Self-attention, then a feed-forward part; each is added to what it was given. Also the block of a
/// decoder-only model, with use_causal_mask.
///
/// Weights, below the scope: self_attention/..., self_attention_norm/..., feed_forward/...,
/// feed_forward_norm/....
template <class T> class TransformerEncoder {
 public:
  /// The options of the constructor.
  using Options = TransformerOptions<T>;

  /// Options of a call. Masks are boolean, true = attend.
  struct CallOptions {
    OptionalArray<bool> padding_mask = {};  ///< (batch, keys): positions that exist
    /// (T, keys), (batch, T, keys) or (batch, heads, T, keys), extents of 1 broadcasting.
    OptionalArray<bool> attention_mask = {};
    bool use_causal_mask = false;       ///< position i sees positions 0 ... i
    std::optional<bool> training = {};  ///< replaces the tape's
    /// Step by step: x holds the positions after those in the cache, and the masks' keys are all
    /// positions, held and new. Inference only.
    KeyValueCache<T>* cache = nullptr;
  };
  /// An output with the probabilities of the attention.
  struct WithScores {
    Var<T> output;  ///< the output of the layer
    Var<T> scores;  ///< attention probabilities (batch, heads, T, keys), before dropout
  };

  /// ValueError naming the argument for options out of range.
  TransformerEncoder(const Scope<T>& scope, Options options);
  /// Moves. The source must not be used afterwards.
  TransformerEncoder(TransformerEncoder&&) noexcept = default;

  /// x (batch, T, hidden_dim) -> the same shape. ShapeError naming the path for an input or mask that
  /// does not fit, before any work.
  Var<T> operator()(const Var<T>& x, const CallOptions& call = {}) const;
  /// Returns the same output and the probabilities.
  WithScores with_scores(const Var<T>& x, const CallOptions& call = {}) const;

 private:
  Var<T> run(const Var<T>& x, const CallOptions& call, Var<T>* scores) const;

  std::string path_;
  int heads_;
  std::size_t width_;
  MultiHeadAttention<T> attention_;
  detail::ResidualPart<T> attention_part_;
  FeedForward<T> feed_forward_;
  detail::ResidualPart<T> feed_forward_part_;
};

}  // namespace xtape
