#pragma once
// Rounding of floats to bfloat16. For the sources of kernels only (see simd.hpp).

#include "kernels/lanes.hpp"

namespace xtape::kernels {

/// Returns x with every lane rounded to bfloat16. Denormals become zeros.
template <class V> [[gnu::always_inline]] inline V rounded(const V& x) {
  using U = typename Lanes<static_cast<int>(sizeof(V))>::U32;
  using I = decltype(U{} == U{});  // signed lanes, which every instruction set compares
  const U u = bits_as<U>(x.data);
  const I magnitude = (I)(u & 0x7FFFFFFFU);
  const U nan = (U)(magnitude > 0x7F800000);
  const U normal = (U)(magnitude > 0x007FFFFF);
  const U nearest = u + (((u >> 16U) & 1U) + 0x7FFFU);
  const U chosen = (nearest & ~nan) | ((u | 0x00400000U) & nan);
  return V(bits_as<typename V::register_type>(chosen & (normal | 0x80000000U) & 0xFFFF0000U));
}

}  // namespace xtape::kernels
