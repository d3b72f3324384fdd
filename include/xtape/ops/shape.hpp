#pragma once
/// \file
/// Operations that move elements without computing. NumPy's rules; negative axes count from the end.
/// ShapeError: extents that do not fit, axes out of range or repeated.

#include <xtape/tape/var.hpp>

#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

namespace xtape {

/// The same elements in row-major order under another shape of the same size.
template <class T>
Var<T> reshape(const Var<T>& x, const Shape& shape);
/// The same, where one extent may be -1: whatever is left.
template <class T>
Var<T> reshape(const Var<T>& x, std::initializer_list<int> shape);
/// Axes in the order given: extent i of the result is extent axes[i] of x. Reversed when empty.
template <class T>
Var<T> transpose(const Var<T>& x, const Axes& axes = {});
/// An extent of 1 inserted, so that it is axis `axis` of the result.
template <class T>
Var<T> expand_dims(const Var<T>& x, int axis);
/// The named axes, which must be of extent 1, removed; all such axes when empty.
template <class T>
Var<T> squeeze(const Var<T>& x, const Axes& axes = {});
/// Repeated along axes of extent 1 and new leading axes.
template <class T>
Var<T> broadcast_to(const Var<T>& x, const Shape& shape);

/// Joined along an existing axis. ValueError for an empty list.
template <class T>
Var<T> concatenate(const std::vector<Var<T>>& parts, int axis = 0);
/// Joined along a new axis. ValueError for an empty list.
template <class T>
Var<T> stack(const std::vector<Var<T>>& parts, int axis = 0);
/// Cut into `count` equal parts along an axis.
template <class T>
std::vector<Var<T>> split(const Var<T>& x, int count, int axis = 0);
/// Cut into parts of these extents along an axis; they must add up.
template <class T>
std::vector<Var<T>> split(const Var<T>& x, const std::vector<std::size_t>& sizes, int axis = 0);

/// One entry of an index: a range, a single position, or all axes not named otherwise.
struct Slice {
  enum class Kind { range, position, ellipsis };
  Kind kind = Kind::range;
  std::optional<std::ptrdiff_t> start = {};
  std::optional<std::ptrdiff_t> stop = {};
  std::ptrdiff_t step = 1;

  /// The whole axis.
  static Slice all() { return {}; }
  /// start <= i < stop in steps, as NumPy's start:stop:step; negative numbers count from the end and
  /// limits beyond the ends are cut. ValueError (when used) for a step of 0.
  static Slice range(std::optional<std::ptrdiff_t> start, std::optional<std::ptrdiff_t> stop,
                     std::ptrdiff_t step = 1) {
    return {Kind::range, start, stop, step};
  }
  /// One position; the axis disappears. ShapeError (when used) if out of range.
  static Slice at(std::ptrdiff_t position) { return {Kind::position, position, {}, 1}; }
  /// As many whole axes as are not named by the others; at most once.
  static Slice ellipsis() { return {Kind::ellipsis, {}, {}, 1}; }
};

/// A part of x: one entry per axis, the rest whole.
template <class T>
Var<T> slice(const Var<T>& x, const std::vector<Slice>& index);
/// `value` added around: widths[i] = {before, after} of axis i, for every axis.
template <class T>
Var<T> pad(const Var<T>& x, const std::vector<std::pair<std::size_t, std::size_t>>& widths,
           double value = 0.0);
/// The order reversed along the named axes; all axes when empty.
template <class T>
Var<T> flip(const Var<T>& x, const Axes& axes = {});
/// Running sum along an axis, from its end when `reverse`; accumulated in double.
template <class T>
Var<T> cumsum(const Var<T>& x, int axis, bool reverse = false);
/// The lower triangle of the last two axes (column - row <= diagonal), zeros above.
template <class T>
Var<T> tril(const Var<T>& x, int diagonal = 0);
/// The upper triangle of the last two axes (column - row >= diagonal), zeros below.
template <class T>
Var<T> triu(const Var<T>& x, int diagonal = 0);

}  // namespace xtape
