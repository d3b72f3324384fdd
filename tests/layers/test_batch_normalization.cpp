#include "support/files.hpp"
#include "support/golden.hpp"
#include "support/training.hpp"

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

namespace {

template <class T> typename BatchNormalization<T>::Options options_of(const Json& o) {
  return {.axis = o.value("axis", -1),
          .momentum = o.value("momentum", 0.99),
          .epsilon = o.value("epsilon", 1e-3),
          .center = o.value("center", true),
          .scale = o.value("scale", true),
          .trainable = o.value("trainable", true)};
}

template <class T> void compare(const Json& c, Errors& errors) {
  Params<T> params;
  const BatchNormalization<T> layer(params.scope(), options_of<T>(c["options"]));
  for (const auto& [name, json] : c["weights"].items()) params.set(name, golden_array<T>(json));
  Tape<T> tape({.training = c["training"].get<bool>()});
  const Var<T> x = tape.watch(golden_array<T>(c["x"]));
  OptionalArray<bool> mask;
  if (c.contains("mask")) mask = golden_array<bool>(c["mask"]);
  const Var<T> y = layer(x, {.mask = mask});
  params.check_pending();
  errors.add("output", difference(y.value(), golden_array<double>(c["output"])));
  const auto gradients = tape.backward(sum(y * Var<T>(golden_array<T>(c["cotangent"]))));
  CHECK(gradients.size() == c["gradients"].size());
  for (const auto& [name, json] : c["gradients"].items()) {
    const Array<T> g = name == "x" ? gradients[x].value() : gradients.at(name).value();
    errors.add("gradient of " + name, difference(g, golden_array<double>(json)) / 5);
  }
  for (const char* state : {"moving_mean", "moving_variance"}) {
    errors.add(state, difference(params.at(state).value(), golden_array<double>(c[state])));
  }
}

/// A small model of double, its optimizer and a step.
struct Normed {
  Params<double> params;
  Dense<double> hidden;
  BatchNormalization<double> norm;
  Dense<double> head;
  Adam<double> adam;
  Normed()
      : params({.seed = 3}),
        hidden(params.scope() / "hidden", {.units = 4}),
        norm(params.scope() / "norm", {.momentum = 0.8}),
        head(params.scope() / "head", {.units = 2}),
        adam({.learning_rate = 0.05}) {}
  V operator()(const V& x) const { return head(tanh(norm(hidden(x)))); }
  auto step() {
    return [this](Tape<double>& tape, int seed) {
      const auto n = static_cast<std::uint64_t>(seed);
      return mean_squared_error((*this)(tape.input(random_array<double>({6, 3}, n))),
                                random_array<double>({6, 2}, n + 100));
    };
  }
};

}  // namespace

TEMPLATE_TEST_CASE("batch normalization agrees with Keras's", "", double, float) {
  using T = TestType;
  const Json cases = golden("batch_normalization");
  Errors errors(with_type<T>("batch normalization"), golden_tolerance<T>);
  for (const Json& c : cases) {
    errors.begin(c["name"].get<std::string>());
    compare<T>(c, errors);
  }
  CHECK(errors.cases() == 11);
}

TEST_CASE("batch normalization: gradients of first and second order") {
  Params<double> params({.seed = 2});
  const BatchNormalization<double> layer(params.scope() / "last");
  const BatchNormalization<double> first(params.scope() / "first", {.axis = 1});
  const V x(random_array<double>({4, 3, 2}, 7));
  Array<bool> mask(Shape{4, 3}, true);
  mask(1, 2) = mask(3, 0) = false;
  const std::vector<Array<double>> inputs{x.value()};
  for (const bool training : {true, false}) {
    const GradcheckOptions options{.training = training};
    CHECK(check_gradients([&](const std::vector<V>& v) { return layer(v[0]); }, inputs, options,
                          &params));
    CHECK(check_gradients([&](const std::vector<V>& v) { return layer(v[0], {.mask = mask}); },
                          inputs, options, &params));
    CHECK(check_gradients([&](const std::vector<V>& v) { return first(v[0]); }, inputs, options,
                          &params));
  }
}

TEST_CASE("the state is never trained, but saved, loaded and resumed") {
  Normed run;
  const std::vector<int> batches{1, 2, 3, 4};
  const auto trained = [&](Normed& r, FitOptions<double> options) {
    options.progress = silent();
    return fit(r.params, r.adam, batches, r.step(), options);
  };
  trained(run, {.epochs = 2});
  CHECK(run.params.count() == run.params.count(true) + 8);
  run.params.set_trainable("", true);
  CHECK_FALSE(run.norm.moving_mean().trainable());
  trained(run, {.epochs = 1});
  // Evaluation leaves it, and computes what one sample by itself gives.
  const auto before = run.params.values();
  const V x(random_array<double>({5, 3}, 9));
  static_cast<void>(evaluate(run.params, batches, run.step()));
  const Array<double> all = run(x).value();
  const Array<double> alone = run(V(rows(x.value(), std::vector<std::size_t>{2}))).value();
  CHECK(difference(rows(all, std::vector<std::size_t>{2}), alone) < 1e-14);
  CHECK(same_bits(before.at("norm/moving_mean"), run.norm.moving_mean().value()));

  Directory folder;
  save(run.params, folder / "m.safetensors");
  Normed other;
  load(other.params, folder / "m.safetensors");
  CHECK(same_bits(other(x).value(), all));
  CHECK(same_bits(other.norm.moving_variance().value(), run.norm.moving_variance().value()));

  // Interrupted in the middle of an epoch, and resumed.
  Normed whole, half;
  trained(whole, {.epochs = 4});
  Checkpoints checkpoints(folder / "run");
  struct Stop : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  LambdaCallback stop({.on_train_batch_end = [](xtape::Run& r, std::int64_t, const Logs&) {
    if (r.step() == 7) throw Stop("now");
  }});
  CHECK_THROWS_AS(
      trained(half,
              {.epochs = 4, .callbacks = {&stop}, .checkpoints = &checkpoints, .save_steps = 3}),
      Stop);
  Normed resumed;
  trained(resumed, {.epochs = 4, .checkpoints = &checkpoints, .resume = true});
  for (const auto& [path, value] : whole.params.values()) {
    INFO(path);
    CHECK(same_bits(value, resumed.params.at(path).value()));
  }
}

TEST_CASE("freezing the weights freezes the state, and a recomputation moves it once") {
  const V x(random_array<double>({6, 4}, 3));
  Params<double> params({.seed = 1});
  const BatchNormalization<double> a(params.scope() / "a"), b(params.scope() / "b");
  Tape<double> tape({.training = true});
  static_cast<void>(tape.backward(sum(a(tape.watch(x)))));
  const V again = checkpoint([&](const V& v) { return b(v); }, tape.watch(x));
  static_cast<void>(tape.backward(sum(again * again)));
  CHECK(same_bits(a.moving_mean().value(), b.moving_mean().value()));
  CHECK(same_bits(a.moving_variance().value(), b.moving_variance().value()));
  CHECK(difference(a.moving_mean().value(), zeros<double>({4})) > 0);
  const Array<double> before = a.moving_mean().value();
  params.set_trainable("a", false);
  static_cast<void>(a(tape.input(x)));
  CHECK(same_bits(a.moving_mean().value(), before));
  params.set_trainable("a", true);
  static_cast<void>(a(tape.input(x), {.training = false}));
  CHECK(same_bits(a.moving_mean().value(), before));
  // Statistics that are not finite do not stay.
  Array<double> bad = x.value();
  bad(1, 1) = std::nan("");
  static_cast<void>(a(tape.input(V(bad))));
  CHECK(same_bits(a.moving_mean().value(), before));
  static_cast<void>(a(tape.input(x), {.mask = Array<bool>(Shape{6}, false)}));
  CHECK(same_bits(a.moving_mean().value(), before));
  static_cast<void>(a(x, {.training = true}));  // without a tape
  CHECK_FALSE(same_bits(a.moving_mean().value(), before));
}

TEST_CASE("batch normalization refuses what does not fit") {
  Params<double> params;
  using Norm = BatchNormalization<double>;
  CHECK_THROWS_AS(Norm(params.scope() / "a", {.epsilon = -1}), ValueError);
  CHECK_THROWS_AS(Norm(params.scope() / "a", {.momentum = 1.5}), ValueError);
  CHECK(params.paths().empty());
  const Norm norm(params.scope() / "n");
  const auto refused = [&](const Shape& shape, Norm::CallOptions call = {}) {
    const std::string text =
        error_of<ShapeError>([&] { norm(V(Array<double>(shape, 1.0)), call); });
    CHECK(contains(text, "n"));
    return text;
  };
  CHECK(contains(refused({3}), "n: input does not fit: x is (3,)"));
  CHECK(contains(refused({0, 3}, {.training = true}), "nothing to normalize"));
  CHECK(contains(refused({2, 3}, {.mask = Array<bool>(Shape{3}, true)}), "mask is (3,)"));
  static_cast<void>(norm(V(Array<double>(Shape{2, 3}, 1.0))));
  CHECK(contains(refused({2, 4}), "n/gamma"));
  const Norm far(params.scope() / "f", {.axis = 2});
  CHECK_THROWS_AS(far(V(Array<double>(Shape{2, 3}, 1.0))), ShapeError);
  // A team's ranks would have different states.
  const std::string text = error_of<ValueError>([] {
    run_threads(2, [](Team& team) {
      Normed run;
      const auto batches = batches_of(std::vector<int>{1, 2, 3, 4}, {.batch_size = 2},
                                      [](const auto& some) { return some[0]; });
      fit(run.params, run.adam, batches, run.step(),
          {.progress = silent(), .shards = 2, .team = &team});
    });
  });
  CHECK(contains(text, "'norm/moving_mean' would differ between ranks"));
}

TEST_CASE("what masked positions of a batch hold changes no gradient") {
  using Norm = BatchNormalization<double>;
  Params<double> params;
  const Norm norm(params.scope() / "n", {});
  const Array<bool> counts = array<bool>({3}, {true, true, false});
  const Array<bool> column = array<bool>({3, 1}, {true, true, false});
  const auto gradients = [&](double spoiled) {
    Tape<double> tape({.training = true});
    const V x = tape.watch(array<double>({3, 1}, {1, 2, spoiled}));
    const V y = norm(x, Norm::CallOptions{.mask = counts});
    const auto g = tape.backward(sum(square(where(column, y, V(0.0)))));
    return std::pair(g[x].value(), g.at("n/gamma").value());
  };
  const auto expected = gradients(5), found = gradients(std::nan(""));
  CHECK(difference(found.first, expected.first) == 0);
  CHECK(difference(found.second, expected.second) == 0);
}
