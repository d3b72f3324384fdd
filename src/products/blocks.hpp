#pragma once
// How a product is cut into blocks of C that threads take.

#include "kernels/gemm.hpp"

namespace xtape::blas {

using kernels::Index;

// Multiplications below which one thread does it all.
inline constexpr double kParallelWork = 1 << 18U;
inline constexpr Index kBlockRows = 48;  // of C, computed together
inline constexpr Index kBlockColumns = 256;
inline constexpr Index kBlockStep = 12;  // rows that make whole tiles whatever the instruction set
inline constexpr Index kNarrowColumns = 32;
inline constexpr Index kEnoughBlocks = 16;  // for threads to end together

/// Rows where there are many, else columns too.
struct Blocks {
  Index rows, across;  // how many
  Index columns;       // of one

  Blocks(Index m, Index n, bool parallel)
      : rows((m + kBlockStep - 1) / kBlockStep), across(1), columns(n) {
    if (!parallel || rows >= 2 * kEnoughBlocks) return;
    columns = kBlockColumns;
    while (columns > kNarrowColumns && rows * ((n + columns - 1) / columns) < kEnoughBlocks) {
      columns /= 2;
    }
    across = (n + columns - 1) / columns;
  }
};

}  // namespace xtape::blas
