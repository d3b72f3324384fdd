#pragma once
// Dropout with Philox words that depend on the element's position only.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <cstdint>

namespace xtape::kernels {

/// Specialized per element type and instruction set (`A`, a tag of isa.hpp); the functions below choose.
template <class T, class A> struct Dropout {
  static void apply(Index first, Index n, double rate, std::uint64_t seed, std::uint64_t index,
                    const T* x, T* y);
};

/// Stores y = x * keep / (1 - rate) for the elements first ... first + n - 1 of the whole array.
template <class T>
void dropout(Index first, Index n, double rate, std::uint64_t seed, std::uint64_t index, const T* x,
             T* y) {
  on_isa([&](auto isa) { Dropout<T, decltype(isa)>::apply(first, n, rate, seed, index, x, y); });
}

}  // namespace xtape::kernels
