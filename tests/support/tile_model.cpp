#include "support/tile_model_kernels.hpp"

namespace xtape::test {

const kernels::GemmTable<float>& tile_model() {
  return kernels::kGemmTable<float, kernels::AmxGemm<ModelTiles<PlainPacking>>>;
}

#if !defined(XTAPE_TILE_MODEL_AVX512)
const kernels::GemmTable<float>* tile_model_with_vectors() { return nullptr; }
#endif

}  // namespace xtape::test
