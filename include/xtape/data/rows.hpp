#pragma once
/// \file
/// Rows of arrays, and random splits of them:
///
///     const auto [train, test] = random_split(x.shape()[0], {0.8, 0.2}, 1);
///     fit(params, adam, model, rows(x, train), rows(y, train), {.loss = "mse"});

#include <xtape/array/array.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace xtape {

/// Returns the entries of an array at these positions of its first axis, in this order. T: float, double,
/// bool, std::int64_t. ShapeError for an array without axes, ValueError for a position out of range.
template <class T> Array<T> rows(const Array<T>& array, std::span<const std::size_t> positions);

namespace detail {
std::vector<std::vector<std::size_t>> random_split(std::size_t count,
                                                   std::span<const double> fractions,
                                                   std::uint64_t seed);
}  // namespace detail

/// Returns the numbers 0 to count - 1 in random order, cut into parts of these fractions. Each part is
/// rounded down, and what is left over goes to the first parts, one each (PyTorch's random_split).
/// ValueError for fractions that are not positive or do not add up to 1, and for an empty part.
template <std::size_t N>
std::array<std::vector<std::size_t>, N> random_split(std::size_t count,
                                                     const double (&fractions)[N],
                                                     std::uint64_t seed = 0) {
  std::vector<std::vector<std::size_t>> parts = detail::random_split(count, fractions, seed);
  std::array<std::vector<std::size_t>, N> out;
  for (std::size_t i = 0; i < N; ++i) out[i] = std::move(parts[i]);
  return out;
}

}  // namespace xtape
