#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

/// The worst difference between our gradients of a loss with a penalty and a golden case's.
template <class T, class Layer, class Input>
void check_activity(const Json& c, Errors& errors, const Layer& layer, Params<T>& params,
                    Tape<T>& tape, const Input& x) {
  for (const auto& [path, json] : c["weights"].items()) params.set(path, golden_array<T>(json));
  const Var<T> y = layer(x);
  const Var<T> penalty = tape.penalties(params);
  const T weight = golden_array<T>(c["cotangents"]["loss"]).data()[0];
  const auto loss = golden_array<double>(c["outputs"]["loss"]);
  errors.add("loss", std::abs(static_cast<double>(penalty.item()) - loss.data()[0]));
  const Var<T> factors(golden_array<T>(c["cotangents"]["output"]));
  const auto gradients = tape.backward(sum(y * factors) + penalty * weight);
  CHECK(gradients.size() == c["gradients"].size());
  for (const auto& [name, json] : c["gradients"].items()) {
    Array<T> g;
    if constexpr (std::is_same_v<Input, Var<T>>) {
      g = name == "x" ? gradients[x].value() : gradients.at(name).value();
    } else {
      g = gradients.at(name).value();
    }
    errors.add("gradient of " + name, difference(g, golden_array<double>(json)) / 3.0);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("RMS normalization agrees with PyTorch's and Keras's", "", double, float) {
  using T = TestType;
  const Json cases = golden("rms_normalization");
  Errors errors(with_type<T>("RMS normalization"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    const RMSNormalization<T> layer(run.params().scope(), {.axes = c["axes"].get<Axes>(),
                                                           .epsilon = c["epsilon"].get<double>()});
    run.check(layer(run.input("x")));
  }
  CHECK(errors.cases() == 8);
}

TEMPLATE_TEST_CASE("the penalties of outputs agree with Keras's", "", double, float) {
  using T = TestType;
  const Json cases = golden("activity");
  Errors errors(with_type<T>("activity"), golden_tolerance<T>);
  const auto penalty = regularizers::L1L2{.l1 = 0.01, .l2 = 0.02};
  for (const Json& c : cases) {
    errors.begin(c["name"].get<std::string>());
    Params<T> params;
    Tape<T> tape;
    const std::string kind = c["layer"].get<std::string>();
    if (kind == "Embedding") {
      const Embedding<T> layer(params.scope(),
                               {.input_dim = 6, .output_dim = 3, .activity_regularizer = penalty});
      check_activity(c, errors, layer, params, tape,
                     tape.input(Tokens<T>(*golden_constant<std::int64_t>(c, "ids"))));
      continue;
    }
    const Var<T> x = tape.watch(golden_array<T>(c["inputs"]["x"]));
    if (kind == "LayerNormalization") {
      const LayerNormalization<T> layer(params.scope(), {.activity_regularizer = penalty});
      check_activity(c, errors, layer, params, tape, x);
    } else {
      const RMSNormalization<T> layer(params.scope(),
                                      {.epsilon = 1e-3, .activity_regularizer = penalty});
      check_activity(c, errors, layer, params, tape, x);
    }
  }
  CHECK(errors.cases() == 7);
}

TEST_CASE("penalties of outputs without a batch, and inside a checkpoint") {
  Params<double> params({.seed = 1});
  const Embedding<double> table(
      params.scope() / "e",
      {.input_dim = 3, .output_dim = 2, .activity_regularizer = regularizers::L2{.l2 = 1.0}});
  Tape<double> tape;
  const auto penalty_of = [&](const Array<std::int64_t>& ids) {
    tape.clear();
    static_cast<void>(table(tape.input(Tokens<double>(ids))));
    return tape.penalties().item();
  };
  const Array<double>& rows = (table.build(), table.embeddings().value());
  const double row = rows(1, 0) * rows(1, 0) + rows(1, 1) * rows(1, 1);
  CHECK(penalty_of(Array<std::int64_t>(Shape{}, 1)) == Approx(row));
  CHECK(penalty_of(Array<std::int64_t>(Shape{4}, 1)) == Approx(row));
  CHECK(penalty_of(Array<std::int64_t>(Shape{0, 3})) == 0.0);
  const RMSNormalization<double> norm(params.scope() / "n", {.activity_regularizer = "l2"});
  Tape<double> other;
  const Var<double> x = other.watch(random_array<double>({2, 3}, 1));
  CHECK_THROWS_AS(checkpoint([&](const Var<double>& v) { return norm(v); }, x), TapeError);
}

TEST_CASE("RMS normalization refuses what does not fit") {
  Params<double> params({.seed = 1});
  using Norm = RMSNormalization<double>;
  CHECK_THROWS_AS(Norm(params.scope() / "a", {.epsilon = -1}), ValueError);
  CHECK_THROWS_AS(Norm(params.scope() / "b", {.axes = {}}), ValueError);
  CHECK(params.paths().empty());
  const auto refused = [&](const Norm& norm, const Shape& shape) {
    return error_of<ShapeError>(
        [&] { static_cast<void>(norm(Var<double>(random_array<double>(shape, 1)))); });
  };
  const Norm far(params.scope() / "far", {.axes = {2}});
  CHECK(contains(refused(far, {2, 3}), "far: axis out of range"));
  const Norm norm(params.scope() / "norm");
  CHECK(contains(refused(norm, {2, 0}), "norm: nothing to normalize"));
  static_cast<void>(norm(Var<double>(random_array<double>({2, 3}, 1))));
  CHECK(contains(refused(norm, {2, 4}), "norm/scale"));
  const Norm bare(params.scope() / "bare", {.scale = false});
  static_cast<void>(bare(Var<double>(random_array<double>({2, 3}, 1))));
  CHECK_FALSE(params.contains("bare/scale"));
}
