#pragma once
// Softmax-weighted sums of values as one operation, which never holds the scores unless asked to.

#include "array/shapes.hpp"

#include <xtape/ops/dropout.hpp>

#include <functional>
#include <optional>
#include <vector>

namespace xtape::detail {

/// Who sees whom, as a conjunction: key j is seen by query i if all of it says so. All but `pairs` is
/// for attention over one axis.
struct Visibility {
  static constexpr Index kAll = Index{1} << 60U;
  std::optional<Array<bool>> queries;  // (batch, queries)
  std::optional<Array<bool>> keys;     // (batch, keys)
  Index behind = kAll, ahead = kAll;   // -behind <= j - i <= ahead
  std::optional<Array<bool>> pairs;    // with the rank of the scores, broadcasting to them

  [[nodiscard]] bool everything() const {
    return !queries && !keys && !pairs && behind == kAll && ahead == kAll;
  }
};

/// Projected queries are (free and attended axes..., heads, depth); keys and values have the same
/// free axes, their own attended ones, and as many heads or a divisor. Scores are (free axes...,
/// heads, attended axes of the queries..., of the keys...).
template <class T>
struct Attention {
  std::vector<std::size_t> axes;  // attended over
  Shape scores;
  double scale = 1;
  Visibility seen;
  std::optional<Array<T>> slopes;  // one per head, times the distance, is taken off
  Index position = 0;              // of the first query, for the distance
  double rate = 0;                 // of dropout, with its key
  RandomKey key;
};

/// Whether one operation serves this call.
template <class T>
bool attention_fuses(const Attention<T>& a, const Var<T>& q, const Var<T>& k, const Var<T>& v,
                     const Var<T>* bias);

/// The same in plain operations: {output} or {output, scores} of (q, k, v) or (q, k, v, bias).
template <class T>
using ComposedAttention = std::function<std::vector<Var<T>>(const Var<T>& q, const Var<T>& k,
                                                            const Var<T>& v, const Var<T>* bias)>;

/// {output} or, if asked for, {output, scores}: the sums of values (free and attended axes..., heads,
/// value depth), and the probabilities before dropout. `bias` has the rank of the scores and
/// broadcasts to them. All is finite where it is seen.
template <class T>
std::vector<Var<T>> fused_attention(const Attention<T>& a, const Var<T>& q, const Var<T>& k,
                                    const Var<T>& v, const Var<T>* bias, bool with_scores,
                                    ComposedAttention<T> composed);

}  // namespace xtape::detail
