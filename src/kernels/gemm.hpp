#pragma once
// Matrix products. Each element is one chain of fused multiply-adds in the order of k, so that no way of
// cutting the work changes a bit.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

namespace xtape::kernels {

/// The values that the products are added to: zeros (C is overwritten), C, or one bias per column.
enum class Accumulate { overwrite, add, bias };

template <class T> struct GemmBlock {
  Index m = 0, n = 0, k = 0;
  const T* a = nullptr;  // m x k, any strides
  Index a_row = 0, a_column = 0;
  const T* b = nullptr;  // k x n, packed by pack(), or row-major
  Index b_row = 0;       // 0: packed; else the stride of a row-major B (see reads_unpacked())
  Accumulate accumulate = Accumulate::overwrite;
  const T* bias = nullptr;  // n elements, for Accumulate::bias
  T* c = nullptr;           // m x n, contiguous columns
  Index c_row = 0;
  // For RoundedGemm alone, if B is part of a packed matrix: rows from_k ... from_k + k - 1 of b_rows; from_k is a
  // multiple of its kGroup. 0: all rows.
  Index b_rows = 0, from_k = 0;
  // For RoundedGemm alone: C has room for whole tiles of 16 x 16, and what is behind m and n does not matter.
  bool has_room = false;
};

/// Specialized per element type and instruction set (`A`, a tag of isa.hpp).
template <class T, class A> struct GemmKernels {
  /// Returns the width of a packed panel: pack() may be cut at multiples of it.
  static Index columns();
  /// Returns whether multiply() takes B (k x n) unpacked: rows of whole vectors, close to each other.
  static bool reads_unpacked(Index n, Index k, Index b_row, Index b_column);
  /// Returns the number of elements of a packed k x n matrix.
  static Index packed_size(Index k, Index n);
  /// Packs columns first ... last - 1 of B (k x n, any strides) into their place in `packed`.
  static void pack(Index k, Index n, Index first, Index last, const T* b, Index b_row,
                   Index b_column, T* packed);
  /// Packs rows first ... last - 1 of a row-major B.
  static void pack_rows(Index k, Index n, Index first, Index last, const T* b, Index b_row,
                        T* packed);
  /// Computes C.
  static void multiply(const GemmBlock<T>& block);
  /// Computes C from a B with any strides, for small products: B is packed on the stack, part by part.
  static void small(const GemmBlock<T>& block, const T* b, Index b_row, Index b_column);
};

/// How to cut C for one call of multiply(): `step` is a multiple of a tile's rows, `rows` of `step`.
struct BlockSize {
  Index step, rows;
  Index least = 0;  // extents below it leave most of a tile empty
};
/// That of every kernel in vectors.
template <class Kernels> inline constexpr BlockSize kBlockSize{12, 48};

/// The functions of one GemmKernels or RoundedGemm, to be chosen at run time.
template <class T> struct GemmTable {
  decltype(&GemmKernels<T, Baseline>::reads_unpacked) reads_unpacked;
  decltype(&GemmKernels<T, Baseline>::packed_size) packed_size;
  decltype(&GemmKernels<T, Baseline>::pack) pack;
  decltype(&GemmKernels<T, Baseline>::pack_rows) pack_rows;
  decltype(&GemmKernels<T, Baseline>::multiply) multiply;
  decltype(&GemmKernels<T, Baseline>::small) small;
  BlockSize block;
  void (*use)();  // null, or around loops of small products: see KernelsInUse
  void (*leave)();
};
template <class T, class Kernels>
[[gnu::visibility("hidden")]] inline constexpr GemmTable<T> kGemmTable = [] {
  GemmTable<T> table{&Kernels::reads_unpacked,
                     &Kernels::packed_size,
                     &Kernels::pack,
                     &Kernels::pack_rows,
                     &Kernels::multiply,
                     &Kernels::small,
                     kBlockSize<Kernels>,
                     nullptr,
                     nullptr};
  if constexpr (requires { Kernels::use(); }) {
    table.use = &Kernels::use;
    table.leave = &Kernels::leave;
  }
  return table;
}();

/// Keeps AMX's tiles configured as long as it lives, if the kernels have any: that takes as long as a small product.
template <class T> class KernelsInUse {
 public:
  [[gnu::always_inline]] explicit KernelsInUse(const GemmTable<T>* table) : table_(table) {
    if (table_ != nullptr && table_->use != nullptr) table_->use();
  }
  [[gnu::always_inline]] ~KernelsInUse() {
    if (table_ != nullptr && table_->use != nullptr) table_->leave();
  }
  KernelsInUse(const KernelsInUse&) = delete;
  KernelsInUse& operator=(const KernelsInUse&) = delete;

 private:
  const GemmTable<T>* table_;
};

}  // namespace xtape::kernels
