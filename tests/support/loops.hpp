#pragma once
// Loops for calling kernels directly, as the operations would make them.

#include "kernels/loop.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace xtape::test {

using kernels::Index;

/// Whether a is b, up to a relative (below 1 an absolute) difference.
inline bool close(double a, double b, double within = 1e-14) {
  return a == b || std::abs(a - b) <= within * std::max(1.0, std::abs(b));
}

/// A loop nest from extents and strides, outermost first.
template <int N>
kernels::Loop<N> loop_of(const std::vector<Index>& extents,
                         const std::vector<std::vector<Index>>& strides) {
  kernels::Loop<N> loop;
  for (std::size_t i = extents.size(); i-- > 0;) {
    Index s[N];
    for (std::size_t k = 0; k < static_cast<std::size_t>(N); ++k) s[k] = strides[k][i];
    loop.push(extents[i], s);
  }
  return loop;
}

/// f(offset of every operand) for every position, in row-major order: the loops as one thinks of
/// them.
template <class F>
void walk(const std::vector<Index>& extents, const std::vector<std::vector<Index>>& strides, F f) {
  Index n = 1;
  for (const Index e : extents) n *= e;
  for (Index k = 0; k < n; ++k) {
    std::vector<Index> offset(strides.size(), 0);
    Index rest = k;
    for (std::size_t i = extents.size(); i-- > 0;) {
      for (std::size_t o = 0; o < strides.size(); ++o)
        offset[o] += rest % extents[i] * strides[o][i];
      rest /= extents[i];
    }
    f(offset);
  }
}

inline std::vector<Index> row_major(const std::vector<Index>& extents) {
  std::vector<Index> strides(extents.size());
  Index step = 1;
  for (std::size_t i = extents.size(); i-- > 0; step *= extents[i]) strides[i] = step;
  return strides;
}

inline std::size_t count_of(const std::vector<Index>& extents) {
  std::size_t n = 1;
  for (const Index e : extents) n *= static_cast<std::size_t>(e);
  return n;
}

/// Numbers between -1 and 1 that repeat late.
template <class T> std::vector<T> numbers(std::size_t n, double shift = 0) {
  std::vector<T> v(n);
  for (std::size_t i = 0; i < n; ++i) {
    const double x = static_cast<double>(i) * 0.754877666 + shift;
    v[i] = static_cast<T>(2 * (x - static_cast<double>(static_cast<std::int64_t>(x))) - 1);
  }
  return v;
}

}  // namespace xtape::test
