#pragma once
/// \file
/// How the operands of matrix products are rounded: docs/arithmetic.md defines the bits.

#include <string>
#include <string_view>

namespace xtape {

/// The numbers that products of float operands multiply. Results are float32, and so is everything but products. An
/// operand in double is never rounded.
enum class Products {
  float32,   ///< operands as they are
  bfloat16,  ///< operands rounded to eight bits of precision; sums in float32
};

/// Sets how products are rounded, for values without a tape and for tapes made from now on whose options do not say.
/// The default is the variable XTAPE_PRODUCTS, or else float32.
void set_products(Products products);
/// The same by name: "float32" or "bfloat16", else ValueError.
void set_products(std::string_view name);

/// Returns what set_products() set. ValueError for a malformed XTAPE_PRODUCTS; so does the first operation.
Products default_products();

/// Returns the name of the numbers and, in brackets, of the kernels that run, as "bfloat16 (avx512_bf16)". Special
/// instructions are compared with plain ones at first use. If their bits differ, they are not used, and the text says
/// so.
std::string describe(Products products);

}  // namespace xtape
