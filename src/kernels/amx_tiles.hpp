#pragma once
// The processor's tiles, a policy for rounded_amx.hpp. AMX's instructions are written out, because g++'s intrinsics take
// literal numbers of tiles alone. For the sources of kernels only.

#include "kernels/rounded_tile.hpp"

namespace xtape::kernels {
namespace {

// Configuring takes 80 ns, as long as a small product. Attention uses the tiles around its products.
constinit thread_local int t_users = 0;

/// Packing rounds and moves operands.
template <class Packing> struct AmxTiles : Packing {
  /// Configures the thread's tiles unless they are in use.
  [[gnu::always_inline]] static inline void use() {
    struct alignas(64) Layout {
      std::uint8_t palette = 1, first_row = 0, reserved[14] = {};
      std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    static_assert(sizeof(Layout) == 64);
    static constexpr Layout kLayout{};
    if (t_users++ == 0) __asm__ volatile("ldtilecfg %0" : : "m"(kLayout));
  }
  /// Releases the tiles if nothing else uses them, because they cost 8 KiB at every context switch.
  [[gnu::always_inline]] static inline void leave() {
    if (--t_users == 0) __asm__ volatile("tilerelease" : : : "memory");
  }

  template <int T> [[gnu::always_inline]] static inline void load(const void* from, Index pitch) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(pitch), "i"(T) : "memory");
  }
  template <int T> [[gnu::always_inline]] static inline void store(void* to, Index pitch) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(pitch), "i"(T) : "memory");
  }
  template <int C, int A, int B> [[gnu::always_inline]] static inline void multiply() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
  }
};

}  // namespace
}  // namespace xtape::kernels
