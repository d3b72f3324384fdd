#pragma once
/// \file
/// Multi-head attention (Vaswani et al. 2017), with the arguments and weights of Keras's
/// MultiHeadAttention.

#include <xtape/layers/dense.hpp>
#include <xtape/layers/dropout.hpp>
#include <xtape/layers/softmax.hpp>

#include <optional>

namespace xtape {

/// Projects query, key and value to `num_heads` heads, weights the values by the softmax of the
/// scaled products of queries and keys, and projects the heads together.
///
/// Inputs are (batch, axes..., features) of rank 3 or more; query and value may differ in the
/// attention axes and in width. Weights, below the scope: query/kernel (features, heads, key_dim),
/// query/bias (heads, key_dim), key/..., value/... with value_dim, attention_output/kernel (heads,
/// value_dim, outputs...), attention_output/bias (outputs...).
///
/// Masks are boolean, true = attend. A query position that may attend to nothing has all-zero scores.
template <class T>
class MultiHeadAttention {
 public:
  struct Options {
    int num_heads = 0;            ///< positive
    int key_dim = 0;              ///< per head, of queries and keys; positive
    int value_dim = 0;            ///< per head, of values; 0 = key_dim
    double dropout = 0.0;         ///< rate on the attention probabilities
    bool use_bias = true;         ///< on all four projections
    Extents output_shape = {};    ///< replaces the query's last axis; default: the query's width
    Axes attention_axes = {};     ///< axes attended over; default: all but batch and features
    Initializer kernel_initializer = "glorot_uniform";
    Initializer bias_initializer = "zeros";
    std::optional<std::uint64_t> seed = {};  ///< of the dropout; replaces the tape's
    bool trainable = true;
  };

  /// What a call may add to query and value.
  struct CallOptions {
    std::optional<Var<T>> key = {};  ///< default: the value
    /// Broadcast to (batch, free axes..., heads, query axes..., key axes...): axes it lacks are
    /// inserted before the query axes, the heads' first, as Keras does.
    std::optional<Array<bool>> attention_mask = {};
    std::optional<Array<bool>> query_mask = {};  ///< (batch, T), rank-3 inputs only
    std::optional<Array<bool>> value_mask = {};  ///< (batch, S), rank-3 inputs only
    std::optional<Array<bool>> key_mask = {};    ///< (batch, S), rank-3 inputs only
    bool use_causal_mask = false;                ///< query i sees keys 0 ... i; one attention axis
    std::optional<bool> training = {};           ///< replaces the tape's
  };

  /// Output and attention probabilities (before dropout), both differentiable.
  struct WithScores {
    Var<T> output;
    Var<T> scores;
  };

  /// ValueError naming the argument for options out of range.
  MultiHeadAttention(const Scope<T>& scope, Options options);
  MultiHeadAttention(MultiHeadAttention&&) noexcept = default;

  /// query (B, T..., Dq), value (B, S..., Dv) -> (B, T..., outputs...). ShapeError naming the path,
  /// the operand and the rule for anything that does not fit, before any work.
  Var<T> operator()(const Var<T>& query, const Var<T>& value, const CallOptions& call = {}) const;
  /// The same, with the scores (B, free axes..., heads, T..., S...). Asking changes no bit of the
  /// output.
  WithScores with_scores(const Var<T>& query, const Var<T>& value,
                         const CallOptions& call = {}) const;
  /// Makes the parameters for inputs of these shapes without computing.
  void build(const Shape& query, const Shape& value, const std::optional<Shape>& key = {}) const;

 private:
  struct Layout;
  Layout layout(const Shape& query, const Shape& value, const Shape& key) const;
  std::optional<Array<bool>> combined_mask(const Layout& l, const CallOptions& call) const;

  std::string path_;
  Options options_;
  Dense<T> query_;
  Dense<T> key_;
  Dense<T> value_;
  Dense<T> attention_output_;
  Dropout<T> dropout_;
};

}  // namespace xtape
