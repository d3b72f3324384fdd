#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

TEST_CASE("Dense is x . kernel + bias, on any number of leading axes") {
  Params<double> params({.seed = 1});
  const Dense<double> dense(params.scope() / "dense", {.units = 2, .activation = "relu"});
  params.set("dense/kernel", array<double>({3, 2}, {1, -1, 2, 0, 0, 1}));
  params.set("dense/bias", array<double>({2}, {0.5, -0.5}));
  const Var<double> y = dense(Var<double>(array<double>({2, 3}, {1, 2, 3, -1, -1, -1})));
  CHECK(difference(y.value(), array<double>({2, 2}, {5.5, 1.5, 0, 0})) == 0);
  CHECK(dense(Var<double>(random_array<double>({3}, 1))).shape() == Shape{2});
  CHECK(dense(Var<double>(random_array<double>({4, 0, 3}, 1))).shape() == Shape{4, 0, 2});
  CHECK(dense.compute_output_shape({7, 5, 3}) == Shape{7, 5, 2});
}

TEST_CASE("an activation of one's own stands where a name does") {
  Params<double> params({.seed = 1});
  const auto scope = params.scope() / "d";
  const Dense<double> plain(scope, {.units = 2});
  const Dense<double> twice(
      scope.reuse(), {.units = 2, .activation = [](const Var<double>& x) { return 2.0 * x; }});
  const Var<double> x(random_array<double>({4, 3}, 1));
  CHECK((twice(x).value() == (2.0 * plain(x)).value()));
}

TEST_CASE("several input and output axes, with the kernels of Keras's attention") {
  Params<double> params({.seed = 1});
  const Dense<double> to_heads(params.scope() / "query", {.units = {4, 8}});
  const Dense<double> together(params.scope() / "output", {.units = {3, 2}, .axes = 2});
  const Var<double> x(random_array<double>({2, 5, 6}, 1));
  const Var<double> heads = to_heads(x);
  CHECK(heads.shape() == Shape{2, 5, 4, 8});
  const Var<double> y = together(heads);
  CHECK(y.shape() == Shape{2, 5, 3, 2});
  CHECK(params.at("query/kernel").value().shape() == Shape{6, 4, 8});
  CHECK(params.at("query/bias").value().shape() == Shape{4, 8});
  CHECK(params.at("output/kernel").value().shape() == Shape{4, 8, 3, 2});
  const Var<double> again =
      einsum("abcd,cdef->abef", heads, Var<double>(together.kernel().value()));
  CHECK(difference(y.value(), again.value()) < 1e-14);
}

TEST_CASE("Dense refuses what does not fit, and stays as it was") {
  Params<double> params({.seed = 1});
  CHECK_THROWS_AS(Dense<double>(params.scope() / "a", {}), ValueError);
  CHECK(contains(error_of<ValueError>([&] { Dense<double>(params.scope() / "b", {.units = 0}); }),
                 "b: units"));
  CHECK_THROWS_AS(Dense<double>(params.scope() / "c", {.units = {3, -1}}), ValueError);
  CHECK_THROWS_AS(Dense<double>(params.scope() / "d", {.units = 3, .axes = 0}), ValueError);
  CHECK_THROWS_AS(Dense<double>(params.scope() / "e", {.units = 3, .activation = "rellu"}),
                  ValueError);
  CHECK_THROWS_AS(Dense<double>(params.scope() / "f", {.units = 3, .kernel_initializer = "glorot"}),
                  ValueError);
  CHECK(params.paths().empty());

  const Dense<double> dense(params.scope() / "head", {.units = 2});
  CHECK_THROWS_AS(dense(Var<double>(1.0)), ShapeError);
  Tape<double> tape;
  static_cast<void>(dense(tape.input(random_array<double>({2, 3}, 1))));
  const std::size_t nodes = tape.size();
  const std::string text = error_of<ShapeError>([&] {
    static_cast<void>(dense(tape.input(random_array<double>({2, 4}, 1))));
  });
  CHECK(contains(text, "head: input does not fit: input is (2, 4), expected (2, 3)"));
  CHECK(tape.size() == nodes);
}

TEST_CASE("a frozen layer passes gradients on without having any") {
  Params<double> params({.seed = 1});
  const Dense<double> dense(params.scope() / "dense", {.units = 2, .trainable = false});
  Tape<double> tape;
  const Var<double> x = tape.watch(random_array<double>({2, 3}, 1));
  const auto g = tape.backward(sum(dense(x)));
  CHECK(g.size() == 1);
  CHECK(g.contains(x));
}

TEST_CASE("layers together give what each gives alone") {
  Params<double> params({.seed = 1});
  const Dense<double> a(params.scope() / "a", {.units = {4, 8}, .activation = "relu"});
  const Dense<double> b(params.scope() / "b", {.units = 24, .use_bias = false});
  for (const std::size_t positions : {2U, 300U}) {  // little work, and enough for one job
    const Var<double> x(random_array<double>({2, positions, 16}, 1));
    const std::vector<Var<double>> y = Dense<double>::together(x, {&a, &b});
    REQUIRE(y.size() == 2);
    CHECK((y[0].value() == a(x).value()));
    CHECK((y[1].value() == b(x).value()));
  }
  CHECK(Dense<double>::together(Var<double>(1.0), {}).empty());
}

TEST_CASE("layers that cannot be together say so, and make nothing") {
  Params<double> params({.seed = 1});
  const Dense<double> a(params.scope() / "a", {.units = 3});
  const Dense<double> two(params.scope() / "two", {.units = 3, .axes = 2});
  const Dense<double> later(params.scope() / "later", {.units_at_call = true});
  const Var<double> x(random_array<double>({2, 5, 4}, 1));
  const auto error = [&](const Dense<double>& other) {
    return error_of<ValueError>([&] {
      static_cast<void>(Dense<double>::together(x, {&a, &other}));
    });
  };
  CHECK(contains(error(two), "two: not to be computed together: axes is 2"));
  CHECK(contains(error(later), "later: not to be computed together"));
  const Dense<double> other(params.scope() / "other", {.units = 3});
  static_cast<void>(other(Var<double>(random_array<double>({2, 7}, 1))));
  CHECK(contains(error_of<ShapeError>([&] {
                   static_cast<void>(Dense<double>::together(x, {&a, &other}));
                 }),
                 "other: input does not fit"));
  CHECK_FALSE(a.kernel().built());
}
