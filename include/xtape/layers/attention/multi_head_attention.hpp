#pragma once
/// \file
/// Multi-head attention (Vaswani et al. 2017), with the arguments and weights of Keras's
/// MultiHeadAttention.

#include <xtape/layers/attention/key_value_cache.hpp>
#include <xtape/layers/attention/mask.hpp>
#include <xtape/layers/dense.hpp>
#include <xtape/layers/dropout.hpp>
#include <xtape/layers/softmax.hpp>
#include <xtape/ops/rotary.hpp>

#include <optional>

namespace xtape {

namespace detail {
struct AttentionLayout;
template <class T> struct AttentionOperands;
}  // namespace detail

/// Projects query, key and value to `num_heads` heads, weights the values by the softmax of the
/// scaled products of queries and keys, and projects the heads together.
///
/// Inputs are (batch, axes..., features) of rank 3 or more; query and value may differ in the
/// attention axes and in width. Weights, below the scope: query/kernel (features, heads, key_dim),
/// query/bias (heads, key_dim), key/..., (gate/...,) value/... with value_dim,
/// attention_output/kernel (heads, value_dim, outputs...), attention_output/bias (outputs...).
///
/// Masks are boolean, true = attend; all sources are combined. A query position that may attend to
/// nothing has all-zero scores, and its output is the output bias. The content of a masked position,
/// also NaN or infinity, changes nothing.
template <class T> class MultiHeadAttention {
 public:
  /// Options, with their defaults.
  struct Options {
    int num_heads = 0;          ///< positive
    int key_dim = 0;            ///< per head, of queries and keys; positive
    int value_dim = 0;          ///< per head, of values; 0 = key_dim
    double dropout = 0.0;       ///< rate on the attention probabilities
    bool use_bias = true;       ///< on all four projections
    Extents output_shape = {};  ///< replaces the query's last axis; default: the query's width
    Axes attention_axes = {};   ///< axes attended over; default: all but batch and features
    Initializer kernel_initializer = "glorot_uniform";  ///< initial values of the kernel
    Initializer bias_initializer = "zeros";             ///< initial values of the bias
    std::optional<std::uint64_t> seed = {};             ///< of the dropout; replaces the tape's
    bool trainable = true;  ///< whether an optimizer updates the parameters
    bool use_gate =
        false;  ///< a sigmoid of a projection of the query multiplies the heads' outputs
    std::optional<int> sliding_window = {};  ///< attend only where |i - j| < window; positive
    /// Heads of keys and values (grouped and multi-query attention); must divide num_heads. Query
    /// head h uses key head h / (num_heads / num_key_value_heads). Default: num_heads.
    std::optional<int> num_key_value_heads = {};
    std::optional<RotaryOptions> rotary = {};  ///< turn queries and keys by their positions
    Regularizer<T> kernel_regularizer = {};    ///< of each projection's kernel, by itself
    Regularizer<T> bias_regularizer = {};      ///< penalty on the bias
    /// Penalizes each projection's output, divided by the batch (Keras's rule since 3.14); see
    /// Tape::penalties.
    Regularizer<T> activity_regularizer = {};
    Constraint<T> kernel_constraint = {};  ///< applied to each kernel after each update
    Constraint<T> bias_constraint = {};    ///< limit of the bias after each update
  };

  /// Options of a call, beside query and value.
  struct CallOptions {
    std::optional<Var<T>> key = {};  ///< default: the value
    /// Broadcast to (batch, free axes..., heads, query axes..., key axes...): axes it lacks are
    /// inserted before the query axes, the heads' first, as Keras does.
    OptionalArray<bool> attention_mask = {};
    Mask mask = {};                       ///< each condition by name; one attention axis
    OptionalArray<bool> query_mask = {};  ///< (batch, T), rank-3 inputs only
    OptionalArray<bool> value_mask = {};  ///< (batch, S), rank-3 inputs only
    OptionalArray<bool> key_mask = {};    ///< (batch, S), rank-3 inputs only
    bool use_causal_mask = false;         ///< query i sees keys 0 ... i; one attention axis
    std::optional<bool> training = {};    ///< replaces the tape's
    /// Added to the scaled products before the softmax; broadcast as attention_mask is.
    std::optional<Var<T>> attention_bias = {};
    /// One slope per head: -slope * |i - j| is added (Press et al. 2022). One attention axis.
    OptionalArray<T> alibi_slopes = {};
    /// Decoding step by step: the keys and values of this call are appended, and the queries attend
    /// to all held. Positions (causal mask, windows, slopes, rotary) go on from those held before.
    /// Rank-3 inputs.
    KeyValueCache<T>* cache = nullptr;
    /// Attend to what the cache holds without appending; value and key are not looked at. For
    /// cross-attention after its first step.
    bool cache_read_only = false;
  };

  /// Output and attention probabilities (before dropout), both differentiable.
  struct WithScores {
    Var<T> output;  ///< the output of the layer
    Var<T> scores;  ///< attention probabilities
  };

  /// ValueError naming the argument for options out of range.
  MultiHeadAttention(const Scope<T>& scope, Options options);
  /// Moves. The source must not be used afterwards.
  MultiHeadAttention(MultiHeadAttention&&) noexcept = default;

  /// query (B, T..., Dq), value (B, S..., Dv) -> (B, T..., outputs...). ShapeError naming the path,
  /// the operand and the rule for anything that does not fit, before any work.
  Var<T> operator()(const Var<T>& query, const Var<T>& value, const CallOptions& call = {}) const;
  /// Returns the same output and the scores (B, free axes..., heads, T..., S...).
  WithScores with_scores(const Var<T>& query, const Var<T>& value,
                         const CallOptions& call = {}) const;
  /// Makes the parameters for inputs of these shapes without computing.
  void build(const Shape& query, const Shape& value, const std::optional<Shape>& key = {}) const;

  /// Shapes with -1 for an extent not known yet, such as the batch.
  using PartialShape = std::vector<std::ptrdiff_t>;
  /// Shape of the output for inputs of these shapes. ShapeError as for a call.
  [[nodiscard]] PartialShape compute_output_shape(const PartialShape& query,
                                                  const PartialShape& value,
                                                  const PartialShape& key = {}) const;
  /// Shape of the scores.
  [[nodiscard]] PartialShape compute_scores_shape(const PartialShape& query,
                                                  const PartialShape& value,
                                                  const PartialShape& key = {}) const;
  /// The options as JSON text in the form of Keras's get_config, which Keras's from_config reads, but
  /// for num_key_value_heads, rotary and convolution fans, which Keras lacks. The name is the end of
  /// the path. ValueError naming the option for a function of the user's, which cannot be written.
  [[nodiscard]] std::string get_config() const;
  /// Returns options from such a text, or from one of Keras 3 or tf-keras:
  /// MultiHeadAttention<float> layer(scope, MultiHeadAttention<float>::from_config(text)). The scope
  /// names the layer, T is its dtype, and the seeds of initializers must be null, for Params has it.
  /// ValueError for text that is not JSON, for unknown keys, and for values of another type,
  /// naming the key. The constructor checks the ranges.
  [[nodiscard]] static Options from_config(const std::string& config);

  /// The output's mask: that of the query.
  [[nodiscard]] OptionalArray<bool> compute_mask(const OptionalArray<bool>& query_mask) const {
    return query_mask;
  }

 private:
  struct Call;
  using Operands = detail::AttentionOperands<T>;
  detail::AttentionLayout layout(const PartialShape& query, const PartialShape& value,
                                 const PartialShape& key) const;
  Call plan(const Var<T>& query, const Var<T>& value, const CallOptions& call) const;
  Operands project(const Operands& x, const Call& c) const;
  std::vector<Var<T>> attend(const Call& c, Operands p, bool scores_wanted) const;
  WithScores compute(const Var<T>& query, const Var<T>& value, const CallOptions& call,
                     bool scores_wanted) const;
  detail::NodeRef<T> check_operands(const Var<T>& query, const Var<T>& value,
                                    const CallOptions& call) const;

  std::string path_;
  Options options_;
  Dense<T> query_;
  Dense<T> key_;
  std::optional<Dense<T>> gate_;
  Dense<T> value_;
  Dense<T> attention_output_;
  Dropout<T> dropout_;
};

}  // namespace xtape
