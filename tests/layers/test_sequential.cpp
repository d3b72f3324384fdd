#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

using V = Var<double>;
using Model = Sequential<double>;

}  // namespace

TEST_CASE("layers one after the other, numbered or named") {
  Params<double> params({.seed = 1});
  Model model(params.scope() / "net");
  model.add<Dense>({.units = 4, .activation = "tanh"}).add<Dropout>({.rate = 0.5});
  model.add<LayerNormalization>({}, "norm").add([](const V& x) { return x * 2.0; });
  model.add(Dense<double>(params.scope() / "elsewhere", {.units = 2}));
  CHECK(model.size() == 5);
  const V x(random_array<double>({3, 5}, 1));
  const V y = model(x);
  const auto w = params.values();
  CHECK(params.paths() == std::vector<std::string>{"net/0/kernel", "net/0/bias", "net/norm/gamma",
                                                   "net/norm/beta", "elsewhere/kernel",
                                                   "elsewhere/bias"});
  const V hidden = layer_normalization(tanh(matmul(x, V(w.at("net/0/kernel"))))) * 2.0;
  CHECK(difference(y.value(), matmul(hidden, V(w.at("elsewhere/kernel"))).value()) < 1e-14);
  // It is one function on a tape: gradients, and dropout while training.
  Tape<double> tape({.training = true, .seed = 1});
  const auto g = tape.backward(sum(square(model(tape.input(x)))));
  CHECK(g.size() == 6);
  CHECK(difference(model(tape.input(x)).value(), y.value()) > 1e-3);
}

TEST_CASE("a model of token ids begins with a layer that takes them; models nest") {
  Params<float> params({.seed = 1});
  Sequential<float> inner(params.scope() / "inner");
  inner.add<FeedForward>({.intermediate_dim = 8});
  Sequential<float> model(params.scope() / "model");
  model.add<Embedding>({.input_dim = 7, .output_dim = 4});
  model.add(std::move(inner)).add([](const Var<float>& x) { return mean(x, {1}); });
  const Array<std::int64_t> ids(Shape{2, 3}, 1);
  CHECK(model(Tokens<float>(ids)).shape() == Shape{2, 4});
  CHECK(difference(model(ids).value(), model(Tokens<float>(ids)).value()) == 0);
  CHECK(contains(error_of<ValueError>([&] {
                   static_cast<void>(model(Var<float>(random_array<float>({2, 3}, 1))));
                 }),
                 "model/0: ids expected: layer 0 (Embedding)"));
  Sequential<float> late(params.scope() / "late");
  late.add<Dense>({.units = 2}).add<Embedding>({.input_dim = 7, .output_dim = 4});
  CHECK(contains(error_of<ValueError>([&] {
                   static_cast<void>(late(Var<float>(random_array<float>({2, 3}, 1))));
                 }),
                 "late/1: ids expected"));
  CHECK_FALSE(params.at("late/0/kernel").built());
  Sequential<float> empty(params.scope());
  CHECK(empty(Var<float>(2.0F)).item() == 2.0F);
  CHECK(contains(error_of<ValueError>([&] { static_cast<void>(empty(Tokens<float>(ids))); }),
                 "Sequential: no layer takes ids: ids are (2, 3)"));
}

TEST_CASE("names are taken once, and a layer that cannot be made is not there") {
  Params<double> params({.seed = 1});
  Model model(params.scope());
  model.add<Dense>({.units = 4}, "a");
  CHECK(contains(error_of<ValueError>([&] { model.add<Softmax>({}, "a"); }), "named 'a' already"));
  CHECK_THROWS_AS(model.add<Softmax>({}, "a/b"), ValueError);
  CHECK_THROWS_AS(model.add<Dropout>({.rate = 7}), ValueError);
  CHECK_THROWS_AS(model.add<Dense>({.units = -4}), ValueError);
  CHECK(model.size() == 1);
}
