// Compiled with AVX-512 and AVX512-BF16. Nothing of it may run elsewhere.

#include "kernels/amx_packing.hpp"
#include "support/tile_model_kernels.hpp"

namespace xtape::test {

const kernels::GemmTable<float>* tile_model_with_vectors() {
  const bool there =
      kernels::supported(kernels::Isa::avx512) && __builtin_cpu_supports("avx512bf16");
  return there ? &kernels::kGemmTable<float, kernels::AmxGemm<ModelTiles<kernels::VectorPacking>>>
               : nullptr;
}

}  // namespace xtape::test
