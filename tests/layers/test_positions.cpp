#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

using V = Var<double>;
V zeros(const Shape& shape) { return V(Array<double>(shape, 0.0)); }

}  // namespace

TEST_CASE("sines and cosines agree with the formula of PyTorch's tutorial") {
  const Json cases = golden("positions");
  Errors errors("positions", 1e-12);
  for (const Json& c : cases) {
    errors.begin(c["name"].get<std::string>());
    const Array<double> expected = golden_array<double>(c["outputs"]["output"]);
    const SinePositionEncoding<double> layer({.max_wavelength = c["max_wavelength"].get<double>()});
    const std::size_t length = expected.shape()[0];
    const std::size_t width = expected.shape()[1];
    errors.add("output", difference(layer(zeros({2, length, width})).value(), expected));
    // From any position on, in any order of asking.
    for (std::size_t p = length; p-- > 0;) {
      const V one = layer(zeros({1, width}), p);
      REQUIRE(one.shape() == Shape{1, width});
      for (std::size_t j = 0; j < width; ++j) {
        if (one.data()[j] != layer(zeros({length, width})).value()(p, j)) FAIL("position " << p);
      }
    }
  }
  CHECK(errors.cases() == 6);
}

TEST_CASE("sines and cosines of an odd width, of growing lengths, and in float") {
  const SinePositionEncoding<double> layer;
  const Array<double> five = layer(zeros({3, 5})).value();
  for (std::size_t p = 0; p < 3; ++p) {
    CHECK(five(p, 4) == Approx(std::sin(static_cast<double>(p) * std::pow(1e4, -4.0 / 5))));
    CHECK(five(p, 3) == Approx(std::cos(static_cast<double>(p) * std::pow(1e4, -2.0 / 5))));
  }
  for (const std::size_t n : {7U, 2U, 30U, 31U, 4U}) {
    const Array<double> some = layer(zeros({n, 5})).value();
    REQUIRE(some.shape() == Shape{n, 5});
    CHECK(some(1, 0) == Approx(std::sin(1.0)));
    CHECK(some(n - 1, 0) == Approx(std::sin(static_cast<double>(n - 1))));
  }
  CHECK(layer(zeros({2, 4})).shape() == Shape{2, 4});  // another width
  CHECK(layer(zeros({2, 0, 4})).shape() == Shape{0, 4});
  const SinePositionEncoding<float> narrow;
  CHECK(difference(narrow(Var<float>(Array<float>(Shape{3, 5}, 0.F))).value(), five) < 1e-7);
  Tape<double> tape;
  const V x = tape.watch(zeros({2, 3, 5}));
  const V y = x + layer(x);
  CHECK(difference(tape.backward(sum(y))[x].value(), Array<double>(Shape{2, 3, 5}, 1.0)) == 0);
}

TEST_CASE("learned positions are the rows of a table, and it gets their gradients") {
  Params<double> params({.seed = 1});
  const PositionEmbedding<double> layer(params.scope() / "p", {.sequence_length = 5});
  Tape<double> tape;
  const V x = tape.input(zeros({2, 3, 2}));
  const V y = layer(x, 1);
  const Array<double> table = layer.embeddings().value();
  REQUIRE(table.shape() == Shape{5, 2});
  REQUIRE(y.shape() == Shape{3, 2});
  for (std::size_t i = 0; i < 6; ++i) CHECK(y.data()[i] == table.data()[2 + i]);
  const auto g = tape.backward(sum(x + y));
  CHECK(difference(g.at("p/embeddings").value(),
                   array<double>({5, 2}, {0, 0, 2, 2, 2, 2, 2, 2, 0, 0})) == 0);
  // Glorot's limit, of the table's extents.
  for (const double v : table) CHECK(std::abs(v) <= std::sqrt(6.0 / 7.0));
}

TEST_CASE("positions refuse what does not fit") {
  for (const double bad : {0.0, -1.0, HUGE_VAL, std::nan("")}) {
    CHECK_THROWS_AS(SinePositionEncoding<double>({.max_wavelength = bad}), ValueError);
  }
  const SinePositionEncoding<double> sine;
  CHECK(contains(error_of<ShapeError>([&] { static_cast<void>(sine(zeros({3}))); }),
                 "x is (3,), expected (..., length, width)"));
  Params<double> params({.seed = 1});
  using Learned = PositionEmbedding<double>;
  CHECK_THROWS_AS(Learned(params.scope() / "a", {}), ValueError);
  CHECK_THROWS_AS(Learned(params.scope() / "a", {.sequence_length = -3}), ValueError);
  CHECK(params.paths().empty());
  const Learned learned(params.scope() / "p", {.sequence_length = 4});
  CHECK(contains(error_of<ShapeError>([&] { static_cast<void>(learned(zeros({3}))); }),
                 "p: too few axes"));
  CHECK_FALSE(learned.embeddings().built());
  const std::string text = error_of<ValueError>([&] {
    static_cast<void>(learned(zeros({2, 3, 2}), 2));
  });
  CHECK(contains(text, "p: too many positions: x is (2, 3, 2) from position 2 on"));
  CHECK(contains(text, "at most 4"));
  const auto most = std::numeric_limits<std::size_t>::max();
  CHECK_THROWS_AS(learned(zeros({2, 3, 2}), most), ValueError);
  CHECK(learned(zeros({2, 4, 2})).shape() == Shape{4, 2});
  CHECK(contains(error_of<ShapeError>([&] {
                   static_cast<void>(learned(zeros({4, 3})));
                 }),
                 "p/embeddings"));
}
