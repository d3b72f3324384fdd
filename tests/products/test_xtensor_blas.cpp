// Products and reductions against xtensor-blas and xtensor's reducers: other people's code.

#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/xtensor_views.hpp"

#include <xtensor-blas/xlinalg.hpp>

using namespace xtape;
using test::difference;
using test::random_array;

namespace {

// Sums of up to 100 products of numbers below 1.
template <class T> constexpr double kTolerance = sizeof(T) == 4 ? 2e-5 : 1e-13;

template <class T, class E> Array<T> evaluated(const E& expression) {
  Array<T> result(Shape(expression.shape().begin(), expression.shape().end()));
  std::copy(expression.template begin<xt::layout_type::row_major>(),
            expression.template end<xt::layout_type::row_major>(), result.data());
  return result;
}

}  // namespace

TEMPLATE_TEST_CASE("matmul agrees with xtensor-blas", "[blas]", float, double) {
  using T = TestType;
  const auto [m, k, n] = GENERATE(table<std::size_t, std::size_t, std::size_t>(
      {{1, 1, 1}, {2, 3, 4}, {7, 1, 5}, {1, 9, 1}, {64, 64, 64}, {65, 33, 100}}));
  const Array<T> a = random_array<T>({m, k}, 1);
  const Array<T> b = random_array<T>({k, n}, 2);
  const Array<T> expected = evaluated<T>(xt::linalg::dot(a, b));
  CHECK(difference(matmul(Var<T>(a), b).value(), expected) <= kTolerance<T>);
  SECTION("with transposed operands") {
    const Var<T> at = transpose(Var<T>(a));
    const Var<T> bt = transpose(Var<T>(b));
    CHECK(difference(matmul(at, b, {.transpose_a = true}).value(), expected) <= kTolerance<T>);
    CHECK(difference(matmul(Var<T>(a), bt, {.transpose_b = true}).value(), expected) <=
          kTolerance<T>);
    CHECK(difference(matmul(at, bt, {.transpose_a = true, .transpose_b = true}).value(),
                     expected) <= kTolerance<T>);
  }
  SECTION("a matrix with its own transpose") {
    // The oracle gets a copy: with one data pointer on both sides it takes a short cut of its own.
    const Array<T> copy = evaluated<T>(xt::transpose(a));
    CHECK(difference(matmul(Var<T>(a), Var<T>(a), {.transpose_b = true}).value(),
                     evaluated<T>(xt::linalg::dot(a, copy))) <= kTolerance<T>);
  }
}

TEMPLATE_TEST_CASE("matmul of vectors agrees with xtensor-blas", "[blas]", float, double) {
  using T = TestType;
  const Array<T> a = random_array<T>({4, 6}, 1);
  const Array<T> v = random_array<T>({6}, 2);
  const Array<T> w = random_array<T>({4}, 3);
  const Array<T> u = random_array<T>({6}, 4);
  CHECK(difference(matmul(Var<T>(a), v).value(), evaluated<T>(xt::linalg::dot(a, v))) <=
        kTolerance<T>);
  CHECK(difference(matmul(Var<T>(w), a).value(), evaluated<T>(xt::linalg::dot(w, a))) <=
        kTolerance<T>);
  CHECK(std::abs(dot(Var<T>(u), v).item() - xt::linalg::dot(u, v)(0)) <= kTolerance<T>);
  CHECK(difference(outer(Var<T>(w), v).value(), evaluated<T>(xt::linalg::outer(w, v))) <=
        kTolerance<T>);
}

TEMPLATE_TEST_CASE("batched matmul agrees with xtensor-blas matrix by matrix", "[blas]", float,
                   double) {
  using T = TestType;
  const Array<T> a = random_array<T>({3, 4, 5}, 1);
  const Array<T> b = random_array<T>({3, 5, 2}, 2);
  const Array<T> shared = random_array<T>({5, 2}, 3);
  const Array<T> y = matmul(Var<T>(a), b).value();
  const Array<T> z = matmul(Var<T>(a), shared).value();
  REQUIRE(y.shape() == Shape{3, 4, 2});
  for (std::size_t i = 0; i < 3; ++i) {
    const Array<T> ai = evaluated<T>(xt::view(a, i));
    const Array<T> bi = evaluated<T>(xt::view(b, i));
    CHECK(difference(evaluated<T>(xt::view(y, i)), evaluated<T>(xt::linalg::dot(ai, bi))) <=
          kTolerance<T>);
    CHECK(difference(evaluated<T>(xt::view(z, i)), evaluated<T>(xt::linalg::dot(ai, shared))) <=
          kTolerance<T>);
  }
}

TEMPLATE_TEST_CASE("einsum agrees with xtensor-blas tensordot", "[blas]", float, double) {
  using T = TestType;
  const Array<T> a = random_array<T>({3, 4, 5}, 1);
  const Array<T> b = random_array<T>({4, 5, 6}, 2);
  const Array<T> c = random_array<T>({5, 3, 2}, 3);
  CHECK(difference(einsum("abc,bcd->ad", Var<T>(a), b).value(),
                   evaluated<T>(xt::linalg::tensordot(a, b, 2))) <= kTolerance<T>);
  CHECK(difference(einsum("abc,cad->bd", Var<T>(a), c).value(),
                   evaluated<T>(xt::linalg::tensordot(a, c, {0, 2}, {1, 0}))) <= kTolerance<T>);
}

TEMPLATE_TEST_CASE("products of nothing are zeros of the right shape", "[blas]", float, double) {
  using T = TestType;
  const auto product = [](const Shape& a, const Shape& b) {
    return matmul(Var<T>(random_array<T>(a, 1)), random_array<T>(b, 2)).value();
  };
  CHECK(product({0, 3}, {3, 2}).shape() == Shape{0, 2});
  CHECK(product({2, 3}, {3, 0}).shape() == Shape{2, 0});
  CHECK(product({0, 2, 3}, {3, 4}).shape() == Shape{0, 2, 4});
  CHECK((product({2, 0}, {0, 3}) == detail::full<T>({2, 3}, T(0))));
  CHECK((product({4, 2, 0}, {4, 0, 3}) == detail::full<T>({4, 2, 3}, T(0))));
}

TEMPLATE_TEST_CASE("a contraction of several letters, one of them empty, is zero", "[blas]", float,
                   double) {
  using T = TestType;
  const Array<T> a = random_array<T>({3, 2, 0}, 1);
  const Array<T> b = random_array<T>({2, 0, 4}, 2);
  CHECK((einsum("abc,bcd->ad", Var<T>(a), b).value() == detail::full<T>({3, 4}, T(0))));
  const Array<T> turned = random_array<T>({0, 2, 4}, 3);
  CHECK((einsum("abc,cbd->da", Var<T>(a), turned).value() == detail::full<T>({4, 3}, T(0))));
}

TEMPLATE_TEST_CASE("reductions agree with xtensor's", "[reductions]", float, double) {
  using T = TestType;
  const auto axes = GENERATE(std::vector<std::size_t>{0}, std::vector<std::size_t>{1},
                             std::vector<std::size_t>{2}, std::vector<std::size_t>{0, 2},
                             std::vector<std::size_t>{0, 1, 2});
  const Array<T> x = random_array<T>({4, 5, 6}, 1);
  const Var<T> v(x);
  const Axes named(axes.begin(), axes.end());
  CHECK(difference(sum(v, named).value(), evaluated<T>(xt::eval(xt::sum(x, axes)))) <=
        kTolerance<T>);
  CHECK(difference(mean(v, named).value(), evaluated<T>(xt::eval(xt::mean(x, axes)))) <=
        kTolerance<T>);
  CHECK(difference(variance(v, named).value(), evaluated<T>(xt::eval(xt::variance(x, axes)))) <=
        kTolerance<T>);
  CHECK(difference(max(v, named).value(), evaluated<T>(xt::eval(xt::amax(x, axes)))) == 0);
  CHECK(difference(min(v, named).value(), evaluated<T>(xt::eval(xt::amin(x, axes)))) == 0);
  CHECK(difference(norm(v, named).value(),
                   evaluated<T>(xt::eval(xt::sqrt(xt::sum(x * x, axes))))) <= kTolerance<T>);
}

TEMPLATE_TEST_CASE("sums over nothing are zero", "[reductions]", float, double) {
  using T = TestType;
  const Var<T> x(random_array<T>({2, 0, 3}, 1));
  CHECK((sum(x, {1}).value() == detail::full<T>({2, 3}, T(0))));
  CHECK(sum(x, {0}).shape() == Shape{0, 3});
  CHECK(sum(x).item() == 0);
}
