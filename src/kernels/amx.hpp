#pragma once
// AMX: products rounded to bfloat16 in tiles of 16 rows of 64 bytes. It is no instruction set of its own (isa.hpp), but
// an addition to AVX-512 for these products.

#include "kernels/gemm.hpp"

#include <string_view>

namespace xtape::kernels {

/// The tag of packing for tiles, beside Avx512.
struct Amx {};

inline constexpr std::string_view kAmxName = "amx";  // for XTAPE_ISA

/// Returns whether processor and operating system have AMX for bfloat16, and AVX512-BF16 for packing.
bool has_amx() noexcept;
/// Returns whether AMX may be used: has_amx(), and XTAPE_ISA names no other instruction set.
bool chooses_amx() noexcept;
/// Asks the operating system once a process for the permission to use tiles, and returns the answer. Requires has_amx().
bool may_use_amx() noexcept;
/// Returns the rounded products by tiles. Only a thread that may use AMX may call them.
const GemmTable<float>& amx_kernels() noexcept;

}  // namespace xtape::kernels
