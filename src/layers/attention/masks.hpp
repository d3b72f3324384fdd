#pragma once
// All that says who sees whom in one call of attention, and the biases, brought into one form.

#include "layers/attention/layout.hpp"
#include "ops/attention.hpp"

#include <xtape/layers/attention/multi_head_attention.hpp>

namespace xtape::detail {

/// A mask or bias with the axes it lacks inserted before the query axes, where it fits the scores.
std::optional<Shape> with_missing_axes(const Shape& given, std::size_t attended,
                                       const Shape& scores);

/// The conjunction of all masks of a call. `offset` is the position of the first query. ShapeError
/// naming `path`, the mask and the rule where one does not fit.
template <class T>
Visibility visibility(const std::string& path, const AttentionLayout& l, const Shape& scores,
                      std::optional<int> sliding_window,
                      const typename MultiHeadAttention<T>::CallOptions& call,
                      std::ptrdiff_t offset);

/// As an array that broadcasts to the scores; nothing where everything is seen.
std::optional<Array<bool>> evaluate(const Visibility& seen, const Shape& scores);

/// ShapeError where the call's biases do not fit.
template <class T>
void check_biases(const std::string& path, const AttentionLayout& l, const Shape& scores,
                  const typename MultiHeadAttention<T>::CallOptions& call);

/// -slope * |i + position - j| for every head, query and key.
template <class T>
Array<T> linear_biases(const Array<T>& slopes, const Shape& scores, std::ptrdiff_t position);

}  // namespace xtape::detail
