#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

TEST_CASE("a scope goes down by a name or by a number") {
  Params<float> params;
  const Scope<float> encoder = params.scope() / "encoder";
  CHECK((encoder / 0).path() == "encoder/0");
  CHECK((encoder / std::size_t{12} / "bias").path() == "encoder/12/bias");
  CHECK((params.scope() / std::uint8_t{7}).path() == "7");
  CHECK(contains(error_of<ValueError>([&] { static_cast<void>(encoder / -1); }),
                 "encoder: index out of range: index is -1, expected 0 or more"));
  CHECK(contains(error_of<ValueError>([&] { static_cast<void>(params.scope() / -2L); }),
                 "scope: index out of range: index is -2"));
}

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

TEST_CASE("by default the last axis of a parameter is its output") {
  const auto drawn = [](const Shape& shape, std::optional<Fans> fans) {
    Params<double> params({.seed = 1});
    const Parameter<double> p = params.scope().reserve("w");
    if (fans) {
      p.build(shape, "glorot_uniform", *fans);
    } else {
      p.build(shape, "glorot_uniform");
    }
    return p.value();
  };
  CHECK(difference(drawn({4, 3}, {}), drawn({4, 3}, Fans{4, 3})) == 0);
  CHECK(difference(drawn({2, 4, 3}, {}), drawn({2, 4, 3}, Fans{8, 3})) == 0);
  CHECK(difference(drawn({5}, {}), drawn({5}, Fans{5, 5})) == 0);
  CHECK(difference(drawn({}, {}), drawn({}, Fans{1, 1})) == 0);
}

TEST_CASE("load changes all or nothing") {
  Params<double> params({.seed = 1});
  const Dense<double> a(params.scope() / "a", {.units = 2});
  a.build({3});
  auto values = params.values();
  const auto before = values;
  values.at("a/kernel") *= 2.0;
  values.at("a/bias") = Array<double>(Shape{5}, 0.0);
  CHECK_THROWS_AS(params.load(values, {.strict = false}), ShapeError);
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
  const std::string text = error_of<ParameterError>([&] { params.load(values); });
  CHECK(contains(text, "missing: 'a/bias'"));
  CHECK(contains(text, "unexpected: 'c/kernel'"));
  CHECK(contains(text, "'b/kernel' is (3, 4), expected (3, 2)"));
  CHECK(difference(a.kernel().value(), before.at("a/kernel")) == 0);
  CHECK_NOTHROW(params.load(before));
}

TEST_CASE("a strict load before the layers are made is checked at the first call") {
  Params<double> saved({.seed = 3});
  const Dense<double> first(saved.scope() / "first", {.units = 4});
  const Dense<double> second(saved.scope() / "second", {.units = 2});
  const Var<double> x(random_array<double>({1, 3}, 1));
  const Array<double> expected = second(first(x)).value();

  Params<double> params({.seed = 1});
  params.load(saved.values());
  CHECK(params.pending() ==
        std::vector<std::string>{"first/bias", "first/kernel", "second/bias", "second/kernel"});
  SECTION("the same layers") {
    const Dense<double> a(params.scope() / "first", {.units = 4});
    const Dense<double> b(params.scope() / "second", {.units = 2});
    CHECK(difference(b(a(x)).value(), expected) == 0);
    CHECK(params.pending().empty());
    const Dense<double> head(params.scope() / "head", {.units = 1});  // new after the check
    CHECK_NOTHROW(head(b(a(x))));
  }
  SECTION("a typo in the name of a scope, without a gradient") {
    const Dense<double> a(params.scope() / "first", {.units = 4});
    const Dense<double> b(params.scope() / "secnd", {.units = 2});
    for (int again = 0; again < 2; ++again) {
      const std::string text = error_of<ParameterError>([&] { a(x); });
      INFO(text);
      CHECK(contains(text,
                     "load: another architecture: missing: 'secnd/kernel' 'secnd/bias'; "
                     "unexpected: 'second/bias' 'second/kernel'; mis-shaped: none;"));
      CHECK_FALSE(a.kernel().built());
      CHECK(params.pending().size() == 4);
    }
    params.load(saved.values(), {.strict = false});  // the way out
    CHECK_NOTHROW(b(a(x)));
    CHECK(params.pending() == std::vector<std::string>{"second/bias", "second/kernel"});
  }
  SECTION("a layer too few, one too many") {
    const Dense<double> a(params.scope() / "first", {.units = 4});
    CHECK(contains(error_of<ParameterError>([&] { a(x); }),
                   "missing: none; unexpected: 'second/bias' 'second/kernel';"));
    const Dense<double> b(params.scope() / "second", {.units = 2});
    {
      const Dense<double> c(params.scope() / "third", {.units = 2});
      CHECK(contains(error_of<ParameterError>([&] { a(x); }),
                     "missing: 'third/kernel' 'third/bias'; unexpected: none;"));
    }
  }
  SECTION("a value of another shape") {
    const Dense<double> a(params.scope() / "first", {.units = 5});
    const Dense<double> b(params.scope() / "second", {.units = 2});
    CHECK(contains(error_of<ShapeError>([&] { a(x); }), "(3, 4), expected (3, 5)"));
  }
}

TEST_CASE("a load that is not strict takes a part of a model") {
  Params<double> saved({.seed = 3});
  const Dense<double> encoder(saved.scope() / "encoder", {.units = 4});
  encoder.build({3});
  auto values = saved.values();
  values["decoder/kernel"] = Array<double>(Shape{1}, 0.0);
  for (const bool before : {true, false}) {
    Params<double> params({.seed = 1});
    if (before) params.load(values, {.strict = false});
    const Dense<double> same(params.scope() / "encoder", {.units = 4});
    const Dense<double> head(params.scope() / "head", {.units = 2});
    if (!before) {
      CHECK_THROWS_AS(params.load(values), ParameterError);
      CHECK(params.pending().empty());
      const LoadReport report = params.load(values, {.strict = false});
      using Paths = std::vector<std::string>;
      CHECK(report.loaded == Paths{"encoder/bias", "encoder/kernel"});
      CHECK(report.missing == Paths{"head/bias", "head/kernel"});
      CHECK(report.unexpected == Paths{"decoder/kernel"});
    }
    static_cast<void>(head(same(Var<double>(random_array<double>({1, 3}, 1)))));
    CHECK(difference(same.kernel().value(), encoder.kernel().value()) == 0);
    CHECK(params.pending() == std::vector<std::string>{"decoder/kernel"});
    // It blocks no training.
    SGD<double> sgd({.learning_rate = 0.1});
    Tape<double> tape;
    const Var<double> y = head(same(tape.input(random_array<double>({1, 3}, 1))));
    CHECK_NOTHROW(sgd.step(params, tape.backward(sum(y))));
    // A value that was set on purpose still must be used.
    params.set("decoder/bias", Array<double>(Shape{1}, 0.0));
    CHECK(contains(error_of<ParameterError>([&] { params.check_pending(); }),
                   "'decoder/bias' found"));
  }
}

TEST_CASE("of many names the first ten are listed, and the others counted") {
  Params<double> params;
  static_cast<void>(params.scope().reserve("a"));
  std::map<std::string, Array<double>> values;
  for (int i = 10; i < 23; ++i) values.emplace("x" + std::to_string(i), Array<double>(Shape{1}));
  const std::string text = error_of<ParameterError>([&] { params.load(values); });
  INFO(text);
  CHECK(contains(text, "missing: 'a'; unexpected: 'x10' 'x11'"));
  CHECK(contains(text, "'x19' and 3 more; mis-shaped: none;"));
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
