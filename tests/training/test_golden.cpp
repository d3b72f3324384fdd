// Losses and optimizers against Keras.

#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

Reduction reduction_of(const Json& c) {
  const auto name = c["reduction"].get<std::string>();
  if (name == "sum") return Reduction::sum;
  return name == "none" ? Reduction::none : Reduction::sum_over_batch_size;
}

template <class T>
Var<T> loss_of(const Json& c, const GoldenRun<T>& run, Reduction reduction) {
  const Var<T>& prediction = run.input("prediction");
  const auto mask = golden_constant<bool>(c, "mask");
  const auto kind = c["kind"].get<std::string>();
  if (kind == "mse") {
    return mean_squared_error(prediction, run.input("target"),
                              {.mask = mask, .reduction = reduction});
  }
  CrossentropyOptions options{
      .from_logits = c["from_logits"].get<bool>(), .mask = mask, .reduction = reduction};
  if (c.contains("ignore_class")) options.ignore_class = c["ignore_class"].get<std::int64_t>();
  if (kind == "sparse") {
    return sparse_categorical_crossentropy(prediction, *golden_constant<std::int64_t>(c, "labels"),
                                           options);
  }
  return categorical_crossentropy(prediction, run.input("target"), options);
}

template <class T>
std::unique_ptr<Optimizer<T>> optimizer_of(const Json& c) {
  const Json& o = c["options"];
  const auto kind = c["kind"].get<std::string>();
  if (kind == "SGD") {
    return std::make_unique<SGD<T>>(
        typename SGD<T>::Options{o.value("learning_rate", 0.01), o.value("momentum", 0.0),
                                 o.value("nesterov", false), o.value("weight_decay", 0.0)});
  }
  if (kind == "Adam") {
    typename Adam<T>::Options options;
    options.learning_rate = o.value("learning_rate", options.learning_rate);
    options.beta_1 = o.value("beta_1", options.beta_1);
    options.beta_2 = o.value("beta_2", options.beta_2);
    options.weight_decay = o.value("weight_decay", options.weight_decay);
    return std::make_unique<Adam<T>>(options);
  }
  REQUIRE(kind == "AdamW");
  typename AdamW<T>::Options options;
  options.learning_rate = o.value("learning_rate", options.learning_rate);
  options.weight_decay = o.value("weight_decay", options.weight_decay);
  return std::make_unique<AdamW<T>>(options);
}

}  // namespace

TEMPLATE_TEST_CASE("losses agree with Keras", "", double, float) {
  using T = TestType;
  const Json cases = golden("losses");
  Errors errors(with_type<T>("losses"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    if (const auto weights = golden_constant<T>(c, "sample_weight")) {
      // There is no such argument; Keras's is the mean of the weighted losses.
      run.check(mean(loss_of(c, run, Reduction::none) * Var<T>(*weights)));
    } else {
      run.check(loss_of(c, run, reduction_of(c)));
    }
  }
  CHECK(errors.cases() >= 50);
}

TEMPLATE_TEST_CASE("optimizers agree with Keras for 100 steps", "", double, float) {
  using T = TestType;
  // Rounding adds up over the steps.
  const double tolerance = std::is_same_v<T, float> ? 2e-6 : 1e-11;
  const Json cases = golden("optimizers");
  const Json& data = cases[0];
  Errors errors(with_type<T>("optimizers"), tolerance);
  for (std::size_t k = 1; k < cases.size(); ++k) {
    const Json& c = cases[k];
    errors.begin(c["name"].get<std::string>());
    Params<T> params;
    std::vector<Parameter<T>> weights;
    for (std::size_t i = 0; i < data["weights"].size(); ++i) {
      const Array<T> start = golden_array<T>(data["weights"][i]);
      weights.push_back(params.scope().reserve(i == 0 ? "first" : "second"));
      params.set(weights[i].path(), start);
      weights[i].build(start.shape(), "zeros", {});
    }
    const auto optimizer = optimizer_of<T>(c);
    int compared = 0;
    for (std::size_t t = 1; t <= data["gradients"].size(); ++t) {
      // A loss whose gradient is the given one.
      Tape<T> tape;
      const Var<T> here = tape.input(Var<T>(T(0)));
      Var<T> loss = here;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        loss =
            loss + sum(weights[i].on(here) * Var<T>(golden_array<T>(data["gradients"][t - 1][i])));
      }
      optimizer->step(params, tape.backward(loss));
      const std::string step = std::to_string(t);
      if (!c["steps"].contains(step)) continue;
      ++compared;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        // The weights start at 3 at most, so this is near enough to relative.
        std::string name = weights[i].path();
        name += " after step ";
        name += step;
        errors.add(name,
                   difference(weights[i].value(), golden_array<double>(c["steps"][step][i])) / 3.0);
      }
    }
    CHECK(compared == 6);
    CHECK(optimizer->iterations() == 100);
  }
  CHECK(errors.cases() >= 11);
}
