#pragma once
// What kernels are told about memory: extents and element strides of up to four operands, merged
// as far as they go. Plain data, so that kernels depend on nothing else; always inlined, because a
// copy compiled for another instruction set would have the same name.

#include <cstddef>

namespace xtape::kernels {

using Index = std::ptrdiff_t;

inline constexpr int kMaxLoopRank = 16;

/// A nest of loops, innermost first, with a stride per operand and loop.
template <int Operands>
struct Loop {
  int rank = 0;
  Index dim[kMaxLoopRank];
  Index stride[kMaxLoopRank][Operands];

  /// Adds a loop outside the present ones; merged with the outermost where the strides allow it.
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

  [[nodiscard, gnu::always_inline]] inline Index size() const {
    Index n = 1;
    for (int i = 0; i < rank; ++i) n *= dim[i];
    return n;
  }
};

/// Calls body(offsets) for every position of the loops from `first` outwards, in row-major order;
/// never where a loop is empty, also one before `first`.
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
