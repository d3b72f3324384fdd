#pragma once
// Products of floats that are rounded to bfloat16 while they are packed; sums are float32. Each element of C is
//
//   c = 0, bias or C
//   for each group of 32 terms, the last filled with zeros:
//     even = odd = +0
//     even = fma(a[k], b[k], even) for k = 0, 2, ...; odd = fma(a[k], b[k], odd) for k = 1, 3, ...
//     c = c + (even + odd)
//
// with denormal operands and results as zeros. This is the order of AMX's TDPBF16PS. VDPBF16PS adds the odd slot of a
// pair, then the even one, so it walks one chain if its slots hold (k + 2, k). Cuts of k are multiples of kGroup.

#include "kernels/gemm.hpp"

#include <bit>
#include <cstdint>

namespace xtape::kernels {

/// The processor's AVX512-BF16, beside Avx512.
struct Avx512Bf16 {};
/// Returns whether the processor has it, and an operating system that saves its registers, and computes faster with it
/// than in float32. AMD's do. Intel's have half the speed.
bool has_avx512_bf16() noexcept;

/// Returns x rounded to bfloat16: to nearest, ties to even. Denormals become zeros, and NaN become quiet. For code
/// outside kernels.
inline float round_to_bfloat16(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return std::bit_cast<float>((bits | 0x00400000U) & 0xFFFF0000U);
  if (magnitude < 0x00800000U) return std::bit_cast<float>(bits & 0x80000000U);
  return std::bit_cast<float>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) & 0xFFFF0000U);
}

/// Has the functions of GemmKernels<float, A>. Packed sizes are in floats.
template <class A> struct RoundedGemm {
  static constexpr Index kGroup = 32;
  static bool reads_unpacked(Index n, Index k, Index b_row, Index b_column);  // never
  static Index packed_size(Index k, Index n);
  static void pack(Index k, Index n, Index first, Index last, const float* b, Index b_row,
                   Index b_column, float* packed);
  static void pack_rows(Index k, Index n, Index first, Index last, const float* b, Index b_row,
                        float* packed);
  static void multiply(const GemmBlock<float>& block);
  static void small(const GemmBlock<float>& block, const float* b, Index b_row, Index b_column);
};

}  // namespace xtape::kernels
