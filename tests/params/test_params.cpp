#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

TEST_CASE("creation is registration: order of the constructors, not of the calls") {
  Params<float> params({.seed = 1});
  const Dense<float> a(params.scope() / "a", {.units = 2});
  const Dense<float> b(params.scope() / "deep" / "b", {.units = 2, .use_bias = false});
  CHECK(params.paths() == std::vector<std::string>{"a/kernel", "a/bias", "deep/b/kernel"});
  CHECK(params.count() == 0);
  const Var<float> x(random_array<float>({1, 3}, 1));
  static_cast<void>(b(x));
  CHECK(params.count() == 6);
  static_cast<void>(a(x));
  CHECK(params.count() == 14);
  CHECK(params.contains("a/bias"));
  CHECK_FALSE(params.contains("a"));
}

TEST_CASE("a path is taken once, unless it is reused on purpose") {
  Params<float> params({.seed = 1});
  const Dense<float> a(params.scope() / "a", {.units = 2});
  const std::string text =
      error_of<ParameterError>([&] { Dense<float>(params.scope() / "a", {.units = 2}); });
  CHECK(contains(text, "a/kernel"));
  CHECK(contains(text, "reuse"));
  const Dense<float> tied((params.scope() / "a").reuse(), {.units = 2});
  Tape<float> tape;
  const Var<float> x = tape.input(random_array<float>({1, 2}, 1));
  const auto g = tape.backward(sum(a(tied(x))));
  CHECK(params.paths().size() == 2);
  CHECK(g.size() == 2);  // one gradient each, added up
}

TEST_CASE("names") {
  Params<float> params;
  CHECK_THROWS_AS(params.scope() / "", ValueError);
  CHECK_THROWS_AS(params.scope() / "a/b", ValueError);
  const auto w = (params.scope() / "layer").reserve("w");
  const std::string text =
      error_of<ParameterError>([&] { static_cast<void>(params.at("layer/v")); });
  CHECK(contains(text, "'layer/v'"));
  CHECK(contains(text, "'layer/w'"));
  CHECK(contains(error_of<ParameterError>([&] { static_cast<void>(w.value()); }), "not built"));
}

TEST_CASE("initial values follow from seed and path alone") {
  const auto kernel = [](std::uint64_t seed, const char* name, bool another_first) {
    Params<float> params({.seed = seed});
    if (another_first) {
      const Dense<float> other(params.scope() / "other", {.units = 3});
      other.build({2});
    }
    const Dense<float> dense(params.scope() / name, {.units = 3});
    dense.build({2});
    return dense.kernel().value();
  };
  const auto base = kernel(1, "a", false);
  CHECK(difference(kernel(1, "a", true), base) == 0);
  CHECK(difference(kernel(2, "a", false), base) > 0);
  CHECK(difference(kernel(1, "b", false), base) > 0);
}

TEST_CASE("values set before their layer exists wait for it") {
  Params<double> params;
  const Array<double> kernel = random_array<double>({3, 2}, 1);
  params.set("a/kernel", kernel);
  CHECK(contains(error_of<ParameterError>([&] { params.check_pending(); }), "'a/kernel'"));
  const Dense<double> a(params.scope() / "a", {.units = 2});
  a.build({3});
  CHECK(difference(a.kernel().value(), kernel) == 0);
  CHECK_NOTHROW(params.check_pending());
}

TEST_CASE("a waiting value of another shape is refused when the layer is built") {
  Params<double> params;
  params.set("a/kernel", random_array<double>({4, 2}, 1));
  const Dense<double> a(params.scope() / "a", {.units = 2});
  const std::string text = error_of<ShapeError>([&] { a.build({3}); });
  CHECK(contains(text, "a/kernel"));
  CHECK(contains(text, "(4, 2)"));
  CHECK(contains(text, "(3, 2)"));
}

TEST_CASE("load changes all or nothing") {
  Params<double> params({.seed = 1});
  const Dense<double> a(params.scope() / "a", {.units = 2});
  a.build({3});
  auto values = params.values();
  const auto before = values;
  values.at("a/kernel") *= 2.0;
  values.at("a/bias") = Array<double>(Shape{5}, 0.0);
  CHECK_THROWS_AS(params.load(values), ShapeError);
  CHECK(difference(a.kernel().value(), before.at("a/kernel")) == 0);
}

TEST_CASE("another architecture is reported whole, in one message") {
  Params<double> params({.seed = 1});
  const Dense<double> a(params.scope() / "a", {.units = 2});
  const Dense<double> b(params.scope() / "b", {.units = 2});
  a.build({3});
  b.build({3});
  auto values = params.values();
  values.erase("a/bias");
  values["c/kernel"] = Array<double>(Shape{1}, 0.0);
  values.at("b/kernel") = Array<double>(Shape{3, 4}, 0.0);
  values.at("a/kernel") *= 3.0;
  const auto before = params.values();
  const std::string text = error_of<ParameterError>([&] { params.load_strict(values); });
  CHECK(contains(text, "missing: 'a/bias'"));
  CHECK(contains(text, "unexpected: 'c/kernel'"));
  CHECK(contains(text, "'b/kernel' is (3, 4), expected (3, 2)"));
  CHECK(difference(a.kernel().value(), before.at("a/kernel")) == 0);
  CHECK_NOTHROW(params.load_strict(before));
}

TEST_CASE("trainable by parameter and by path prefix") {
  Params<double> params({.seed = 1});
  const Dense<double> a(params.scope() / "enc" / "a", {.units = 2});
  const Dense<double> b(params.scope() / "encoder", {.units = 2});
  const auto gradients = [&] {
    Tape<double> tape;
    const Var<double> x = tape.input(random_array<double>({1, 2}, 1));
    return tape.backward(sum(b(a(x)))).size();
  };
  CHECK(gradients() == 4);
  params.set_trainable("enc", false);  // not "encoder"
  CHECK(gradients() == 2);
  params.set_trainable("encoder/bias", false);
  CHECK(gradients() == 1);
  CHECK(params.count(true) == 4);
  params.set_trainable("", true);
  CHECK(gradients() == 4);
  CHECK_THROWS_AS(params.set_trainable("nothing", true), ParameterError);
}
