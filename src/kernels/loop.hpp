#pragma once
// Loops over strided memory: extents and element strides of up to four operands, merged where possible.
// The functions are always inlined: the linker would merge copies of different instruction sets.

#include <cstddef>

namespace xtape::kernels {

using Index = std::ptrdiff_t;

inline constexpr int kMaxLoopRank = 16;

[[gnu::always_inline]] constexpr Index min(Index a, Index b) { return a < b ? a : b; }
[[gnu::always_inline]] constexpr Index max(Index a, Index b) { return a > b ? a : b; }
/// Returns the smallest multiple of step that is >= n.
[[gnu::always_inline]] constexpr Index round_up(Index n, Index step) {
  return (n + step - 1) / step * step;
}

/// A nest of loops, innermost first, with a stride per operand and loop.
template <int Operands> struct Loop {
  int rank = 0;
  Index dim[kMaxLoopRank];
  Index stride[kMaxLoopRank][Operands];

  /// Adds a loop outside the present ones, or extends the outermost where the strides allow it.
  [[gnu::always_inline]] inline void push(Index extent, const Index (&strides)[Operands]) {
    if (extent == 1) return;
    if (rank > 0) {
      bool merges = true;
      for (int k = 0; k < Operands; ++k) {
        merges = merges && strides[k] == stride[rank - 1][k] * dim[rank - 1];
      }
      if (merges) {
        dim[rank - 1] *= extent;
        return;
      }
    }
    dim[rank] = extent;
    for (int k = 0; k < Operands; ++k) stride[rank][k] = strides[k];
    ++rank;
  }

  /// Returns the product of the extents.
  [[nodiscard, gnu::always_inline]] inline Index size() const {
    Index n = 1;
    for (int i = 0; i < rank; ++i) n *= dim[i];
    return n;
  }
};

/// Calls body(offsets) for every position of the loops from `first` outwards, in row-major order. Calls
/// nothing if any loop is empty, also one before `first`.
template <int Operands, class Body>
[[gnu::always_inline]] inline void for_each_outer(const Loop<Operands>& loop, int first,
                                                  const Body& body) {
  Index at[kMaxLoopRank] = {};
  Index offset[Operands] = {};
  for (int i = 0; i < loop.rank; ++i) {
    if (loop.dim[i] == 0) return;
  }
  while (true) {
    body(offset);
    int i = first;
    for (; i < loop.rank; ++i) {
      for (int k = 0; k < Operands; ++k) offset[k] += loop.stride[i][k];
      if (++at[i] < loop.dim[i]) break;
      at[i] = 0;
      for (int k = 0; k < Operands; ++k) offset[k] -= loop.stride[i][k] * loop.dim[i];
    }
    if (i >= loop.rank) return;
  }
}

}  // namespace xtape::kernels
