#include <xtape/base/random.hpp>
#include <xtape/data/rows.hpp>

#include "base/check.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace xtape {

template <class T> Array<T> rows(const Array<T>& array, std::span<const std::size_t> positions) {
  Shape shape = array.shape();
  if (shape.empty()) {
    detail::fail<ShapeError>("rows", "no axes: array is (), expected one axis or more");
  }
  const std::size_t count = shape[0];
  shape[0] = positions.size();
  Array<T> out(detail::checked("rows", shape));
  const std::size_t width = count == 0 ? 0 : array.size() / count;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    if (positions[i] >= count) {
      detail::fail<ValueError>("rows", "position out of range: element ", i, " of positions is ",
                               positions[i], ", expected 0 to ", count, " - 1, the rows of ",
                               to_string(array.shape()));
    }
    std::copy_n(array.data() + positions[i] * width, width, out.data() + i * width);
  }
  return out;
}

template Array<float> rows(const Array<float>&, std::span<const std::size_t>);
template Array<double> rows(const Array<double>&, std::span<const std::size_t>);
template Array<bool> rows(const Array<bool>&, std::span<const std::size_t>);
template Array<std::int64_t> rows(const Array<std::int64_t>&, std::span<const std::size_t>);

std::vector<std::vector<std::size_t>> detail::random_split(std::size_t count,
                                                           std::span<const double> fractions,
                                                           std::uint64_t seed) {
  double sum = 0;
  for (const double fraction : fractions) {
    check_positive("random_split", "fraction", fraction);
    sum += fraction;
  }
  check_option(std::abs(sum - 1) < 1e-9, "random_split", "sum of the fractions", sum, "1");
  std::vector<std::size_t> sizes;
  for (const double fraction : fractions) {
    sizes.push_back(static_cast<std::size_t>(std::floor(static_cast<double>(count) * fraction)));
  }
  std::size_t given = std::accumulate(sizes.begin(), sizes.end(), std::size_t{0});
  for (std::size_t i = 0; given < count; ++given) ++sizes[i++ % sizes.size()];
  // Rounding of 1 +- 1e-9 may give one too many, beyond 10^9.
  if (given > count) sizes.back() -= given - count;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] > 0) continue;
    fail<ValueError>("random_split", "empty part: part ", i, " of ", count, " has ", fractions[i],
                     " of them, expected 1 or more; give it a larger fraction");
  }
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  RandomStream stream(seed, stable_hash("random_split"));
  for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[stream.below(i)]);
  std::vector<std::vector<std::size_t>> parts;
  auto at = order.begin();
  for (const std::size_t size : sizes) {
    parts.emplace_back(at, at + static_cast<std::ptrdiff_t>(size));
    at += static_cast<std::ptrdiff_t>(size);
  }
  return parts;
}

}  // namespace xtape
