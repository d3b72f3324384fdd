#pragma once
// Squares of elements turned over in registers. For the sources of kernels only (see simd.hpp).

#include "kernels/lanes.hpp"

namespace xtape::kernels {

/// A square of unsigned integers of the size of the elements, as wide as a vector.
template <class U, class A>
struct Square {
  static constexpr int kBytes = static_cast<int>(sizeof(Vec<float, A>));
  static constexpr int kSize = kBytes / static_cast<int>(sizeof(U));
  using Row =
      std::conditional_t<sizeof(U) == 4, typename Lanes<kBytes>::U32, typename Lanes<kBytes>::U64>;

  /// to[i, j] = from[j, i]; the rows of each are this many elements apart. Where `from` has fewer rows
  /// the last one stands for those that are missing.
  [[gnu::always_inline]] static inline void turn(const U* from, Index from_row, U* to, Index to_row,
                                                 Index rows = kSize) {
    Row r[kSize];
#pragma GCC unroll 16
    for (int i = 0; i < kSize; ++i) {
      __builtin_memcpy(&r[i], from + (i < rows ? i : rows - 1) * from_row, sizeof(Row));
    }
    exchange<kSize / 2>(r);
#pragma GCC unroll 16
    for (int i = 0; i < kSize; ++i) __builtin_memcpy(to + i * to_row, &r[i], sizeof(Row));
  }

 private:
  /// Exchanges the two blocks beside the diagonal of every square of 2 Half rows and columns.
  template <int Half>
  [[gnu::always_inline]] static inline void exchange(Row (&r)[kSize]) {
#pragma GCC unroll 16
    for (int i = 0; i < kSize; ++i) {
      if ((i & Half) == 0) swap<Half>(r[i], r[i + Half], std::make_index_sequence<kSize>{});
    }
    if constexpr (Half > 1) exchange<Half / 2>(r);
  }
  template <int Half, std::size_t... I>
  [[gnu::always_inline]] static inline void swap(Row& a, Row& b, std::index_sequence<I...>) {
    const Row left = __builtin_shufflevector(
        a, b, ((I & Half) == 0 ? static_cast<int>(I) : static_cast<int>(I) - Half + kSize)...);
    b = __builtin_shufflevector(
        a, b, ((I & Half) == 0 ? static_cast<int>(I) + Half : static_cast<int>(I) + kSize)...);
    a = left;
  }
};

}  // namespace xtape::kernels
