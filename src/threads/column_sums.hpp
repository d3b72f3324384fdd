#pragma once
// Sums of the columns of matrices in tiles, for threads that each add up rows of their own.

#include "kernels/reduce.hpp"

#include <algorithm>
#include <cstddef>
#include <span>

namespace xtape::detail {

/// A matrix whose columns are added up.
template <class T>
struct ColumnSums {
  kernels::Index n = 0;     // columns
  kernels::Index step = 0;  // from row to row
  const T* x = nullptr;
  T* y = nullptr;  // n sums
};

/// The sums of up to kMatrices matrices, kColumns in all. A tile is a line of the cache, of floats; the rows
/// of each are added in their order, in parts that begin at multiples of kStep: the result is kernels::reduce's
/// to the bit, for matrices of more than one column.
template <class T>
class SumTiles {
 public:
  using Index = kernels::Index;
  static constexpr Index kMatrices = 4;
  static constexpr Index kColumns = 1024;
  static constexpr Index kStep = 4;

  static bool fits(std::span<const ColumnSums<T>> of) {
    Index columns = 0;
    for (const ColumnSums<T>& m : of) {
      if (m.n == 1) return false;
      columns += m.n;
    }
    return columns <= kColumns && static_cast<Index>(of.size()) <= kMatrices;
  }
  explicit SumTiles(std::span<const ColumnSums<T>> of) : of_(of) {
    for (const ColumnSums<T>& m : of) tiles_ += lines(m);
    std::fill_n(sums_, tiles_ * kLine, 0.0);
  }
  [[nodiscard]] Index tiles() const { return tiles_; }

  void add(Index tile, Index from_row, Index to_row) {
    std::size_t i = 0;
    Index line = tile;
    for (; line >= lines(of_[i]); ++i) line -= lines(of_[i]);
    const ColumnSums<T>& m = of_[i];
    kernels::add_rows(to_row - from_row, std::min(kLine, m.n - line * kLine), m.step,
                      m.x + from_row * m.step + line * kLine, sums_ + tile * kLine);
  }
  /// Once all rows are added.
  void store() const {
    const double* from = sums_;
    for (const ColumnSums<T>& m : of_) {
      std::transform(from, from + m.n, m.y, [](double sum) { return static_cast<T>(sum); });
      from += lines(m) * kLine;
    }
  }

 private:
  static constexpr Index kLine = 16;
  static Index lines(const ColumnSums<T>& m) { return (m.n + kLine - 1) / kLine; }

  std::span<const ColumnSums<T>> of_;
  Index tiles_ = 0;
  alignas(64) double sums_[kColumns + kMatrices * kLine];
};

}  // namespace xtape::detail
