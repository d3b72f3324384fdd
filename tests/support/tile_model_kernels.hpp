#pragma once
// The model itself. Each source that includes it has a copy of its own.

#include "kernels/rounded_amx.hpp"
#include "support/tile_model.hpp"

#include <cstdlib>
#include <cstring>

namespace xtape::test {
namespace {

using kernels::Index;
using Word = std::uint32_t;

/// Adds the sums over 16 pairs of a row of A and each column of B to a row of C. Even and odd terms have sums of their own.
[[gnu::noinline, maybe_unused]] void add_pairs(const Word (&a)[16], const Word (&b)[16][16],
                                               Word (&c)[16]) {
  const auto low = [](Word word) { return std::bit_cast<float>(word << 16U); };
  const auto high = [](Word word) { return std::bit_cast<float>(word & 0xFFFF0000U); };
  float even[16] = {};
  float odd[16] = {};
  for (int k = 0; k < 16; ++k) {
    for (int n = 0; n < 16; ++n) {
      even[n] = __builtin_fmaf(low(a[k]), low(b[k][n]), even[n]);
      odd[n] = __builtin_fmaf(high(a[k]), high(b[k][n]), odd[n]);
    }
  }
  for (int n = 0; n < 16; ++n) {
    c[n] = std::bit_cast<Word>(std::bit_cast<float>(c[n]) + (even[n] + odd[n]));
  }
}

/// Rounds and moves elements one by one.
struct PlainPacking {
  static Word word(float low, float high) {
    const auto bits = [](float x) {
      return std::bit_cast<Word>(kernels::round_to_bfloat16(x)) >> 16U;
    };
    return bits(high) << 16U | bits(low);
  }
  template <bool ByLines, bool Pairs>
  static void pack(const float* x, Index line, Index term, Index lines, Index terms, Word* to) {
    const auto value = [&](Index i, Index k) {
      return i < lines && k < terms ? x[i * line + k * term] : 0.0F;
    };
    for (Index row = 0; row < 16; ++row) {
      for (Index j = 0; j < 16; ++j) {
        const Index i = Pairs ? j : row, k = Pairs ? 2 * row : 2 * j;
        to[16 * row + j] = word(value(i, k), value(i, k + 1));
      }
    }
  }
};

/// A policy for tiles; Packing rounds and moves operands. The program ends where the processor would refuse an instruction.
template <class Packing> struct ModelTiles : Packing {
  struct State {
    int users = 0;
    Word tile[8][16][16];
  };
  inline static thread_local State g_state;

  static void use() {
    // NaN, so that tiles that nobody loaded are noticed.
    if (g_state.users++ == 0) std::memset(g_state.tile, 0x7F, sizeof(g_state.tile));
  }
  static void leave() {
    if (--g_state.users < 0) std::abort();
  }

  template <int T> static Word (&tile())[16][16] {
    if (g_state.users <= 0) std::abort();
    return g_state.tile[T];
  }
  template <int T> static void load(const void* from, Index pitch) {
    for (int i = 0; i < 16; ++i) {
      std::memcpy(tile<T>()[i], static_cast<const char*>(from) + i * pitch, 64);
    }
  }
  template <int T> static void store(void* to, Index pitch) {
    for (int i = 0; i < 16; ++i) {
      std::memcpy(static_cast<char*>(to) + i * pitch, tile<T>()[i], 64);
    }
  }
  template <int C, int A, int B> static void multiply() {
    const kernels::FlushDenormals flushing;
    for (int i = 0; i < 16; ++i) add_pairs(tile<A>()[i], tile<B>(), tile<C>()[i]);
  }
};

}  // namespace
}  // namespace xtape::test
