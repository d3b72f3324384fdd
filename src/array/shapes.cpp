#include "array/shapes.hpp"

#include <algorithm>

namespace xtape {

std::string to_string(const Shape& shape) { return detail::print_extents(shape); }

std::size_t size_of(const Shape& shape) noexcept {
  std::size_t n = 1;
  for (const std::size_t extent : shape) n = detail::product(n, extent);
  return std::find(shape.begin(), shape.end(), std::size_t{0}) == shape.end() ? n : 0;
}

namespace detail {

const Shape& checked(const char* op, const Shape& shape) {
  check_rank(op, shape.size());
  std::size_t n = 1;
  for (const std::size_t extent : shape) n = product(n, std::max<std::size_t>(extent, 1));
  if (n < kTooMany) return shape;
  fail<ShapeError>(op, "too many elements: the shape is ", to_string(shape),
                   ", expected extents whose product is below 2^60, those of 0 left out; use "
                   "smaller ones");
}

std::vector<Index> strides_of(const Shape& shape) {
  std::vector<Index> strides(shape.size());
  Index step = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= extent(shape, i);
  }
  return strides;
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
  const std::size_t rank = std::max(a.size(), b.size());
  check_rank(op, rank);
  Shape out(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    const std::size_t u = i < a.size() ? a[a.size() - 1 - i] : 1;
    const std::size_t v = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (u != v && u != 1 && v != 1) {
      fail<ShapeError>(op, "shapes do not broadcast: operands are ", to_string(a), " and ",
                       to_string(b), ", expected equal sizes or 1 on axis -", i + 1,
                       "; reshape one of them");
    }
    out[rank - 1 - i] = u == 1 ? v : u;
  }
  static_cast<void>(checked(op, out));
  return out;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  if (from.size() > to.size()) return false;
  const std::size_t lead = to.size() - from.size();
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] != 1 && from[i] != to[lead + i]) return false;
  }
  return true;
}

std::size_t normalize_axis(const std::string& op, int axis, std::size_t rank) {
  const int n = static_cast<int>(rank);
  if (axis < -n || axis >= n) {
    fail<ShapeError>(op, "axis out of range: axis is ", axis, ", expected ", -n, " to ", n - 1,
                     " for an array of rank ", n, "; count from 0, or from -1 at the end");
  }
  return static_cast<std::size_t>(axis < 0 ? axis + n : axis);
}

std::vector<std::size_t> normalize_axes(const std::string& op, std::span<const int> axes,
                                        std::size_t rank) {
  std::vector<std::size_t> out;
  for (const int axis : axes) {
    const std::size_t at = normalize_axis(op, axis, rank);
    if (std::find(out.begin(), out.end(), at) != out.end()) {
      fail<ShapeError>(op, "axis repeated: axis ", axis, " of an array of rank ", rank,
                       " is named twice, expected distinct axes; name each axis once");
    }
    out.push_back(at);
  }
  return out;
}

std::vector<Index> broadcast_strides(const Shape& from, const Shape& to) {
  std::vector<Index> out(to.size(), 0);
  const std::size_t lead = to.size() - from.size();
  Index step = 1;
  for (std::size_t i = from.size(); i-- > 0;) {
    out[lead + i] = from[i] == 1 ? 0 : step;
    step *= extent(from, i);
  }
  return out;
}

void check_rank(const char* op, std::size_t rank) {
  if (rank > kMaxRank) {
    fail<ShapeError>(op, "rank too large: the array is of rank ", rank, ", expected at most ",
                     kMaxRank, "; merge axes first");
  }
}

Shape reduced_shape(const Shape& shape, const std::vector<std::size_t>& axes, bool keep_dims) {
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) {
      kept.push_back(shape[i]);
    } else if (keep_dims) {
      kept.push_back(1);
    }
  }
  return {kept.begin(), kept.end()};
}

}  // namespace detail
}  // namespace xtape
