#pragma once
// Transposes of square blocks in registers. For the sources of kernels only (see simd.hpp).

#include "kernels/lanes.hpp"

namespace xtape::kernels {

/// A square block, as wide as a vector, of unsigned integers U of the size of the elements.
template <class U, class A> struct Square {
  static constexpr int kBytes = static_cast<int>(sizeof(Vec<float, A>));
  static constexpr int kSize = kBytes / static_cast<int>(sizeof(U));
  using Row =
      std::conditional_t<sizeof(U) == 4, typename Lanes<kBytes>::U32, typename Lanes<kBytes>::U64>;

  /// Stores to[i * to_row + j] = from[min(j, rows - 1) * from_row + i] for i, j < kSize.
  [[gnu::always_inline]] static inline void transpose(const U* from, Index from_row, U* to,
                                                      Index to_row, Index rows = kSize) {
    Row r[kSize];
#pragma GCC unroll 16
    for (int i = 0; i < kSize; ++i) {
      __builtin_memcpy(&r[i], from + (i < rows ? i : rows - 1) * from_row, sizeof(Row));
    }
    turn(r);
#pragma GCC unroll 16
    for (int i = 0; i < kSize; ++i) __builtin_memcpy(to + i * to_row, &r[i], sizeof(Row));
  }

  /// Transposes a square in registers.
  [[gnu::always_inline]] static inline void turn(Row (&r)[kSize]) { exchange<kSize / 2>(r); }

 private:
  /// Exchanges the two blocks off the diagonal in every square of 2 * Half rows, for Half, Half / 2, ... 1.
  template <int Half> [[gnu::always_inline]] static inline void exchange(Row (&r)[kSize]) {
#pragma GCC unroll 16
    for (int i = 0; i < kSize; ++i) {
      if ((i & Half) == 0) swap<Half>(r[i], r[i + Half], std::make_index_sequence<kSize>{});
    }
    if constexpr (Half > 1) exchange<Half / 2>(r);
  }
  /// Stores a[l] = (l & Half) ? b[l - Half] : a[l] and b[l] = (l & Half) ? b[l] : a[l + Half].
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
