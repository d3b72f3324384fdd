// The traps of xtensor that include/xtape/array/xtensor.hpp and the library's types are there for.

#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/xtensor_views.hpp"

using namespace xtape;

TEST_CASE("xtensor evaluates an expression to an array of dynamic rank", "[xtensor]") {
  xt::xarray<float> a{{1, 2}, {3, 4}};
  const auto evaluated = xt::eval(a + 1.0F);
  STATIC_REQUIRE(std::is_same_v<std::decay_t<decltype(evaluated)>, xt::xarray<float>>);
  CHECK(evaluated.dimension() == 2);
  CHECK(evaluated(1, 1) == 5);
  // Taken for an array of rank 4, this would have been wrong without a message.
  const auto summed = xt::eval(xt::sum(a * 2.0F, {0}));
  CHECK(summed.dimension() == 1);
  CHECK(summed(1) == 12);
}

TEST_CASE("expressions of Arrays evaluate to the right rank and values", "[xtensor]") {
  const Array<double> a = test::array<double>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Array<double> row = test::array<double>({3}, {10, 20, 30});
  const Array<double> sum = a + row;
  CHECK((sum == test::array<double>({2, 3}, {11, 22, 33, 14, 25, 36})));
  const auto evaluated = xt::eval(a * 2.0);
  CHECK(evaluated.dimension() == 2);
  CHECK(evaluated(1, 2) == 12);
}

TEST_CASE("braces make values, Shape makes an array of that shape", "[xtensor]") {
  const Array<double> values({2, 3});
  CHECK(values.shape() == Shape{2});
  CHECK(values(1) == 3);
  const Array<double> shaped(Shape{2, 3});
  CHECK(shaped.shape() == Shape{2, 3});
}

TEST_CASE("views and transposed expressions become row-major arrays", "[xtensor]") {
  const Array<float> a = test::array<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  const Array<float> t = xt::transpose(a);
  CHECK(t.shape() == Shape{3, 2});
  CHECK(std::vector<float>(t.data(), t.data() + 6) == std::vector<float>{1, 4, 2, 5, 3, 6});
  const Var<float> column(xt::view(a, xt::all(), xt::range(1, 2)));
  CHECK((column.value() == test::array<float>({2, 1}, {2, 5})));
}

TEST_CASE("a Var in an xtensor expression is an operation, not a scalar of xtensor's",
          "[xtensor]") {
  Tape<double> tape;
  const Array<double> a = test::array<double>({2}, {1, 2});
  const Var<double> x = tape.watch(test::array<double>({2}, {3, 4}));
  STATIC_REQUIRE(std::is_same_v<decltype(a * x), Var<double>>);
  STATIC_REQUIRE(std::is_same_v<decltype((a + a) * x), Var<double>>);
  STATIC_REQUIRE(std::is_same_v<decltype(x - a), Var<double>>);
  const auto g = tape.backward(sum((a + a) * x));
  CHECK((g[x].value() == test::array<double>({2}, {2, 4})));
}

TEST_CASE("scalars and empty arrays keep their shapes through xtensor", "[xtensor]") {
  const Array<double> scalar(Shape{}, 2.5);
  CHECK(scalar.size() == 1);
  const Array<double> doubled = scalar * 2.0;
  CHECK(doubled.dimension() == 0);
  CHECK(doubled() == 5);
  const Array<double> none(Shape{3, 0});
  const Array<double> still = none + 1.0;
  CHECK(still.shape() == Shape{3, 0});
}

TEST_CASE("storage is aligned to a cache line, also that of evaluated expressions", "[xtensor]") {
  for (const std::size_t n : {1U, 3U, 100U, 10000U}) {
    const Array<float> a(Shape{n}, 1.0F);
    const Array<float> b = a + a;
    CHECK(reinterpret_cast<std::uintptr_t>(b.data()) % 64 == 0);
  }
}
