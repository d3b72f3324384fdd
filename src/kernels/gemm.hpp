#pragma once
// Products of matrices, each element one chain of (fused) multiply-adds in the order of k: so no way
// of cutting the work changes a bit.

#include "kernels/loop.hpp"

namespace xtape::kernels {

/// What products are added to: zeros (C is overwritten), C, or a bias in each row.
enum class Accumulate { overwrite, add, bias };

template <class T>
struct GemmBlock {
  Index m = 0, n = 0, k = 0;
  const T* a = nullptr;  // m x k, any strides
  Index a_row = 0, a_column = 0;
  const T* b = nullptr;  // k x n, from pack(), or as it is
  Index b_row = 0;       // 0: packed; else the stride of B as it is (see reads_unpacked())
  Accumulate accumulate = Accumulate::overwrite;
  const T* bias = nullptr;  // n elements, for Accumulate::bias
  T* c = nullptr;           // m x n, contiguous columns
  Index c_row = 0;
};

/// One per element type and instruction set (`A`, a tag of isa.hpp).
template <class T, class A>
struct GemmKernels {
  /// Columns that are packed together: pack() may be cut at multiples of it.
  static Index columns();
  /// Whether multiply() may take B (k x n) as it is: whole vectors, and rows close together.
  static bool reads_unpacked(Index n, Index k, Index b_row, Index b_column);
  /// Elements of the packed form of a k x n matrix.
  static Index packed_size(Index k, Index n);
  /// Columns first ... last of B (k x n, any strides) into their place in `packed`.
  static void pack(Index k, Index n, Index first, Index last, const T* b, Index b_row,
                   Index b_column, T* packed);
  /// The same for rows first ... last of a B whose columns are next to each other.
  static void pack_rows(Index k, Index n, Index first, Index last, const T* b, Index b_row,
                        T* packed);
  static void multiply(const GemmBlock<T>& block);
  /// All at once, for small products: B is packed on the stack, a part at a time.
  static void small(const GemmBlock<T>& block, const T* b, Index b_row, Index b_column);
};

}  // namespace xtape::kernels
