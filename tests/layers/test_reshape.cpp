#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

TEST_CASE("Flatten and Reshape in a Sequential") {
  Params<double> params({.seed = 1});
  Sequential<double> model(params.scope());
  model.add<Reshape>({.target_shape = {2, -1}})
      .add<Dense>({.units = 3})
      .add<Flatten>({})
      .add<Dense>({.units = 1}, "head");
  const V x(random_array<double>({4, 6}, 1));
  CHECK(model(x).shape() == Shape{4, 1});
  CHECK(params.at("1/kernel").value().shape() == Shape{3, 3});
  CHECK(params.at("head/kernel").value().shape() == Shape{6, 1});
  CHECK(check_gradients(
      params, [&](const V& v) { return model(v); }, x));
  const std::string table =
      summary(params, [&](Tape<double>& tape) { static_cast<void>(model(tape.input(x))); });
  CHECK(contains(table, "(Flatten)"));
  CHECK(contains(table, "(Reshape)"));
}

TEST_CASE("shapes of Flatten and Reshape") {
  const auto flat = [](const Shape& shape) {
    return Flatten<double>()(V(Array<double>(shape, 1.0))).shape();
  };
  CHECK(flat({2, 3, 4}) == Shape{2, 12});
  CHECK(flat({2}) == Shape{2, 1});
  CHECK(flat({0, 3, 4}) == Shape{0, 12});
  CHECK_THROWS_AS(flat({}), ShapeError);
  const auto shaped = [](std::vector<int> target, const Shape& shape) {
    return Reshape<double>({.target_shape = std::move(target)})(V(Array<double>(shape, 1.0)))
        .shape();
  };
  CHECK(shaped({4, 3}, {2, 12}) == Shape{2, 4, 3});
  CHECK(shaped({-1, 2}, {2, 3, 4}) == Shape{2, 6, 2});
  CHECK(shaped({}, {2, 1}) == Shape{2});
  CHECK(shaped({-1}, {0, 5}) == Shape{0, 5});
  CHECK(contains(error_of<ShapeError>([&] {
                   shaped({5}, {2, 12});
                 }),
                 "x is (2, 12) with 12 elements a sample, expected those of (batch, 5)"));
  CHECK_THROWS_AS(shaped({5, -1}, {2, 12}), ShapeError);
  CHECK_THROWS_AS(shaped({0, -1}, {2, 12}), ShapeError);
  CHECK_THROWS_AS(shaped({1}, {}), ShapeError);
  CHECK_THROWS_AS(shaped({-2}, {2, 12}), ValueError);
  CHECK_THROWS_AS(shaped({-1, -1}, {2, 12}), ValueError);
}
