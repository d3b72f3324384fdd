#pragma once
// The kernels that compute products.

#include "kernels/gemm.hpp"

#include <xtape/products/products.hpp>

namespace xtape::products {

using kernels::GemmTable;
using kernels::Index;

/// Returns the kernels of the active instruction set for products rounded this way; null where they go to BLAS, which
/// rounded ones never do.
template <class T> const GemmTable<T>* own_kernels(Products rounding);

inline constexpr double kSmallWork =
    1 << 15U;  // multiplications below which B is packed on the stack

/// Returns the same for products of these extents: without AMX where tiles would be mostly empty.
template <class T> const GemmTable<T>* own_kernels(Products rounding, Index m, Index n, Index k);

/// Returns own_kernels() of rounded floats, and null for doubles, which are never rounded.
template <class T> const GemmTable<T>* rounded_kernels(Index m, Index n, Index k) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return own_kernels<T>(Products::bfloat16, m, n, k);
  } else {
    return nullptr;
  }
}

/// Returns whether two kernels compute the same bits for a few products of all kinds of numbers.
bool same_bits(const GemmTable<float>& a, const GemmTable<float>& b);

/// Makes rounded products use no special instructions. For tests.
void force_plain_rounding(bool plain) noexcept;
/// Makes rounded products use these kernels instead of special instructions; null restores those. For tests.
void force_special_kernels(const GemmTable<float>* kernels) noexcept;

}  // namespace xtape::products
