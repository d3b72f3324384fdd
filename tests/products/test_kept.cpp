#include "products/kept.hpp"

#include "products/choice.hpp"
#include "support/catch.hpp"

#include <xtape/ops/reductions.hpp>
#include <xtape/optim/optimizers.hpp>
#include <xtape/params/params.hpp>
#include <xtape/tape/tape.hpp>

#include <utility>
#include <vector>

using namespace xtape;
using products::Index;
using products::KeepsPanels;
using products::KeptPanels;
using Floats = std::vector<float>;

namespace {

Floats numbers(Index n, unsigned state) {
  Floats x(static_cast<std::size_t>(n));
  for (float& value : x) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8U) * 0x1p-23F - 1;
  }
  return x;
}

/// Returns x w for a weight w (k x n), which may be stored transposed. Panels cut it in k and n.
Floats product(const Floats& x, const Floats& w, Index m, Index n, Index k, bool transposed,
               Products rounding) {
  Floats y(static_cast<std::size_t>(m * n));
  products::Product<float> p;
  p.m = m;
  p.n = p.c_row = n;
  p.k = p.a_row = k;
  p.a_column = 1;
  p.b_row = transposed ? 1 : n;
  p.b_column = transposed ? k : 1;
  p.a = x.data();
  p.b = w.data();
  p.c = y.data();
  p.rounding = rounding;
  products::multiply(p);
  return y;
}

}  // namespace

TEST_CASE("weights that stay packed give the same products") {
  constexpr Index kM = 5, kN = 1100, kK = 700;
  const Floats x = numbers(kM * kK, 1), w = numbers(kK * kN, 2);
  for (const Products rounding : {Products::float32, Products::bfloat16}) {
    for (const bool transposed : {false, true}) {
      const Floats expected = product(x, w, kM, kN, kK, transposed, rounding);
      KeptPanels<float> weights;
      weights.watch(w.data(), w.size(), nullptr);
      const KeepsPanels<float> use(weights);
      for (int step = 0; step < 3; ++step) {
        CHECK(product(x, w, kM, kN, kK, transposed, rounding) == expected);
      }
    }
  }
}

TEST_CASE("only the arrays that are named stay packed, and only where they are used") {
  constexpr Index kSide = 64;
  const Floats x = numbers(kSide * kSide, 1);
  Floats w = numbers(kSide * kSide, 2), other = numbers(kSide * kSide, 3);
  const Products rounding = GENERATE(Products::float32, Products::bfloat16);
  const auto of = [&](const Floats& weights) {
    return product(x, weights, kSide, kSide, kSide, true, rounding);
  };
  KeptPanels<float> weights;
  weights.watch(w.data(), w.size(), nullptr);
  {
    const KeepsPanels<float> use(weights);
    const Floats before = of(w), before_other = of(other);
    // The promise that w does not change is broken, to see what stays.
    for (float& value : w) value = 0;
    for (float& value : other) value = 0;
    CHECK(of(w) == before);
    CHECK(of(other) == Floats(before_other.size(), 0.0F));
  }
  CHECK(of(w) == Floats(w.size(), 0.0F));
}

TEST_CASE("parameters name themselves where there is no tape") {
  Params<float> params;
  const Parameter<float> kernel = params.scope().reserve("kernel");
  kernel.build({64, 64}, "glorot_uniform");
  KeptPanels<float> weights;
  const KeepsPanels<float> use(weights);
  const auto size = [](float*) {};
  products::Product<float> p;
  p.b = kernel.value().data();
  CHECK(weights.packed(nullptr, p, 1, size) == nullptr);
  const Var<float> value = kernel.value_for(detail::NodeRef<float>{});
  CHECK(value.data() == p.b);
  CHECK(weights.packed(nullptr, p, 1, size) != nullptr);
}

TEST_CASE("weights that change while they are kept are other arrays", "[products]") {
  Params<float> params;
  const Parameter<float> kernel = params.scope().reserve("kernel");
  kernel.build({64, 64}, "glorot_uniform");
  const Floats x = numbers(64 * 64, 1);
  const Products rounding = GENERATE(Products::float32, Products::bfloat16);
  const auto with = [&](const Var<float>& w) {
    return product(x, Floats(w.data(), w.data() + w.size()), 64, 64, 64, false, rounding);
  };
  KeptPanels<float> weights;
  const KeepsPanels<float> use(weights);
  const auto kept = [&] {
    const Var<float> w = kernel.value_for(detail::NodeRef<float>{});
    Floats y(64 * 64);
    products::Product<float> p;
    p.m = p.n = p.k = p.a_row = p.b_row = p.c_row = 64;
    p.a_column = p.b_column = 1;
    p.a = x.data();
    p.b = w.data();
    p.c = y.data();
    p.rounding = rounding;
    products::multiply(p);
    return std::pair(y, with(w));
  };
  const auto [first, expected_first] = kept();
  CHECK(first == expected_first);
  Tape<float> tape;
  const auto gradients =
      tape.backward(sum(kernel.value_for(tape.input(Array<float>(Shape{1}, 1.0F)))));
  SGD<float>({.learning_rate = 0.5}).step(params, gradients);
  const auto [second, expected_second] = kept();
  CHECK(second == expected_second);
  CHECK(second != first);
  params.set("kernel", Array<float>(Shape{64, 64}, 0.5F));
  const auto [third, expected_third] = kept();
  CHECK(third == expected_third);
  CHECK(third != second);
}
