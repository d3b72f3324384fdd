#pragma once
// Brings all masks of one call of attention, and its biases, into one form.

#include "layers/attention/layout.hpp"
#include "ops/attention.hpp"

#include <xtape/layers/attention/multi_head_attention.hpp>

namespace xtape::detail {

/// Returns the shape of a mask or bias with missing axes inserted before the query axes, if it broadcasts
/// to the scores.
std::optional<Shape> with_missing_axes(const Shape& given, std::size_t attended,
                                       const Shape& scores);

/// Returns the conjunction of all masks of a call. `offset` is the position of the first query. Throws
/// ShapeError naming `path`, the mask and the rule.
template <class T>
Visibility visibility(const std::string& path, const AttentionLayout& l, const Shape& scores,
                      std::optional<int> sliding_window,
                      const typename MultiHeadAttention<T>::CallOptions& call,
                      std::ptrdiff_t offset);

/// Returns the mask as an array that broadcasts to the scores, or nothing if everything is seen.
OptionalArray<bool> evaluate(const Visibility& seen, const Shape& scores);

/// Throws ShapeError unless the call's biases fit.
template <class T>
void check_biases(const std::string& path, const AttentionLayout& l, const Shape& scores,
                  const typename MultiHeadAttention<T>::CallOptions& call);

/// Returns -slope * |i + position - j| for each head, query i and key j.
template <class T>
Array<T> linear_biases(const Array<T>& slopes, const Shape& scores, std::ptrdiff_t position);

}  // namespace xtape::detail
