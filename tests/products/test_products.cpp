// Rounded products against their definition in docs/arithmetic.md, to the bit, for every kernel that this processor
// has; and the settings of the process and of a tape.

#include "kernels/rounded_tile.hpp"
#include "products/choice.hpp"
#include "products/gemm.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/rounded_kernels.hpp"
#include "support/rounded_sum.hpp"

#include <array>
#include <bit>
#include <cstdlib>
#include <vector>

using namespace xtape;
using kernels::Index;
using products::Accumulate;
using products::Product;
using test::differing;
using test::on_each_rounded_kernel;
using test::rounded_sum;

namespace {

/// Computes p by the definition, with denormals as zeros.
void by_definition(const Product<float>& p) {
  const kernels::FlushDenormals flushing;
  for (Index i = 0; i < p.m; ++i) {
    for (Index j = 0; j < p.n; ++j) {
      float& c = p.c[i * p.c_row + j];
      const float start = p.accumulate == Accumulate::overwrite ? 0.0F
                          : p.accumulate == Accumulate::bias    ? p.bias[j]
                                                                : c;
      c = rounded_sum(start, p.k, p.a + i * p.a_row, p.a_column, p.b + j * p.b_column, p.b_row);
    }
  }
}

struct Form {
  const char* name;
  bool a_transposed, b_transposed;
};
constexpr Form kForms[] = {{"NN", false, false}, {"NT", false, true}, {"TN", true, false}};

Product<float> product_of(const Form& form, Index m, Index n, Index k) {
  Product<float> p;
  p.m = m, p.n = n, p.k = k;
  p.a_row = form.a_transposed ? 1 : k;
  p.a_column = form.a_transposed ? m : 1;
  p.b_row = form.b_transposed ? 1 : n;
  p.b_column = form.b_transposed ? k : 1;
  p.c_row = n;
  p.rounding = Products::bfloat16;
  return p;
}

struct ThreadsAgain {
  ~ThreadsAgain() { set_num_threads(2); }
};

}  // namespace

TEST_CASE("rounding to bfloat16: ties to even, denormals to zeros, NaN quiet", "[products]") {
  const auto r = [](std::uint32_t bits) {
    return std::bit_cast<std::uint32_t>(kernels::round_to_bfloat16(std::bit_cast<float>(bits)));
  };
  CHECK(r(0x3F808000U) == 0x3F800000U);
  CHECK(r(0x3F818000U) == 0x3F820000U);
  CHECK(r(0x3F808001U) == 0x3F810000U);
  CHECK(r(0x7F7FFFFFU) == 0x7F800000U);
  CHECK(r(0xFF800000U) == 0xFF800000U);
  CHECK(r(0x7F800001U) == 0x7FC00000U);
  CHECK(r(0xFFFFFFFFU) == 0xFFFF0000U);
  CHECK(r(0x807FFFFFU) == 0x80000000U);
  CHECK(r(0x00800000U) == 0x00800000U);
}

TEST_CASE("rounded products have the defined bits: forms, cuts, kernels, threads",
          "[products][threads]") {
  const Form form = GENERATE(from_range(std::begin(kForms), std::end(kForms)));
  const int kind = GENERATE(0, 1, 2);
  CAPTURE(form.name, kind);
  const ThreadsAgain again;
  struct Size {
    Index m, n, k;
  };
  // Small and large ones; several panels of n and k; one row, column or term.
  std::size_t results = 0, wrong = 0;
  for (const Size& s : {Size{500, 640, 40},
                        {131, 77, 75},
                        {23, 1100, 129},
                        {1100, 5, 33},
                        {37, 45, 600},
                        {7, 9, 31},
                        {1, 300, 70},
                        {300, 1, 300},
                        {90, 80, 1},
                        {48, 32, 64},
                        {100, 24, 1027}}) {
    Product<float> p = product_of(form, s.m, s.n, s.k);
    const std::vector<float> a = test::rounded_numbers(s.m * s.k, 1, kind);
    const std::vector<float> b = test::rounded_numbers(s.k * s.n, 2, kind);
    const std::vector<float> before = test::rounded_numbers(s.m * s.n, 3, kind);
    const std::vector<float> bias = test::rounded_numbers(s.n, 4, kind);
    p.a = a.data();
    p.b = b.data();
    p.bias = bias.data();
    p.accumulate = s.k % 3 == 0   ? Accumulate::add
                   : s.k % 3 == 1 ? Accumulate::bias
                                  : Accumulate::overwrite;
    std::vector<float> expected = before;
    p.c = expected.data();
    by_definition(p);
    on_each_rounded_kernel(kind, [&] {
      for (const std::size_t threads : {1U, 2U, 3U, 4U}) {
        set_num_threads(threads);
        std::vector<float> c = before;
        p.c = c.data();
        products::multiply(p);
        CAPTURE(s.m, s.n, s.k, threads);
        const std::size_t bad = differing(c, expected);
        CHECK(bad == 0);
        wrong += bad;
        results += c.size();
      }
    });
  }
  CHECK(wrong == 0);
  if (kernels::supported(kernels::Isa::avx2)) CHECK(results >= 1'000'000);
}

TEST_CASE("batches of rounded products have the defined bits", "[products][threads]") {
  const int kind = GENERATE(0, 1, 2);
  const ThreadsAgain again;
  constexpr Index kBatch = 210, kM = 32, kN = 50, kK = 43;
  const std::vector<float> a = test::rounded_numbers(kBatch * kM * kK, 1, kind);
  const std::vector<float> b = test::rounded_numbers(kBatch * kK * kN, 2, kind);
  for (const Form& form : kForms) {
    Product<float> p = product_of(form, kM, kN, kK);
    std::vector<float> expected(kBatch * kM * kN);
    for (Index i = 0; i < kBatch; ++i) {
      p.a = a.data() + i * kM * kK;
      p.b = b.data() + i * kK * kN;
      p.c = expected.data() + i * kM * kN;
      by_definition(p);
    }
    kernels::Loop<3> batch;
    batch.push(kBatch, {kM * kK, kK * kN, kM * kN});
    p.a = a.data();
    p.b = b.data();
    on_each_rounded_kernel(kind, [&] {
      for (const std::size_t threads : {1U, 2U, 3U, 4U}) {
        set_num_threads(threads);
        std::vector<float> c(expected.size());
        p.c = c.data();
        products::multiply(p, batch);
        CHECK(differing(c, expected) == 0);
      }
    });
  }
}

TEST_CASE("a part of the packed rows of B is multiplied", "[products]") {
  constexpr Index kM = 11, kN = 50, kAll = 128, kFrom = 64, kK = 37;
  const std::vector<float> a = test::rounded_numbers(kM * kK, 1, 0);
  const std::vector<float> b = test::rounded_numbers(kAll * kN, 2, 0);
  Product<float> p = product_of(kForms[0], kM, kN, kK);
  p.a = a.data();
  p.b = b.data() + kFrom * kN;
  std::vector<float> expected(kM * kN);
  p.c = expected.data();
  by_definition(p);
  on_each_rounded_kernel(0, [&] {
    const auto& table = *products::own_kernels<float>(Products::bfloat16);
    std::vector<float> packed(static_cast<std::size_t>(table.packed_size(kAll, kN)));
    table.pack(kAll, kN, 0, kN, b.data(), kN, 1, packed.data());
    std::vector<float> c(expected.size());
    kernels::GemmBlock<float> block{kM, kN, kK, a.data(), kK, 1, packed.data()};
    block.c = c.data();
    block.c_row = kN;
    block.b_rows = kAll;
    block.from_k = kFrom;
    table.multiply(block);
    CHECK(differing(c, expected) == 0);
  });
}

TEST_CASE("kernels whose bits differ are told apart", "[products]") {
  if (!kernels::supported(kernels::Isa::avx2)) return;
  kernels::force_isa(kernels::Isa::avx2);
  const auto& rounded = *products::own_kernels<float>(Products::bfloat16);
  CHECK(products::same_bits(rounded, rounded));
  CHECK_FALSE(products::same_bits(rounded, *products::own_kernels<float>(Products::float32)));
  CHECK(describe(Products::bfloat16) == "bfloat16 (avx2, rounded by software)");
  CHECK(describe(Products::float32) == "float32 (avx2)");
  kernels::force_isa(std::nullopt);
}

TEST_CASE("products are rounded as the process or the tape says", "[products]") {
  const Array<float> a = test::random_array<float>({9, 40}, 1);
  const Array<float> b = test::random_array<float>({40, 7}, 2);
  const Array<float> plain = matmul(Var<float>(a), Var<float>(b)).value();
  CHECK(default_products() == Products::float32);
  set_products("bfloat16");
  CHECK(default_products() == Products::bfloat16);
  const Array<float> rounded = matmul(Var<float>(a), Var<float>(b)).value();
  Tape<float> as_process;
  const Array<float> inherited = matmul(as_process.watch(a), Var<float>(b)).value();
  set_products(Products::float32);
  CHECK(test::difference(plain, rounded) > 1e-4);
  CHECK(test::difference(plain, rounded) < 0x1p-7 * 40);
  CHECK(test::difference(rounded, inherited) == 0);
  Tape<float> tape({.products = Products::bfloat16});
  CHECK(test::difference(rounded, matmul(Var<float>(a), tape.input(Var<float>(b))).value()) == 0);
  CHECK(test::difference(plain, matmul(Var<float>(a), Var<float>(b)).value()) == 0);
  CHECK(test::error_of<ValueError>([] { set_products("half"); }) ==
        "set_products: unknown numbers: it is 'half', expected float32 or bfloat16; correct it, or "
        "leave it out for float32");
}

TEST_CASE("doubles are never rounded", "[products]") {
  const auto run = [](Products products) {
    Tape<double> tape({.products = products});
    const auto a = tape.watch(test::random_array<double>({9, 40}, 1));
    const auto y = matmul(a, Var<double>(test::random_array<double>({40, 7}, 2)));
    return tape.backward(sum(y * y))[a].value();
  };
  CHECK(test::difference(run(Products::float32), run(Products::bfloat16)) == 0);
}

TEST_CASE("gradients round their products: first, recomputed and second derivatives",
          "[products]") {
  const Array<float> xs = test::random_array<float>({33, 40}, 1);
  const Array<float> ws = test::random_array<float>({40, 20}, 2);
  set_products(Products::bfloat16);
  const auto product = [](const Array<float>& a, const Array<float>& b, MatmulOptions o = {}) {
    return matmul(Var<float>(a), Var<float>(b), o).value();
  };
  const Array<float> y = product(xs, ws);
  Array<float> g = y;
  for (std::size_t i = 0; i < g.size(); ++i) g.data()[i] = y.data()[i] + y.data()[i];
  const Array<float> dx = product(g, ws, {.transpose_b = true});
  const Array<float> dw = product(xs, g, {.transpose_a = true});
  set_products(Products::float32);

  for (const bool recomputed : {false, true}) {
    for (const bool graph : {false, true}) {
      Tape<float> tape({.products = Products::bfloat16});
      const auto x = tape.watch(xs);
      const auto w = tape.watch(ws);
      const auto f = [](const Var<float>& p, const Var<float>& q) { return matmul(p, q); };
      const auto z = recomputed ? checkpoint(f, x, w) : f(x, w);
      CHECK(test::difference(z.value(), y) == 0);
      const auto first = tape.backward(sum(z * z), {.create_graph = graph});
      CHECK(test::difference(first[x].value(), dx) == 0);
      CHECK(test::difference(first[w].value(), dw) == 0);
      if (!graph) continue;
      // d/dw of sum(dx) = 2 (r(x)^T r(r(1) r(w))) + 2 r(r(x) r(w))^T r(1), by operations of the same kind.
      const auto second = tape.backward(sum(first[x]));
      set_products(Products::bfloat16);
      const Array<float> ones = Array<float>::from_shape({33, 40});
      Array<float> one = ones;
      std::fill_n(one.data(), one.size(), 1.0F);
      Array<float> one_w = product(one, ws);  // the gradient of g
      for (std::size_t i = 0; i < one_w.size(); ++i) one_w.data()[i] += one_w.data()[i];
      const Array<float> by_y = product(xs, one_w, {.transpose_a = true});
      const Array<float> by_w = product(one, g, {.transpose_a = true});
      set_products(Products::float32);
      Array<float> expected = by_y;
      for (std::size_t i = 0; i < expected.size(); ++i) expected.data()[i] += by_w.data()[i];
      CHECK(test::difference(second[w].value(), expected) < 1e-4);
    }
  }
}

TEST_CASE(
    "gradients round as their tape says, also behind an activation of operands without a tape",
    "[products]") {
  const Var<float> a(test::random_array<float>({3, 40}, 1));
  const Array<float> w = test::random_array<float>({40, 5}, 2);
  const auto gradient = [&](Products of_tape, bool constant) {
    Tape<float> tape({.products = of_tape});
    const Var<float> x = tape.watch(Var<float>(w));
    const Var<float> y = matmul(constant ? a : tape.input(a), x);
    return tape.backward(sum(square(relu(y) + gelu(y))))[x].value();
  };
  for (const Products of_process : {Products::float32, Products::bfloat16}) {
    set_products(of_process);
    for (const Products of_tape : {Products::float32, Products::bfloat16}) {
      CHECK(test::difference(gradient(of_tape, true), gradient(of_tape, false)) == 0);
    }
  }
  set_products(Products::float32);
}

TEST_CASE("rounded layers with one input are one job with the bits of several",
          "[products][threads]") {
  const ThreadsAgain again;
  constexpr Index kM = 500, kK = 40;
  const std::vector<float> a = test::rounded_numbers(kM * kK, 1, 0);
  const std::vector<float> b = test::rounded_numbers(kK * 200, 2, 0);
  std::vector<Product<float>> all;
  std::vector<float> c(kM * 200), expected(kM * 200);
  Index at = 0;
  for (const Index n : {48, 24, 37}) {
    Product<float> p = product_of(kForms[0], kM, n, kK);
    p.a = a.data();
    p.b = b.data() + at * kK;
    p.c = expected.data() + at * kM;
    products::multiply(p);
    p.c = c.data() + at * kM;
    all.push_back(p);
    at += n;
  }
  for (const std::size_t threads : {1U, 2U, 3U}) {
    set_num_threads(threads);
    std::fill(c.begin(), c.end(), 0.0F);
    if (!products::multiply_sharing_rows<float>(all)) continue;
    CHECK(differing(c, expected) == 0);
  }
}

TEST_CASE("tiles that would be mostly empty are left to plain kernels, with the same bits",
          "[products]") {
  products::force_special_kernels(&test::tile_model());
  const auto* const tiles = products::own_kernels<float>(Products::bfloat16);
  const auto of = [](Index m, Index n, Index k) {
    return products::own_kernels<float>(Products::bfloat16, m, n, k);
  };
  CHECK(of(16, 16, 16) == tiles);
  CHECK(of(1, 256, 256) == tiles);  // much work: packing B is most of it
  for (const auto& [m, n, k] : {std::array<Index, 3>{15, 64, 32}, {64, 15, 32}, {32, 64, 15}}) {
    CHECK(of(m, n, k) != tiles);
    const std::vector<float> a = test::rounded_numbers(m * k, 1, 0);
    const std::vector<float> b = test::rounded_numbers(k * n, 2, 0);
    std::vector<float> c(static_cast<std::size_t>(m * n)), expected = c;
    Product<float> p = product_of(kForms[0], m, n, k);
    p.a = a.data();
    p.b = b.data();
    p.c = c.data();
    products::multiply(p);
    const kernels::GemmBlock<float> block{m,
                                          n,
                                          k,
                                          a.data(),
                                          k,
                                          1,
                                          nullptr,
                                          0,
                                          products::Accumulate::overwrite,
                                          nullptr,
                                          expected.data(),
                                          n};
    tiles->small(block, b.data(), n, 1);
    CHECK(differing(c, expected) == 0);
  }
  products::force_special_kernels(nullptr);
}

TEST_CASE("a summary says which kernels round products", "[products]") {
  Params<float> params({.seed = 1});
  const Dense<float> layer(params.scope() / "d", {.units = 3});
  CHECK_FALSE(test::contains(summary(params), "Products"));
  set_products(Products::bfloat16);
  CHECK(test::contains(summary(params), " Products: " + describe(Products::bfloat16) + "\n"));
  set_products(Products::float32);
}
