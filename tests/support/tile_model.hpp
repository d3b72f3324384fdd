#pragma once
// A model of AMX's tiles in plain C++, after the pseudo-code of Intel's manual ("TDPBF16PS", "TILELOADD"), so that the
// products by tiles (kernels/rounded_amx.hpp) are tested on processors without them.

#include "kernels/gemm.hpp"

namespace xtape::test {

/// Returns the products by tiles with the model. Operands are rounded one by one.
const kernels::GemmTable<float>& tile_model();
/// Returns the same with the packing of the processor's AVX512-BF16; null without it.
const kernels::GemmTable<float>* tile_model_with_vectors();

}  // namespace xtape::test
