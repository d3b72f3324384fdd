#pragma once
// Shape arithmetic with NumPy's rules, and the errors that go with it.

#include "base/message.hpp"
#include "kernels/loop.hpp"

#include <xtape/array/array.hpp>

#include <span>
#include <vector>

namespace xtape::detail {

using kernels::Index;

/// "(2, 3)", "(3,)" or "()" of any list of extents.
template <class Extents>
std::string print_extents(const Extents& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  if (shape.size() == 1) text += ",";
  return text + ")";
}

inline Index extent(const Shape& shape, std::size_t axis) {
  return static_cast<Index>(shape[axis]);
}

/// Row-major element strides; kept for extents of 1 too.
std::vector<Index> strides_of(const Shape& shape);

/// The shape two operands broadcast to. ShapeError naming both where they do not.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

/// Whether `from` broadcasts to exactly `to`.
bool broadcasts_to(const Shape& from, const Shape& to);

/// 0 <= axis < rank, counted from the end where negative; ShapeError otherwise.
std::size_t normalize_axis(const std::string& op, int axis, std::size_t rank);

/// The same for several, in the order given; ShapeError where one repeats.
std::vector<std::size_t> normalize_axes(const std::string& op, std::span<const int> axes,
                                        std::size_t rank);

/// Element strides of an operand of shape `from` when walked in the (broadcast) shape `to`.
std::vector<Index> broadcast_strides(const Shape& from, const Shape& to);

/// The loops of a result of shape `out`, given the strides of every operand, outermost first.
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

/// ShapeError unless rank <= kMaxRank.
void check_rank(const char* op, std::size_t rank);

/// The shape left by a reduction: the axes dropped, or kept as 1.
Shape reduced_shape(const Shape& shape, const std::vector<std::size_t>& axes, bool keep_dims);

}  // namespace xtape::detail
