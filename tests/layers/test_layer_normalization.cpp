#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

TEST_CASE("normalized rows have mean 0 and variance 1, then gamma and beta") {
  Params<double> params({.seed = 1});
  const LayerNormalization<double> norm(params.scope() / "norm", {.epsilon = 0});
  const Var<double> y = norm(Var<double>(random_array<double>({3, 50}, 1, 5, 9)));
  for (std::size_t r = 0; r < 3; ++r) {
    const Var<double> row = slice(y, {Slice::at(static_cast<std::ptrdiff_t>(r))});
    CHECK(mean(row).item() == Approx(0).margin(1e-13));
    CHECK(variance(row).item() == Approx(1));
  }
  CHECK(params.paths() == std::vector<std::string>{"norm/gamma", "norm/beta"});
}

TEST_CASE("several axes, in ascending order whatever the order given") {
  Params<double> params({.seed = 1});
  const LayerNormalization<double> norm(params.scope() / "norm",
                                        {.axes = {-1, 1}, .center = false});
  CHECK(norm(Var<double>(random_array<double>({2, 3, 4, 5}, 1))).shape() == Shape{2, 3, 4, 5});
  CHECK(params.at("norm/gamma").value().shape() == Shape{3, 5});
  CHECK(params.paths().size() == 1);
}

TEST_CASE("layer normalization refuses what does not fit") {
  Params<double> params({.seed = 1});
  using Norm = LayerNormalization<double>;
  CHECK_THROWS_AS(Norm(params.scope() / "a", {.epsilon = -1}), ValueError);
  CHECK_THROWS_AS(Norm(params.scope() / "b", {.axes = {}}), ValueError);
  const Norm far(params.scope() / "far", {.axes = {2}});
  CHECK(contains(error_of<ShapeError>([&] {
                   static_cast<void>(far(Var<double>(random_array<double>({2, 3}, 1))));
                 }),
                 "far: axis out of range"));
  const Norm twice(params.scope() / "twice", {.axes = {1, -1}});
  CHECK_THROWS_AS(twice(Var<double>(random_array<double>({2, 3}, 1))), ShapeError);
  const Norm norm(params.scope() / "norm");
  static_cast<void>(norm(Var<double>(random_array<double>({2, 3}, 1))));
  CHECK(contains(error_of<ShapeError>([&] {
                   static_cast<void>(norm(Var<double>(random_array<double>({2, 4}, 1))));
                 }),
                 "norm/gamma"));
}
