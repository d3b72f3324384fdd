#pragma once
/// \file
/// Operations that move elements, with NumPy's rules; each comment gives the result. Negative axes count from
/// the end. ShapeError: extents that do not fit, axes out of range or repeated.

#include <xtape/tape/var.hpp>

#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

namespace xtape {

/// The elements of x in row-major order under another shape of the same size.
template <class T> Var<T> reshape(const Var<T>& x, const Shape& shape);
/// reshape() to extents of which one may be -1: it follows from the size.
template <class T> Var<T> reshape(const Var<T>& x, std::initializer_list<int> shape);
/// x with its axes in another order: extent i of the result is extent axes[i] of x. An empty list reverses.
template <class T> Var<T> transpose(const Var<T>& x, const Axes& axes = {});
/// x with a new axis of extent 1, which is axis `axis` of the result.
template <class T> Var<T> expand_dims(const Var<T>& x, int axis);
/// x without the given axes, which must have extent 1, or without all such axes.
template <class T> Var<T> squeeze(const Var<T>& x, const Axes& axes = {});
/// x repeated along axes of extent 1 and new leading axes.
template <class T> Var<T> broadcast_to(const Var<T>& x, const Shape& shape);

/// The parts joined along an existing axis. ValueError for an empty list.
template <class T> Var<T> concatenate(const std::vector<Var<T>>& parts, int axis = 0);
/// The parts joined along a new axis. ValueError for an empty list.
template <class T> Var<T> stack(const std::vector<Var<T>>& parts, int axis = 0);
/// `count` equal parts of x along an axis.
template <class T> std::vector<Var<T>> split(const Var<T>& x, int count, int axis = 0);
/// Parts of x with these extents along an axis; the extents must add up.
template <class T>
std::vector<Var<T>> split(const Var<T>& x, const std::vector<std::size_t>& sizes, int axis = 0);

/// One entry of an index: a range, a single position, or all axes without an entry.
struct Slice {
  /// The kind of an entry.
  enum class Kind { range, position, ellipsis };
  Kind kind = Kind::range;                   ///< a range, a position or "..."
  std::optional<std::ptrdiff_t> start = {};  ///< first position; default: the end it starts from
  std::optional<std::ptrdiff_t> stop = {};   ///< position behind the last; default: the other end
  std::ptrdiff_t step = 1;                   ///< distance of positions; not 0

  /// The whole axis.
  static Slice all() { return {}; }
  /// NumPy's start:stop:step. Negative limits count from the end; limits beyond the ends are cut. ValueError
  /// (when used) for a step of 0.
  static Slice range(std::optional<std::ptrdiff_t> start, std::optional<std::ptrdiff_t> stop,
                     std::ptrdiff_t step = 1) {
    return {Kind::range, start, stop, step};
  }
  /// One position; the axis is not in the result. ShapeError (when used) if out of range.
  static Slice at(std::ptrdiff_t position) { return {Kind::position, position, {}, 1}; }
  /// All axes without an entry, whole; at most once in an index.
  static Slice ellipsis() { return {Kind::ellipsis, {}, {}, 1}; }
};

/// A part of x: one entry per axis. Axes after the last entry are whole.
template <class T> Var<T> slice(const Var<T>& x, const std::vector<Slice>& index);
/// x with `value` around it: widths[i] = {before, after} of axis i, for every axis.
template <class T>
Var<T> pad(const Var<T>& x, const std::vector<std::pair<std::size_t, std::size_t>>& widths,
           double value = 0.0);
/// x with its order reversed along the given axes, or along all.
template <class T> Var<T> flip(const Var<T>& x, const Axes& axes = {});
/// Running sum along an axis, from its end if `reverse`, accumulated in double.
template <class T> Var<T> cumsum(const Var<T>& x, int axis, bool reverse = false);
/// The lower triangle of the last two axes (column - row <= diagonal), zeros above.
template <class T> Var<T> tril(const Var<T>& x, int diagonal = 0);
/// The upper triangle of the last two axes (column - row >= diagonal), zeros below.
template <class T> Var<T> triu(const Var<T>& x, int diagonal = 0);

}  // namespace xtape
