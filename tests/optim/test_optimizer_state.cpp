// The state of an optimizer: saved, loaded, and refused.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <memory>

using namespace xtape;
using namespace xtape::test;

namespace {

/// Two parameters, and gradients that differ from step to step.
template <class T> struct Model {
  Params<T> params;
  Parameter<T> kernel = (params.scope() / "layer").reserve("kernel");
  Parameter<T> bias = (params.scope() / "layer").reserve("bias");
  explicit Model(bool built = true) {
    if (built) build();
  }
  void build() {
    kernel.build({2, 3}, "glorot_uniform", {2, 3});
    bias.build({3}, "ones", {});
  }
  Gradients<T> gradients(int step) {
    Tape<T> tape;
    const Var<T> here = tape.input(Var<T>(T(0)));
    const auto seed = static_cast<std::uint64_t>(step);
    return tape.backward(sum(kernel.value_for(here) * kernel.value_for(here) *
                             Var<T>(random_array<T>({2, 3}, 2 * seed))) +
                         sum(bias.value_for(here) * Var<T>(random_array<T>({3}, 2 * seed + 1))));
  }
  bool same(const Model& other) const {
    return kernel.value() == other.kernel.value() && bias.value() == other.bias.value();
  }
};

template <class T> using Make = std::function<std::unique_ptr<Optimizer<T>>()>;

// One of each, with everything that is remembered.
template <class T> std::vector<Make<T>> all() {
  const OptimizerOptions plain;
  const OptimizerOptions full{.global_clipnorm = 1.0,
                              .use_ema = true,
                              .ema_momentum = 0.9,
                              .ema_overwrite_frequency = 3,
                              .gradient_accumulation_steps = 2};
  std::vector<Make<T>> makes;
  for (const OptimizerOptions& common : {plain, full}) {
    makes.push_back([=] {
      return std::make_unique<SGD<T>>(typename SGD<T>::Options{.momentum = 0.9}, common);
    });
    makes.push_back([=] {
      return std::make_unique<Adam<T>>(typename Adam<T>::Options{.amsgrad = true}, common);
    });
    makes.push_back([=] {
      return std::make_unique<AdamW<T>>(
          typename AdamW<T>::Options{.learning_rate = schedules::Noam{}}, common);
    });
    makes.push_back([=] { return std::make_unique<Adamax<T>>(AdamaxOptions{}, common); });
    makes.push_back([=] { return std::make_unique<Nadam<T>>(NadamOptions{}, common); });
    makes.push_back([=] { return std::make_unique<Lamb<T>>(LambOptions{}, common); });
    makes.push_back([=] { return std::make_unique<Lion<T>>(typename Lion<T>::Options{}, common); });
    makes.push_back(
        [=] { return std::make_unique<Adagrad<T>>(typename Adagrad<T>::Options{}, common); });
    makes.push_back(
        [=] { return std::make_unique<Adadelta<T>>(typename Adadelta<T>::Options{}, common); });
    makes.push_back([=] {
      return std::make_unique<RMSprop<T>>(
          typename RMSprop<T>::Options{.momentum = 0.5, .centered = true}, common);
    });
    makes.push_back(
        [=] { return std::make_unique<Adafactor<T>>(typename Adafactor<T>::Options{}, common); });
  }
  return makes;
}

// Into a file's tensors and back, as a checkpoint does it.
template <class T> OptimizerState<T> through_file(const OptimizerState<T>& state) {
  Tensors tensors;
  for (const auto& [name, array] : state.arrays) tensors.emplace(name, to_tensor(array));
  for (const auto& [name, number] : state.scalars) {
    tensors.emplace(name, to_tensor(Array<double>(number)));
  }
  OptimizerState<T> out;
  for (const auto& [name, tensor] : tensors) {
    if (state.scalars.contains(name)) {
      out.scalars.emplace(name, to_array<double>(tensor, name)());
    } else {
      out.arrays.emplace(name, to_array<T>(tensor, name));
    }
  }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("a run that is interrupted continues bit by bit", "", double, float) {
  using T = TestType;
  for (const Make<T>& make : all<T>()) {
    const auto straight = make();
    INFO(straight->name());
    Model<T> whole;
    for (int step = 0; step < 11; ++step) straight->step(whole.params, whole.gradients(step));
    for (const bool built : {true, false}) {
      Model<T> first;
      const auto before = make();
      for (int step = 0; step < 5; ++step) before->step(first.params, first.gradients(step));
      const OptimizerState<T> state = through_file(before->state());
      Model<T> second(built);
      second.params.load(first.params.values());
      const auto after = make();
      after->load_state(state, second.params);
      CHECK(after->state().arrays == state.arrays);  // also while it waits
      CHECK(after->state().scalars == state.scalars);
      CHECK(after->iterations() == before->iterations());
      second.build();
      for (int step = 5; step < 11; ++step) after->step(second.params, second.gradients(step));
      CHECK(second.same(whole));
      CHECK(after->state().arrays == straight->state().arrays);
    }
  }
}

TEST_CASE("the names of a state") {
  Model<float> m;
  Adam<float> adam({}, {.use_ema = true, .gradient_accumulation_steps = 2});
  CHECK(adam.state().arrays.empty());
  CHECK(adam.state().scalars ==
        std::map<std::string, double>{{"adam/learning_rate", 0.001}, {"adam/steps", 0}});
  CHECK_FALSE(adam.step(m.params, m.gradients(0)));
  const OptimizerState<float> state = adam.state();
  std::vector<std::string> names;
  for (const auto& [name, array] : state.arrays) names.push_back(name);
  CHECK(names == std::vector<std::string>{
                     "adam/accumulator/layer/bias", "adam/accumulator/layer/kernel",
                     "adam/average/layer/bias", "adam/average/layer/kernel", "adam/m/layer/bias",
                     "adam/m/layer/kernel", "adam/v/layer/bias", "adam/v/layer/kernel"});
  CHECK(state.scalars.at("adam/steps") == 1);
}

TEST_CASE("averages that were loaded early are there at the end") {
  Model<double> m;
  const OptimizerOptions common{.use_ema = true, .ema_momentum = 0.5};
  SGD<double> sgd({.learning_rate = 0.5}, common);
  for (int step = 0; step < 3; ++step) sgd.step(m.params, m.gradients(step));
  Model<double> n(false);
  SGD<double> other({.learning_rate = 0.5}, common);
  other.load_state(sgd.state(), n.params);
  CHECK(contains(error_of<ParameterError>([&] { other.finalize(n.params); }), "has no parameter"));
  n.build();
  other.finalize(n.params);
  sgd.finalize(m.params);
  CHECK(n.same(m));
}

TEST_CASE("a changed learning rate is part of the state") {
  Model<double> m;
  SGD<double> sgd;
  sgd.set_learning_rate(0.125);
  SGD<double> other;
  other.load_state(sgd.state(), m.params);
  CHECK(other.learning_rate() == 0.125);
}

TEST_CASE("the numbers of loss scaling in an older state are ignored") {
  Model<double> m, n;
  Adam<double> adam;
  adam.step(m.params, m.gradients(0));
  OptimizerState<double> old = adam.state();
  old.scalars["adam/loss_scale"] = 4096;
  old.scalars["adam/good_steps"] = 17;
  Adam<double> other;
  n.params.load(m.params.values());
  other.load_state(old, n.params);
  CHECK(other.state().scalars == adam.state().scalars);
  adam.step(m.params, m.gradients(1));
  other.step(n.params, n.gradients(1));
  CHECK(n.same(m));
  // Those of another optimizer are not.
  old.scalars["sgd/loss_scale"] = 1;
  CHECK(contains(error_of<ParameterError>([&] { other.load_state(old, n.params); }),
                 "'sgd/loss_scale' is unexpected"));
}

TEST_CASE("a state that does not fit is refused as a whole, every name in one message") {
  Model<double> m;
  Adam<double> adam;
  adam.step(m.params, m.gradients(0));
  const OptimizerState<double> good = adam.state();
  const auto refused = [&](const OptimizerState<double>& state, std::vector<std::string> parts) {
    Adam<double> other;
    other.step(m.params, m.gradients(1));
    const auto before = other.state();
    const std::string text = error_of<Error>([&] { other.load_state(state, m.params); });
    INFO(text);
    for (const std::string& part : parts) CHECK(contains(text, part));
    CHECK(other.state().arrays == before.arrays);
    CHECK(other.state().scalars == before.scalars);
  };
  OptimizerState<double> bad = good;
  bad.arrays.erase("adam/v/layer/bias");
  bad.arrays["adam/m/layer/kernel"] = Array<double>(Shape{4}, 0.0);
  bad.arrays["adam/u/layer/bias"] = Array<double>(Shape{3}, 0.0);
  refused(bad, {"'adam/v/layer/bias' is missing", "'adam/m/layer/kernel' is (4,), expected (2, 3)",
                "'adam/u/layer/bias' is unexpected"});
  bad = good;
  bad.arrays["adamw/m/layer/bias"] = Array<double>(Shape{3}, 0.0);
  bad.arrays["adam/m"] = Array<double>(Shape{3}, 0.0);
  bad.scalars.erase("adam/steps");
  bad.scalars["adam/momentum"] = 2;
  refused(bad, {"'adamw/m/layer/bias' is unexpected", "'adam/m' is unexpected",
                "'adam/steps' is missing", "'adam/momentum' is unexpected"});
  for (const double steps : {-1.0, 0.5, std::nan(""), HUGE_VAL, 1e300}) {
    bad = good;
    bad.scalars["adam/steps"] = steps;
    refused(bad, {"'adam/steps' is", "expected a whole number"});
  }
  bad = good;
  bad.scalars["adam/learning_rate"] = 0;
  refused(bad, {"'adam/learning_rate' is 0", "expected a positive number"});
  // State of a parameter that the model lacks may wait for it, but not beyond the next step.
  bad = good;
  bad.arrays["adam/m/lost"] = Array<double>(Shape{3}, 0.0);
  bad.arrays["adam/v/lost"] = Array<double>(Shape{3}, 0.0);
  Adam<double> other;
  other.load_state(bad, m.params);
  const Array<double> weights = m.kernel.value();
  const std::string text = error_of<ParameterError>([&] { other.step(m.params, m.gradients(1)); });
  CHECK(contains(text, "'adam/m/lost' has no parameter, 'adam/v/lost' has no parameter"));
  CHECK((m.kernel.value() == weights));
}

TEST_CASE("what is loaded together with a state comes after all checks, and may fail") {
  Model<double> model;
  Adam<double> adam;
  adam.step(model.params, model.gradients(1));
  const OptimizerState<double> saved = adam.state();
  adam.step(model.params, model.gradients(2));
  const OptimizerState<double> now = adam.state();
  int calls = 0;
  OptimizerState<double> bad = saved;
  bad.scalars["adam/steps"] = -1;
  CHECK_THROWS_AS(adam.load_state(bad, model.params, [&] { ++calls; }), ValueError);
  bad.arrays.erase("adam/m/layer/kernel");
  CHECK_THROWS_AS(adam.load_state(bad, model.params, [&] { ++calls; }), ParameterError);
  CHECK(calls == 0);
  CHECK_THROWS_AS(adam.load_state(saved, model.params, [] { throw std::out_of_range("mine"); }),
                  std::out_of_range);
  CHECK(adam.state().arrays == now.arrays);
  CHECK(adam.state().scalars == now.scalars);
  adam.load_state(saved, model.params, [&] { ++calls; });
  CHECK(calls == 1);
  CHECK(adam.state().scalars == saved.scalars);
}

TEST_CASE("a step that fails leaves no trace in the state") {
  Model<double> m;
  Adam<double> adam({}, {.use_ema = true, .gradient_accumulation_steps = 1});
  m.bias.set_constraint([](const Array<double>&) -> Array<double> { throw ValueError("no"); });
  CHECK_THROWS_AS(adam.step(m.params, m.gradients(0)), ValueError);
  CHECK(adam.state().arrays.empty());
  m.bias.set_constraint({});
  adam.step(m.params, m.gradients(0));
  const auto before = adam.state();
  const Array<double> weights = m.kernel.value();
  m.bias.set_constraint([](const Array<double>&) -> Array<double> { throw ValueError("no"); });
  CHECK_THROWS_AS(adam.step(m.params, m.gradients(1)), ValueError);
  CHECK(adam.state().arrays == before.arrays);
  CHECK(adam.state().scalars == before.scalars);
  CHECK((m.kernel.value() == weights));
}
