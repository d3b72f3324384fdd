#pragma once
// The definition of products in bfloat16, one element at a time: what every kernel is compared with.

#include "kernels/loop.hpp"
#include "kernels/rounded_tile.hpp"

#include <cmath>

namespace xtape::test {

using kernels::Index;

/// Returns c plus the sum of a[p] b[p], by the definition of products in bfloat16 (docs/arithmetic.md).
[[gnu::noinline]] inline float rounded_sum(float c, Index k, const float* a, Index a_step,
                                           const float* b, Index b_step) {
  for (Index group = 0; group < k; group += 32) {
    float chain[2] = {0, 0};
    for (Index p = group; p < group + 32; ++p) {
      const float x = p < k ? kernels::round_to_bfloat16(a[p * a_step]) : 0;
      const float y = p < k ? kernels::round_to_bfloat16(b[p * b_step]) : 0;
      chain[p % 2] = std::fma(x, y, chain[p % 2]);
    }
    c = c + (chain[0] + chain[1]);
  }
  return c;
}

}  // namespace xtape::test
