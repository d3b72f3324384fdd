#pragma once
// Shape arithmetic by NumPy's rules, and its errors.

#include "base/message.hpp"
#include "kernels/loop.hpp"

#include <xtape/array/array.hpp>

#include <span>
#include <vector>

namespace xtape::detail {

using kernels::Index;

/// Returns extents as "(2, 3)", "(3,)" or "()".
template <class Extents> std::string print_extents(const Extents& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  if (shape.size() == 1) text += ",";
  return text + ")";
}

/// The number of elements that no array may have; see checked().
inline constexpr std::size_t kTooMany = std::size_t{1} << 60U;

/// Return a * b and a + b, or the largest std::size_t if that is smaller: then checked() refuses the shape.
constexpr std::size_t product(std::size_t a, std::size_t b) {
  std::size_t c = 0;
  return __builtin_mul_overflow(a, b, &c) ? SIZE_MAX : c;
}
constexpr std::size_t plus(std::size_t a, std::size_t b) {
  std::size_t c = 0;
  return __builtin_add_overflow(a, b, &c) ? SIZE_MAX : c;
}

inline Index extent(const Shape& shape, std::size_t axis) {
  return static_cast<Index>(shape[axis]);
}

/// The elements before an axis, along it, and after it: a shape seen as (outer, length, inner). `outer` is 0 if
/// there is no element, so that no loop counts to a large extent for nothing.
struct AxisSplit {
  Index outer = 1, length = 1, inner = 1;
  AxisSplit(const Shape& shape, std::size_t axis) : length(extent(shape, axis)) {
    for (std::size_t i = 0; i < axis; ++i) outer *= extent(shape, i);
    for (std::size_t i = axis + 1; i < shape.size(); ++i) inner *= extent(shape, i);
    if (length == 0 || inner == 0) outer = 0;
  }
};

/// Returns row-major element strides, for extents of 1 too.
std::vector<Index> strides_of(const Shape& shape);

/// Returns the shape that two operands broadcast to. Throws ShapeError, which names both, if there is none.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

/// Returns whether `from` broadcasts to exactly `to`.
bool broadcasts_to(const Shape& from, const Shape& to);

/// Returns the axis as a number from 0 to rank - 1; a negative axis counts from the end. Throws ShapeError if it is
/// out of range.
std::size_t normalize_axis(const std::string& op, int axis, std::size_t rank);

/// Returns several axes as such numbers, in the order given. Throws ShapeError if an axis repeats.
std::vector<std::size_t> normalize_axes(const std::string& op, std::span<const int> axes,
                                        std::size_t rank);

/// Returns the element strides of an operand of shape `from`, broadcast to the shape `to`.
std::vector<Index> broadcast_strides(const Shape& from, const Shape& to);

/// Returns the loop nest over a result of shape `out`. The strides of each operand stand outermost first.
template <int N>
kernels::Loop<N> make_loop(const Shape& out, const std::vector<Index> (&strides)[N]) {
  kernels::Loop<N> loop;
  for (std::size_t i = out.size(); i-- > 0;) {
    Index s[N];
    for (int k = 0; k < N; ++k) s[k] = strides[k][i];
    loop.push(extent(out, i), s);
  }
  return loop;
}

/// Throws ShapeError unless rank <= kMaxRank.
void check_rank(const char* op, std::size_t rank);

/// Returns the shape after a reduction: without the axes, or with 1 in their place.
Shape reduced_shape(const Shape& shape, const std::vector<std::size_t>& axes, bool keep_dims);

}  // namespace xtape::detail
