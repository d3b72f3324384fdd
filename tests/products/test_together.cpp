// Several products in one job against one after the other: the same bits.

#include "kernels/reduce.hpp"
#include "products/gemm.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/isa.hpp"

#include <vector>

using namespace xtape;
using kernels::Index;
using products::Accumulate;
using products::Product;

namespace {

template <class T> Array<T> random(Index n, std::uint64_t seed) {
  return test::random_array<T>({static_cast<std::size_t>(n)}, seed);
}

struct Threads {
  explicit Threads(std::size_t n) { set_num_threads(n); }
  ~Threads() { set_num_threads(2); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
};

template <class T> void alone(const Product<T>& p) {
  if (!p.add_rounded) {
    products::multiply(p);
    return;
  }
  Array<T> product(Shape{static_cast<std::size_t>(p.m), static_cast<std::size_t>(p.n)});
  Product<T> rounded = p;
  rounded.add_rounded = false;
  rounded.c = product.data();
  rounded.c_row = p.n;
  products::multiply(rounded);
  for (Index i = 0; i < p.m; ++i) {
    for (Index j = 0; j < p.n; ++j) p.c[i * p.c_row + j] += product.data()[i * p.n + j];
  }
}

}  // namespace

TEMPLATE_TEST_CASE("products of the same rows, together, are those one by one to the bit",
                   "[blas][threads]", float, double) {
  using T = TestType;
  const Index m = GENERATE(70, 500);
  const Index k = 40;
  const Array<T> a = random<T>(m * k, 1);
  for (const std::size_t threads : {1U, 2U, 3U}) {
    const Threads set(threads);
    test::on_each_isa([&] {
      // Widths that are read as they are, and others; with a bias, and without.
      std::vector<Index> widths{48, 24, 37};
      if (m == 70) widths = {64, 64, 40};
      std::vector<Array<T>> b, bias, c, expected;
      for (std::size_t i = 0; i < 3; ++i) {
        b.push_back(random<T>(k * widths[i], 10 + i));
        bias.push_back(random<T>(widths[i], 20 + i));
        c.push_back(random<T>(m * widths[i], 30 + i));
      }
      expected = c;
      std::vector<Product<T>> products;
      for (std::size_t i = 0; i < 3; ++i) {
        const Index n = widths[i];
        const Accumulate accumulate = i == 0   ? Accumulate::overwrite
                                      : i == 1 ? Accumulate::bias
                                               : Accumulate::add;
        products.push_back({{m, n, k, k, 1, n, 1, n},
                            a.data(),
                            b[i].data(),
                            accumulate,
                            bias[i].data(),
                            expected[i].data(),
                            false});
        alone(products.back());
        products.back().c = c[i].data();
      }
      const bool own = kernels::active_isa() != kernels::Isa::baseline;
      REQUIRE(products::multiply_sharing_rows<T>(products) == own);
      if (own) {
        for (std::size_t i = 0; i < 3; ++i) CHECK((c[i] == expected[i]));
      }
    });
  }
}

TEMPLATE_TEST_CASE("products are added to what is there, each rounded first", "[blas][threads]",
                   float, double) {
  using T = TestType;
  const Index m = 301;
  const Index n = GENERATE(30, 64);
  const Index gap = GENERATE(0, 5);  // elements between the rows of C
  for (const std::size_t threads : {1U, 2U, 3U}) {
    const Threads set(threads);
    test::on_each_isa([&] {
      if (kernels::active_isa() == kernels::Isa::baseline) return;
      for (const bool first : {false, true}) {
        Array<T> c = random<T>(m * (n + gap), 1);
        Array<T> expected = c;
        std::vector<Array<T>> a, b;
        std::vector<Product<T>> products;
        for (const Index k : {48, 17, 32}) {
          a.push_back(random<T>(m * k, 2 + static_cast<std::uint64_t>(k)));
          b.push_back(random<T>(n * k, 3 + static_cast<std::uint64_t>(k)));
          // B's columns are apart, as in the gradient of what is projected.
          products.push_back({{m, n, k, k, 1, 1, k, n + gap},
                              a.back().data(),
                              b.back().data(),
                              Accumulate::overwrite,
                              nullptr,
                              expected.data(),
                              first || !products.empty()});
          alone(products.back());
          products.back().c = c.data();
        }
        REQUIRE(products::multiply_sharing_rows<T>(products));
        CHECK((c == expected));
      }
    });
  }
}

TEMPLATE_TEST_CASE("sums over rows and of columns, together, are those one by one to the bit",
                   "[blas][threads]", float, double) {
  using T = TestType;
  const Index rows = GENERATE(256, 259, 700);
  for (const std::size_t threads : {1U, 2U, 3U}) {
    const Threads set(threads);
    test::on_each_isa([&] {
      // Narrow enough to be read as they are.
      std::vector<Index> widths{16, 16, 8, 16};
      if (kernels::active_isa() == kernels::Isa::avx512) widths = {32, 64, 16, 128};
      const Index m = 29;
      const Array<T> a = random<T>(rows * m, 1);
      std::vector<Array<T>> g, c, sums;
      std::vector<Product<T>> products;
      std::vector<detail::ColumnSums<T>> columns;
      for (std::size_t i = 0; i < widths.size(); ++i) {
        const Index n = widths[i];
        g.push_back(random<T>(rows * n, 10 + i));
        c.push_back(random<T>(m * n, 20 + i));
        sums.push_back(random<T>(n, 30 + i));
      }
      for (std::size_t i = 0; i < widths.size(); ++i) {
        const Index n = widths[i];
        products.push_back({{m, n, rows, 1, m, n, 1, n},
                            a.data(),
                            g[i].data(),
                            Accumulate::overwrite,
                            nullptr,
                            c[i].data(),
                            false});
        if (i != 1) columns.push_back({n, n, g[i].data(), sums[i].data()});
      }
      const bool expects = threads == 2 && kernels::active_isa() != kernels::Isa::baseline;
      REQUIRE(products::multiply_split_k<T>(products, columns) == expects);
      if (!expects) return;
      set_num_threads(1);
      for (std::size_t i = 0; i < widths.size(); ++i) {
        Product<T> p = products[i];
        Array<T> expected(c[i].shape());
        p.c = expected.data();
        alone(p);
        CHECK((c[i] == expected));
        if (i == 1) continue;
        Array<T> sum(sums[i].shape());
        kernels::Loop<1> kept, reduced;
        kept.push(widths[i], {1});
        reduced.push(rows, {widths[i]});
        kernels::reduce(kernels::Reduce::sum, kept, reduced, g[i].data(), sum.data());
        CHECK((sums[i] == sum));
      }
      set_num_threads(2);
    });
  }
}

TEST_CASE("what is no gain together is left alone", "[blas]") {
  set_num_threads(2);
  const Index m = 600;
  const Array<float> a = random<float>(m * 600, 1);
  const Array<float> b = random<float>(600 * 600, 2);
  Array<float> c = random<float>(600 * 600, 3);
  const Array<float> before = c;
  const auto rows = [&](Index n, Index k, Index rows_of_second) {
    std::vector<Product<float>> two(2);
    for (Product<float>& p : two) {
      p = {{m, n, k, k, 1, n, 1, n},
           a.data(),
           b.data(),
           Accumulate::overwrite,
           nullptr,
           c.data(),
           false};
    }
    two[1].m = rows_of_second;
    return products::multiply_sharing_rows<float>(two);
  };
  CHECK_FALSE(rows(8, 8, m));      // little work
  CHECK_FALSE(rows(600, 600, m));  // right sides of more than a core's own cache
  CHECK_FALSE(rows(32, 32, 599));  // not the same rows
  CHECK_FALSE(rows(32, 0, m));
  std::vector<Product<float>> one{{{32, 32, m, 1, 32, 32, 1, 32},
                                   a.data(),
                                   b.data(),
                                   Accumulate::overwrite,
                                   nullptr,
                                   c.data(),
                                   false}};
  const Product<float> good = one[0];
  CHECK_FALSE(products::multiply_sharing_rows<float>(one));  // one needs no company
  one[0].k = 255;
  CHECK_FALSE(products::multiply_split_k<float>(one, {}));  // few rows
  one[0] = good;
  const std::vector<detail::ColumnSums<float>> single{{1, 1, b.data(), c.data()}};
  CHECK_FALSE(products::multiply_split_k<float>(one, single));
  const std::vector<detail::ColumnSums<float>> wide{{600, 600, b.data(), c.data()},
                                                    {600, 600, b.data(), c.data()}};
  CHECK_FALSE(products::multiply_split_k<float>(one, wide));
  CHECK((c == before));
}
