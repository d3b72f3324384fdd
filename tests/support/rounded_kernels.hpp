#pragma once
// Numbers for products in bfloat16, and every kernel that computes them.

#include "products/choice.hpp"
#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/tile_model.hpp"

#include <xtape/xtape.hpp>

#include <bit>
#include <cmath>
#include <vector>

namespace xtape::test {

/// Numbers near one; over many powers of two, with denormals; or with infinities and NaN.
inline std::vector<float> rounded_numbers(kernels::Index n, std::uint64_t seed, int kind) {
  std::vector<float> x(static_cast<std::size_t>(n));
  RandomStream stream(seed, 5);
  const auto below = [&](std::uint32_t end) {
    return static_cast<std::uint32_t>(stream.uniform() * end);
  };
  for (float& value : x) {
    std::uint32_t exponent = kind == 0   ? 120 + below(8)
                             : kind == 1 ? 30 + below(70)
                                         : 100 + below(50);
    if (kind == 1 && below(17) == 0) exponent = 0;
    std::uint32_t bits = below(2) << 31U | exponent << 23U | below(1U << 23U);
    if (kind == 2 && below(2001) == 0) bits = below(2) << 31U | 0x7F800000U | below(2) * 0x7FFFFFU;
    value = std::bit_cast<float>(bits);
  }
  return x;
}

/// Returns the number of elements with other bits. One NaN is as good as another.
inline std::size_t differing(const std::vector<float>& x, const std::vector<float>& y) {
  REQUIRE(x.size() == y.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool same = std::bit_cast<std::uint32_t>(x[i]) == std::bit_cast<std::uint32_t>(y[i]);
    count += !same && !(std::isnan(x[i]) && std::isnan(y[i])) ? 1 : 0;
  }
  return count;
}

/// Calls f for every kernel of rounded products: special instructions and software of each instruction set, and the model
/// of AMX beside the widest one. Without fused multiply-adds the bits are the defined ones as long as no product over- or
/// underflows, as in numbers of kind 0.
template <class F> void on_each_rounded_kernel(int kind, const F& f) {
  struct Restore {
    ~Restore() {
      products::force_plain_rounding(false);
      products::force_special_kernels(nullptr);
    }
  } restore;
  const auto* const model = tile_model_with_vectors();
  on_each_isa([&] {
    const bool fuses = products::own_kernels<float>(Products::float32) != nullptr;
    if (!fuses && kind != 0) return;
    const auto run = [&] {
      INFO(describe(Products::bfloat16));
      f();
    };
    run();
    products::force_plain_rounding(true);
    run();
    products::force_plain_rounding(false);
    if (kernels::active_isa() != supported_isas().back()) return;
    products::force_special_kernels(model != nullptr ? model : &tile_model());
    run();
    products::force_special_kernels(nullptr);
  });
}

}  // namespace xtape::test
