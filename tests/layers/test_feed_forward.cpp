#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

using V = Var<double>;
using Block = FeedForward<double>;

}  // namespace

TEST_CASE("two dense layers with an activation between") {
  Params<double> params({.seed = 1});
  const Block block(params.scope() / "ff", {.intermediate_dim = 7, .activation = "gelu"});
  const V x(random_array<double>({2, 3, 4}, 1));
  const V y = block(x);
  const auto w = params.values();
  CHECK(params.paths() == std::vector<std::string>{"ff/intermediate/kernel", "ff/intermediate/bias",
                                                   "ff/output/kernel", "ff/output/bias"});
  const V hidden =
      gelu(matmul(x, V(w.at("ff/intermediate/kernel"))) + V(w.at("ff/intermediate/bias")));
  const V expected = matmul(hidden, V(w.at("ff/output/kernel"))) + V(w.at("ff/output/bias"));
  CHECK(difference(y.value(), expected.value()) < 1e-14);
}

TEST_CASE("a gated activation halves the width between; a dropout lies after it") {
  Params<double> params({.seed = 1});
  const Block gated(params.scope() / "g", {.intermediate_dim = 6, .activation = "glu"});
  CHECK(gated(V(random_array<double>({2, 4}, 1))).shape() == Shape{2, 4});
  CHECK(params.at("g/output/kernel").value().shape() == Shape{3, 4});
  const Block dropped(params.scope() / "d", {.intermediate_dim = 6, .dropout = 1.0});
  Tape<double> tape({.training = true, .seed = 1});
  const V x = tape.input(random_array<double>({2, 4}, 1));
  CHECK(difference(dropped(x).value(), Array<double>(Shape{2, 4}, 0.0)) == 0);
  CHECK(difference(dropped(x, false).value(), Array<double>(Shape{2, 4}, 0.0)) > 0);
}

TEST_CASE("rules on the weights reach both layers") {
  Params<double> params({.seed = 1});
  const Block block(params.scope() / "ff", {.intermediate_dim = 3,
                                            .bias_initializer = "ones",
                                            .trainable = true,
                                            .kernel_regularizer = regularizers::L2{.l2 = 0.5},
                                            .bias_regularizer = regularizers::L1{.l1 = 2.0}});
  static_cast<void>(block(V(random_array<double>({2, 4}, 1))));
  double expected = 2.0 * (3 + 4);
  for (const char* k : {"ff/intermediate/kernel", "ff/output/kernel"}) {
    const Array<double> value = params.at(k).value();
    for (const double v : value) expected += 0.5 * v * v;
  }
  CHECK(params.penalties(V(0.0)).item() == Approx(expected));
}

TEST_CASE("a feed-forward block refuses what does not fit") {
  Params<double> params({.seed = 1});
  CHECK(contains(error_of<ValueError>([&] { Block(params.scope() / "a", {}); }),
                 "a: intermediate_dim out of range: intermediate_dim is 0"));
  CHECK_THROWS_AS(Block(params.scope() / "a", {.intermediate_dim = 3, .dropout = 2}), ValueError);
  CHECK(params.paths().empty());
  const Block block(params.scope() / "ff", {.intermediate_dim = 3});
  CHECK_THROWS_AS(block(V(1.0)), ShapeError);
  static_cast<void>(block(V(random_array<double>({2, 4}, 1))));
  CHECK(contains(error_of<ShapeError>([&] {
                   static_cast<void>(block(V(random_array<double>({2, 5}, 1))));
                 }),
                 "ff/intermediate: input does not fit"));
}
