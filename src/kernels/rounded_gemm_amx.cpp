// Rounded products with AMX.

#include "kernels/amx_packing.hpp"
#include "kernels/amx_tiles.hpp"
#include "kernels/rounded_amx.hpp"

namespace xtape::kernels {

const GemmTable<float>& amx_kernels() noexcept {
  return kGemmTable<float, AmxGemm<AmxTiles<VectorPacking>>>;
}

}  // namespace xtape::kernels
