#pragma once
// Sums of the columns of matrices in tiles, for threads that each add rows of their own.

#include "kernels/reduce.hpp"

#include <algorithm>
#include <cstddef>
#include <span>

namespace xtape::detail {

/// A matrix and the sums of its columns.
template <class T> struct ColumnSums {
  kernels::Index n = 0;     // columns
  kernels::Index step = 0;  // stride between rows
  const T* x = nullptr;
  T* y = nullptr;  // n sums
};

/// Sums of the columns of up to kMatrices matrices, of kColumns columns in all. A tile is 16 columns, a cache line of
/// floats. The caller adds the rows of a tile in their order, in parts that begin at multiples of kStep. The result
/// is that of kernels::reduce, to the bit, for matrices of more than one column.
template <class T> class SumTiles {
 public:
  using Index = kernels::Index;
  static constexpr Index kMatrices = 4;
  static constexpr Index kColumns = 1024;
  static constexpr Index kStep = 4;

  /// Returns whether these matrices are within the limits.
  static bool fits(std::span<const ColumnSums<T>> of) {
    Index columns = 0;
    for (const ColumnSums<T>& m : of) {
      if (m.n == 1) return false;
      columns += m.n;
    }
    return columns <= kColumns && static_cast<Index>(of.size()) <= kMatrices;
  }
  explicit SumTiles(std::span<const ColumnSums<T>> of) : of_(of) {
    for (const ColumnSums<T>& m : of) tiles_ += tiles_of(m);
    std::fill_n(sums_, tiles_ * kTile, 0.0);
  }
  /// Returns the number of tiles.
  [[nodiscard]] Index tiles() const { return tiles_; }

  /// Adds the rows from_row ... to_row - 1 of a tile.
  void add(Index tile, Index from_row, Index to_row) {
    std::size_t i = 0;
    Index part = tile;
    for (; part >= tiles_of(of_[i]); ++i) part -= tiles_of(of_[i]);
    const ColumnSums<T>& m = of_[i];
    kernels::add_rows(to_row - from_row, std::min(kTile, m.n - part * kTile), m.step,
                      m.x + from_row * m.step + part * kTile, sums_ + tile * kTile);
  }
  /// Writes the sums, rounded to T, once all rows are added.
  void store() const {
    const double* from = sums_;
    for (const ColumnSums<T>& m : of_) {
      std::transform(from, from + m.n, m.y, [](double sum) { return static_cast<T>(sum); });
      from += tiles_of(m) * kTile;
    }
  }

 private:
  static constexpr Index kTile = 16;  // columns
  static Index tiles_of(const ColumnSums<T>& m) { return (m.n + kTile - 1) / kTile; }

  std::span<const ColumnSums<T>> of_;
  Index tiles_ = 0;
  alignas(64) double sums_[kColumns + kMatrices * kTile];
};

}  // namespace xtape::detail
