#pragma once
// The axes of attention: the attended ones, their letters in equations, and the shapes that follow.

#include "array/shapes.hpp"

#include <string>
#include <vector>

namespace xtape::detail {

/// Extents, with -1 for an unknown one.
using PartialShape = std::vector<std::ptrdiff_t>;

std::string to_string(const PartialShape& shape);
inline PartialShape partial(const Shape& shape) { return {shape.begin(), shape.end()}; }

/// Returns a copy of the mask under another shape.
inline Array<bool> reshaped(Array<bool> mask, const Shape& shape) {
  mask.reshape(shape);
  return mask;
}

/// The axes of one call of attention. Projected arrays are (batch, axes..., heads, dim), or
/// (batch, axes..., key heads, group, dim) when heads share keys.
struct AttentionLayout {
  std::vector<std::size_t> axes;  // attended over, in the order of the scores
  std::string products;           // equation from keys and queries to products
  std::string combine;            // equation from probabilities and values to the heads' outputs
  PartialShape free;              // extents of the batch and the other axes not attended over
  PartialShape targets;           // extents of the query's attention axes
  PartialShape sources;           // extents of the key's attention axes

  /// Returns the shape of the scores, (free..., heads, targets..., sources...).
  [[nodiscard]] PartialShape scores(std::ptrdiff_t heads) const;
};

/// Returns the layout of inputs of these shapes. `grouped`: heads share keys. Throws ShapeError naming
/// `path`, the operand and the rule.
AttentionLayout attention_layout(const std::string& path, const std::vector<int>& attention_axes,
                                 bool grouped, const PartialShape& query, const PartialShape& value,
                                 const PartialShape& key);

}  // namespace xtape::detail
