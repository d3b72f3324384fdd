#pragma once
// Shared by the normalizing layers.

#include "array/shapes.hpp"
#include "base/check.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace xtape::detail {

inline void check_normalization(const std::string& path, const Axes& axes, double epsilon) {
  check_option(epsilon >= 0, path, "epsilon", epsilon, ">= 0");
  if (axes.empty()) fail<ValueError>(path, "no axes: expected at least one axis");
}

/// Returns the extents of the axes in ascending order: the shape of scale and shift.
inline Shape normalized_extents(const std::string& path, const Axes& wanted, const Shape& input) {
  std::vector<std::size_t> axes = normalize_axes(path, wanted, input.size());
  std::sort(axes.begin(), axes.end());
  std::vector<std::size_t> extents;
  for (const std::size_t axis : axes) {
    if (input[axis] == 0) {
      fail<ShapeError>(path, "nothing to normalize: input is ", to_string(input),
                       ", expected at least one element on the axes");
    }
    extents.push_back(input[axis]);
  }
  return {extents.begin(), extents.end()};
}

}  // namespace xtape::detail
