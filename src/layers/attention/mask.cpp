#include <xtape/layers/attention/mask.hpp>

#include "base/check.hpp"
#include "layers/attention/layout.hpp"

namespace xtape {

using detail::Index;

static void check_rank(const char* what, const Array<bool>& keep, std::size_t low, std::size_t high,
                       const char* expected) {
  if (keep.dimension() < low || keep.dimension() > high) {
    detail::fail<ShapeError>(what, "wrong rank: mask is ", to_string(keep.shape()), ", expected ",
                             expected, "; true means attend");
  }
}

/// A distance that no two positions have. Sums of three are in range.
static constexpr std::ptrdiff_t kFar = std::ptrdiff_t{1} << 60U;
static std::ptrdiff_t limited(std::ptrdiff_t offset) { return std::clamp(offset, -kFar, kFar); }

Mask Mask::padding(const ArrayArg<bool>& keep) {
  check_rank("Mask::padding", keep, 2, 2, "(batch, keys)");
  return Mask({Kind::padding, *keep});
}

Mask Mask::padding(const std::vector<std::size_t>& lengths, std::size_t size) {
  Array<bool> keep(detail::checked("Mask::padding", Shape{lengths.size(), size}));
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    if (lengths[b] > size) {
      detail::fail<ValueError>("Mask::padding", "length out of range: length ", b, " is ",
                               lengths[b], ", expected 0 to ", size);
    }
    for (std::size_t j = 0; j < size; ++j) keep.data()[b * size + j] = j < lengths[b];
  }
  return padding(keep);
}

Mask Mask::queries(const ArrayArg<bool>& keep) {
  check_rank("Mask::queries", keep, 2, 2, "(batch, queries)");
  return Mask({Kind::queries, *keep});
}

Mask Mask::causal(std::ptrdiff_t offset) { return Mask({Kind::causal, {}, limited(offset)}); }

Mask Mask::sliding_window(std::size_t window, std::ptrdiff_t offset) {
  detail::check_option(window > 0, "Mask::sliding_window", "window", window, "at least 1");
  const auto width = static_cast<std::ptrdiff_t>(std::min<std::size_t>(window, kFar));
  return Mask({Kind::window, {}, limited(offset), width});
}

Mask Mask::pairwise(const ArrayArg<bool>& keep) {
  check_rank("Mask::pairwise", keep, 2, 4,
             "(queries, keys), (batch, queries, keys) or (batch, heads, queries, keys)");
  return Mask({Kind::pairwise, *keep});
}

Array<bool> Mask::evaluate(const Part& part, const std::string& path, const Shape& scores) {
  const std::size_t rank = scores.size();
  const std::size_t t = scores[rank - 2];
  const std::size_t s = scores[rank - 1];
  if (part.kind == Kind::causal || part.kind == Kind::window) {
    Array<bool> keep(Shape{t, s});
    for (std::size_t i = 0; i < t; ++i) {
      for (std::size_t j = 0; j < s; ++j) {
        const Index ahead = static_cast<Index>(j) - static_cast<Index>(i) - part.offset;
        keep.data()[i * s + j] =
            part.kind == Kind::causal ? ahead <= 0 : (ahead < 0 ? -ahead : ahead) < part.window;
      }
    }
    return keep;
  }
  const Shape& given = part.keep.shape();
  std::vector<std::size_t> shape(rank, 1);
  const char* name = "padding mask";
  if (part.kind == Kind::padding) {
    shape[0] = given[0];
    shape[rank - 1] = given[1];
  } else if (part.kind == Kind::queries) {
    name = "query mask";
    shape[0] = given[0];
    shape[rank - 2] = given[1];
  } else {
    name = "pairwise mask";
    shape[rank - 1] = given[given.size() - 1];
    shape[rank - 2] = given[given.size() - 2];
    if (given.size() > 2) shape[0] = given[0];
    if (given.size() == 4) shape[rank - 3] = given[1];
  }
  Array<bool> keep = detail::reshaped(part.keep, Shape(shape.begin(), shape.end()));
  if (!detail::broadcasts_to(keep.shape(), scores)) {
    detail::fail<ShapeError>(path, name, " does not fit: it is ", to_string(given),
                             ", expected the extents of scores ", to_string(scores),
                             " (batch, ..., heads, queries, keys), or 1; true means attend");
  }
  return keep;
}

Array<bool> Mask::evaluate(const std::string& path, const Shape& scores) const {
  if (scores.size() < 3) {
    detail::fail<ShapeError>(path, "too few axes: scores are ", to_string(scores),
                             ", expected (batch, ..., heads, queries, keys)");
  }
  detail::checked(path.c_str(), scores);
  Array<bool> all(Shape(scores.size(), 1), true);
  for (const Part& part : parts_) all = logical_and(all, evaluate(part, path, scores));
  return all;
}

Array<bool> logical_and(const ArrayArg<bool>& a, const ArrayArg<bool>& b) {
  const Shape shape = detail::broadcast_shapes("logical_and", a.shape(), b.shape());
  Array<bool> out(shape);
  const auto loop = detail::make_loop<3>(
      shape, {detail::broadcast_strides(a.shape(), shape),
              detail::broadcast_strides(b.shape(), shape), detail::strides_of(shape)});
  kernels::for_each_outer(loop, 0, [&](const Index(&at)[3]) {
    out.data()[at[2]] = a.data()[at[0]] && b.data()[at[1]];
  });
  return out;
}

}  // namespace xtape
