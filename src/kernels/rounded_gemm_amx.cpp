// Rounded products with AMX.

#include "kernels/amx_packing.hpp"
#include "kernels/amx_tiles.hpp"
#include "kernels/rounded_amx.hpp"

namespace xtape::kernels {
namespace {

using Kernels = RoundedGemm<Amx>;
using Tiles = AmxGemm<AmxTiles<VectorPacking>>;

}  // namespace

template <> bool Kernels::reads_unpacked(Index n, Index k, Index b_row, Index b_column) {
  return Tiles::reads_unpacked(n, k, b_row, b_column);
}

template <> Index Kernels::packed_size(Index k, Index n) { return Tiles::packed_size(k, n); }

template <>
void Kernels::pack(Index k, Index n, Index first, Index last, const float* b, Index b_row,
                   Index b_column, float* packed) {
  Tiles::pack(k, n, first, last, b, b_row, b_column, packed);
}

template <>
void Kernels::pack_rows(Index k, Index n, Index first, Index last, const float* b, Index b_row,
                        float* packed) {
  Tiles::pack_rows(k, n, first, last, b, b_row, packed);
}

template <> void Kernels::multiply(const GemmBlock<float>& block) { Tiles::multiply(block); }

template <>
void Kernels::small(const GemmBlock<float>& block, const float* b, Index b_row, Index b_column) {
  Tiles::small(block, b, b_row, b_column);
}

}  // namespace xtape::kernels
