// Matrix products of every instruction set against the definition, and bit for bit against themselves for
// every way of cutting the work.

#include "kernels/isa.hpp"
#include "products/gemm.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <cmath>
#include <vector>

using namespace xtape;
using kernels::Accumulate;
using kernels::Index;

namespace {

std::vector<kernels::Isa> all_supported() {
  std::vector<kernels::Isa> found;
  for (const auto isa : {kernels::Isa::baseline, kernels::Isa::avx2, kernels::Isa::avx512}) {
    if (kernels::supported(isa)) found.push_back(isa);
  }
  return found;
}

struct Layout {
  bool a_transposed, b_transposed;
  Index c_gap;  // elements between the end of a row of C and the next
};

template <class T> struct Problem {
  products::Layout s;
  Array<T> a, b, c, bias;

  Problem(Index m, Index n, Index k, Layout layout)
      : s{m,
          n,
          k,
          layout.a_transposed ? 1 : k,
          layout.a_transposed ? m : 1,
          layout.b_transposed ? 1 : n,
          layout.b_transposed ? k : 1,
          n + layout.c_gap},
        a(test::random_array<T>(Shape{static_cast<std::size_t>(m * k)}, 1)),
        b(test::random_array<T>(Shape{static_cast<std::size_t>(k * n)}, 2)),
        c(test::random_array<T>(Shape{static_cast<std::size_t>(m * s.c_row)}, 3)),
        bias(test::random_array<T>(Shape{static_cast<std::size_t>(n)}, 4)) {}

  Array<T> run(Accumulate accumulate) const {
    Array<T> y = c;
    products::multiply<T>({s, a.data(), b.data(), accumulate,
                           accumulate == Accumulate::bias ? bias.data() : nullptr, y.data()});
    return y;
  }

  // Returns C by the definition, in double. Elements between the rows of C stay.
  Array<double> naive(Accumulate accumulate) const {
    Array<double> y(c.shape());
    for (std::size_t i = 0; i < y.size(); ++i) y.data()[i] = static_cast<double>(c.data()[i]);
    for (Index i = 0; i < s.m; ++i) {
      for (Index j = 0; j < s.n; ++j) {
        double sum = accumulate == Accumulate::overwrite ? 0
                     : accumulate == Accumulate::add     ? y.data()[i * s.c_row + j]
                                                         : static_cast<double>(bias.data()[j]);
        for (Index p = 0; p < s.k; ++p) {
          sum += static_cast<double>(a.data()[i * s.a_row + p * s.a_column]) *
                 static_cast<double>(b.data()[p * s.b_row + j * s.b_column]);
        }
        y.data()[i * s.c_row + j] = sum;
      }
    }
    return y;
  }
};

template <class T> double worst(const Array<T>& got, const Array<double>& expected) {
  double difference = 0;
  double largest = 1;
  for (std::size_t i = 0; i < got.size(); ++i) {
    difference =
        std::max(difference, std::abs(static_cast<double>(got.data()[i]) - expected.data()[i]));
    largest = std::max(largest, std::abs(expected.data()[i]));
  }
  return difference / largest;
}

struct DefaultIsa {
  ~DefaultIsa() { kernels::force_isa(std::nullopt); }
};

}  // namespace

TEMPLATE_TEST_CASE("products are added without being rounded, whatever the compiler",
                   "[kernels][gemm]", float, double) {
  using T = TestType;
  const DefaultIsa restore;
  // Columns fill whole vectors, half-width vectors, or parts.
  for (const Index n : {64, 8, 24, 12, 5}) {
    const Problem<T> problem(13, n, 3, {false, false, 0});
    for (const kernels::Isa isa : all_supported()) {
      if (isa == kernels::Isa::baseline) continue;  // has no such instruction
      kernels::force_isa(isa);
      INFO(kernels::name(isa) << ", " << n << " columns");
      const Array<T> y = problem.run(Accumulate::overwrite);
      bool same = true;
      for (Index i = 0; i < 13; ++i) {
        for (Index j = 0; j < n; ++j) {
          T sum = 0;
          for (Index p = 0; p < 3; ++p) {
            sum = std::fma(problem.a.data()[i * 3 + p], problem.b.data()[p * n + j], sum);
          }
          same = same && y.data()[i * n + j] == sum;
        }
      }
      CHECK(same);
    }
  }
}

TEMPLATE_TEST_CASE("every instruction set multiplies as the definition says", "[kernels][gemm]",
                   float, double) {
  using T = TestType;
  const DefaultIsa restore;
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-14;
  // Sizes around those of tiles, packed rows and packed blocks, and empty products.
  const auto [m, n, k] = GENERATE(table<Index, Index, Index>(
      {{1, 1, 1},       {1, 17, 3},    {2, 8, 8},     {5, 15, 2},    {7, 16, 9},
       {11, 33, 4},     {12, 32, 31},  {13, 24, 9},   {14, 12, 7},   {25, 56, 40},
       {13, 31, 17},    {25, 100, 40}, {26, 40, 30},  {49, 70, 300}, {97, 65, 257},
       {100, 300, 513}, {3, 1100, 20}, {200, 5, 600}, {4, 6, 0},     {31, 70, 0}}));
  for (const kernels::Isa isa : all_supported()) {
    kernels::force_isa(isa);
    for (const bool at : {false, true}) {
      for (const bool bt : {false, true}) {
        const Problem<T> problem(m, n, k, {at, bt, m == 7 ? 3 : 0});
        for (const Accumulate accumulate :
             {Accumulate::overwrite, Accumulate::add, Accumulate::bias}) {
          INFO(kernels::name(isa) << " " << m << " x " << k << " x " << n << " " << at << bt << " "
                                  << static_cast<int>(accumulate));
          CHECK(worst(problem.run(accumulate), problem.naive(accumulate)) <= tolerance);
        }
      }
    }
  }
}

TEST_CASE("neither the number of threads nor neighbours change a bit of a product",
          "[kernels][gemm][threads]") {
  const DefaultIsa restore;
  for (const kernels::Isa isa : all_supported()) {
    kernels::force_isa(isa);
    const Problem<float> problem(130, 300, 700, {false, true, 0});
    // Cut along many rows; along rows and columns; along columns alone, as finely as possible.
    const Problem<float> others[] = {{500, 70, 80, {false, false, 0}},
                                     {400, 300, 70, {false, true, 5}},
                                     {30, 130, 900, {true, false, 0}}};
    const auto same = [](const Problem<float>& p) {
      set_num_threads(1);
      const Array<float> expected = p.run(Accumulate::overwrite);
      CHECK(worst(expected, p.naive(Accumulate::overwrite)) <= 2e-6);
      for (const std::size_t threads : {2U, 3U, 4U}) {
        set_num_threads(threads);
        CHECK((p.run(Accumulate::overwrite) == expected));
      }
      set_num_threads(1);
      return expected;
    };
    for (const Problem<float>& other : others) same(other);
    const Array<float> expected = same(problem);
    if (isa == kernels::Isa::baseline) continue;  // BLAS may compute a single row otherwise
    // One row alone, computed by another tile.
    Problem<float> row = problem;
    row.s.m = 1;
    row.a = Array<float>(Shape{700});
    std::copy_n(problem.a.data() + 77 * 700, 700, row.a.data());
    const Array<float> alone = row.run(Accumulate::overwrite);
    CHECK(std::equal(alone.data(), alone.data() + 300, expected.data() + 77 * 300));
  }
}

TEST_CASE("the environment cannot choose what the processor lacks", "[kernels]") {
  CHECK(kernels::supported(kernels::Isa::baseline));
  CHECK(kernels::supported(kernels::active_isa()));
}

TEST_CASE("a sum over rows whose right side overlaps itself, for two threads", "[threads]") {
  // There are more columns than one pass takes. Rows close to each other are read unpacked.
  constexpr std::size_t m = 24, n = 1600, k = 300;
  std::vector<float> a(k * m), b(n + k);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 7) - 3.0F;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 5) - 1.0F;
  const std::size_t before = num_threads();
  set_num_threads(2);
  for (const std::size_t step : {0U, 1U}) {  // from one row of B to the next
    std::vector<float> c(m * n, -1.0F);
    products::multiply<float>({{m, n, k, 1, m, static_cast<kernels::Index>(step), 1, n},
                               a.data(),
                               b.data(),
                               products::Accumulate::overwrite,
                               nullptr,
                               c.data()});
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        float sum = 0;  // of small integers: exact
        for (std::size_t p = 0; p < k; ++p) sum += a[p * m + i] * b[p * step + j];
        if (c[i * n + j] != sum) FAIL(step << ": " << i << ", " << j << ": " << c[i * n + j]);
      }
    }
  }
  set_num_threads(before);
}
