#pragma once
// Softmax-weighted sums of values as one operation. It keeps no scores unless they are an output.

#include "array/shapes.hpp"

#include <xtape/ops/dropout.hpp>

#include <functional>
#include <optional>
#include <vector>

namespace xtape::detail {

/// Which keys a query sees. Key j is seen by query i if all members allow it. The members other than
/// `pairs` are for attention over one axis.
struct Visibility {
  static constexpr Index kAll = Index{1} << 60U;
  OptionalArray<bool> queries;        // (batch, queries)
  OptionalArray<bool> keys;           // (batch, keys)
  Index behind = kAll, ahead = kAll;  // -behind <= j - i <= ahead
  OptionalArray<bool> pairs;          // with the rank of the scores, broadcasting to them

  [[nodiscard]] bool everything() const {
    return !queries && !keys && !pairs && behind == kAll && ahead == kAll;
  }
};

/// A call of attention. Projected queries have the shape (free and attended axes..., heads, depth). Keys
/// and values have the same free axes, attended axes of their own, and a number of heads that divides
/// the queries'. Scores are (free axes..., heads, query axes..., key axes...).
template <class T> struct Attention {
  std::vector<std::size_t> axes;  // attended over
  Shape scores;
  double scale = 1;
  Visibility seen;
  std::optional<Array<T>> slopes;  // per head: slope times distance is subtracted from a score
  Index position = 0;              // of the first query, for the distance
  double rate = 0;                 // of dropout, with its key
  RandomKey key;
};

/// Whether the fused operation can compute this call.
template <class T>
bool attention_fuses(const Attention<T>& a, const Var<T>& q, const Var<T>& k, const Var<T>& v,
                     const Var<T>* bias);

/// Attention in plain operations, {output} or {output, scores}; `bias` may be null.
template <class T>
using ComposedAttention = std::function<std::vector<Var<T>>(const Var<T>& q, const Var<T>& k,
                                                            const Var<T>& v, const Var<T>* bias)>;

/// Returns {output} or {output, scores}: the sums of values (free and attended axes..., heads, value
/// depth), and the probabilities before dropout. `bias` has the rank of the scores and broadcasts to
/// them; it may be null. Every value that a query sees must be finite.
template <class T>
std::vector<Var<T>> fused_attention(const Attention<T>& a, const Var<T>& q, const Var<T>& k,
                                    const Var<T>& v, const Var<T>* bias, bool with_scores,
                                    ComposedAttention<T> composed);

}  // namespace xtape::detail
