#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

Array<double> drawn(const Shape& shape, double gain = 1.0, std::uint64_t seed = 1) {
  RandomStream stream(seed, 2);
  return Initializer(initializers::Orthogonal{.gain = gain})(shape, {}, stream);
}

// Largest deviation of m m^T, or of m^T m, from `square` times the identity.
double deviation(const Array<double>& m, bool rows, double square = 1.0) {
  const Array<double> product =
      matmul(Var<double>(m), Var<double>(m), {.transpose_a = !rows, .transpose_b = rows}).value();
  double worst = 0;
  const std::size_t n = product.shape()[0];
  for (std::size_t i = 0; i < product.size(); ++i) {
    worst = std::max(worst, std::abs(product.data()[i] - (i % (n + 1) == 0 ? square : 0.0)));
  }
  return worst;
}

}  // namespace

TEST_CASE("orthogonal arrays are orthogonal along their shorter side") {
  CHECK(deviation(drawn({7, 7}), true) < 1e-13);
  CHECK(deviation(drawn({7, 7}), false) < 1e-13);
  CHECK(deviation(drawn({40, 9}), false) < 1e-13);
  CHECK(deviation(drawn({9, 40}), true) < 1e-13);
  CHECK(deviation(drawn({130, 120}), false) < 1e-12);  // beyond LAPACK's blocks
  CHECK(deviation(drawn({5, 3}, 2.5), false, 6.25) < 1e-12);
  CHECK(std::abs(std::abs(drawn({1, 1})(0, 0)) - 1.0) < 1e-15);
  CHECK(deviation(drawn({5, 1}), false) < 1e-14);
  CHECK(deviation(drawn({1, 5}), true) < 1e-14);
}

TEST_CASE("an orthogonal array of more axes is flattened to (all but the last, last)") {
  const Array<double> w = drawn({4, 3, 5});
  REQUIRE(w.shape() == Shape{4, 3, 5});
  CHECK(deviation(reshape(Var<double>(w), {12, 5}).value(), false) < 1e-13);
  CHECK(deviation(reshape(Var<double>(drawn({2, 2, 9})), {4, 9}).value(), true) < 1e-13);
  // The same draws in another shape of the same matrix.
  CHECK(difference(reshape(Var<double>(w), {12, 5}).value(), drawn({12, 5})) == 0.0);
}

TEST_CASE("orthogonal arrays of no elements") {
  for (const Shape& shape : {Shape{0, 3}, Shape{3, 0}, Shape{2, 0, 3}, Shape{0, 0}}) {
    CHECK(drawn(shape).shape() == shape);
  }
}

TEST_CASE("orthogonal arrays are uniformly distributed") {
  // Without the correction of signs LAPACK's Q prefers one side: its first element is never positive.
  // With it, each element of a 2 x 2 matrix has mean 0 and mean square 1/2, and the determinant is
  // +1 as often as -1.
  double sum = 0, squares = 0, determinants = 0;
  const int n = 2000;
  for (int i = 0; i < n; ++i) {
    const Array<double> w = drawn({2, 2}, 1.0, static_cast<std::uint64_t>(i));
    sum += w(0, 0);
    squares += w(0, 0) * w(0, 0);
    determinants += w(0, 0) * w(1, 1) - w(0, 1) * w(1, 0);
  }
  CHECK(std::abs(sum / n) < 0.06);
  CHECK(squares / n == Approx(0.5).margin(0.04));
  CHECK(std::abs(determinants / n) < 0.09);
}

TEST_CASE("orthogonal parameters depend on the seed and the path alone") {
  const auto make = [](std::uint64_t seed, const char* name) {
    Params<float> params({.seed = seed});
    const auto p = params.scope().reserve(name);
    p.build({6, 4}, "orthogonal", {});
    return Array<float>(p.value());
  };
  CHECK((make(1, "a") == make(1, "a")));
  CHECK(difference(make(1, "a"), make(1, "b")) > 0.1);
  CHECK(difference(make(1, "a"), make(2, "a")) > 0.1);
  set_num_threads(1);
  RandomStream stream(1, 2);
  const Array<double> one = Initializer(initializers::Orthogonal{})({200, 200}, {}, stream);
  set_num_threads(4);
  CHECK(difference(drawn({200, 200}), one) == 0.0);
}

TEST_CASE("bad orthogonal arrays") {
  const std::string text = error_of<ShapeError>([] { drawn({4}); });
  CHECK(contains(text, "(4,), expected rank 2 or more"));
  CHECK_THROWS_AS(drawn({}), ShapeError);
  CHECK_THROWS_AS(Initializer(initializers::Orthogonal{.gain = HUGE_VAL}), ValueError);
  Params<double> params;
  const Dense<double> dense(params.scope() / "d", {.units = 2, .bias_initializer = "orthogonal"});
  CHECK_THROWS_AS(dense.build({1, 3}), ShapeError);
}
