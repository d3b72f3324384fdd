#pragma once
// Operations on rows: their axes moved to the end, and the number of rows for a thread.

#include "array/shapes.hpp"

#include <algorithm>
#include <vector>

namespace xtape::detail {

inline constexpr Index kRowGrain = 8192;  // elements that are not worth a second thread

/// Returns how many rows of n elements a thread takes at a time: all if they are few, else so few that threads
/// end together. It is a multiple of the eight rows that a kernel takes at once.
inline Index rows_per_block(Index rows, Index n) {
  if (rows * n <= kRowGrain) return std::max<Index>(1, rows);
  const Index block = kRowGrain / 4 / std::max<Index>(1, n);
  return block < 8 ? std::max<Index>(1, block) : block / 8 * 8;
}

/// The order of axes that has the given ones last.
struct TrailingAxes {
  std::vector<std::size_t> axes;  // ascending
  bool in_place = true;
  Axes order;      // of transpose, to bring them to the end
  Axes inverse;    // and back
  Index n = 1;     // elements per row
  Index rows = 1;  // 0 for rows without elements

  TrailingAxes(const char* op, const Shape& shape, const Axes& wanted)
      : axes(detail::normalize_axes(op, wanted, shape.size())) {
    if (axes.empty()) {
      fail<ShapeError>(op, "no axes: operand is ", to_string(shape),
                       ", expected at least one axis");
    }
    std::sort(axes.begin(), axes.end());
    for (std::size_t i = 0; i < shape.size(); ++i) {
      const bool chosen = std::binary_search(axes.begin(), axes.end(), i);
      (chosen ? n : rows) *= detail::extent(shape, i);
      if (!chosen) order.push_back(static_cast<int>(i));
    }
    if (n == 0) rows = 0;
    in_place = axes.front() + axes.size() == shape.size();
    for (const std::size_t axis : axes) order.push_back(static_cast<int>(axis));
    inverse.resize(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      inverse[static_cast<std::size_t>(order[i])] = static_cast<int>(i);
    }
  }
  [[nodiscard]] Axes trailing() const {
    Axes last(axes.size());
    for (std::size_t i = 0; i < last.size(); ++i) {
      last[i] = static_cast<int>(i) - static_cast<int>(last.size());
    }
    return last;
  }
};

}  // namespace xtape::detail
