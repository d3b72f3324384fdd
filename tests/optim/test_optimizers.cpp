// Optimizers and schedules against Keras and PyTorch.

#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

template <class V> void read(const Json& o, const char* name, V& option) {
  if (o.contains(name)) option = o[name].get<V>();
}
void read(const Json& o, const char* name, std::optional<double>& option) {
  if (o.contains(name)) option = o[name].get<double>();
}

OptimizerOptions common_of(const Json& o) {
  OptimizerOptions c;
  read(o, "exclude_from_weight_decay", c.exclude_from_weight_decay);
  read(o, "clipnorm", c.clipnorm);
  read(o, "clipvalue", c.clipvalue);
  read(o, "global_clipnorm", c.global_clipnorm);
  read(o, "use_ema", c.use_ema);
  read(o, "ema_momentum", c.ema_momentum);
  read(o, "ema_overwrite_frequency", c.ema_overwrite_frequency);
  read(o, "gradient_accumulation_steps", c.gradient_accumulation_steps);
  return c;
}

template <class Made> auto options_of(const Json& o) {
  typename Made::Options options;
  read(o, "weight_decay", options.weight_decay);
  if (!o.contains("learning_rate")) return options;
  if (o["learning_rate"].is_number()) {
    options.learning_rate = o["learning_rate"].get<double>();
  } else {
    options.learning_rate = schedules::CosineDecay{.initial_learning_rate = 0.01,
                                                   .decay_steps = 60,
                                                   .alpha = 0.1,
                                                   .warmup_target = 0.2,
                                                   .warmup_steps = 10};
  }
  return options;
}

template <class Made> auto moments_of(const Json& o) {
  auto options = options_of<Made>(o);
  read(o, "beta_1", options.beta_1);
  read(o, "beta_2", options.beta_2);
  return options;
}

template <class T> std::unique_ptr<Optimizer<T>> optimizer_of(const Json& c) {
  const Json& o = c["options"];
  const OptimizerOptions common = common_of(c["common"]);
  const auto kind = c["kind"].get<std::string>();
  if (kind == "SGD") {
    auto options = options_of<SGD<T>>(o);
    read(o, "momentum", options.momentum);
    read(o, "nesterov", options.nesterov);
    return std::make_unique<SGD<T>>(options, common);
  }
  if (kind == "Adam") {
    auto options = moments_of<Adam<T>>(o);
    read(o, "amsgrad", options.amsgrad);
    return std::make_unique<Adam<T>>(options, common);
  }
  if (kind == "AdamW") return std::make_unique<AdamW<T>>(moments_of<AdamW<T>>(o), common);
  if (kind == "Adamax") return std::make_unique<Adamax<T>>(moments_of<Adamax<T>>(o), common);
  if (kind == "Nadam") return std::make_unique<Nadam<T>>(moments_of<Nadam<T>>(o), common);
  if (kind == "Lamb") return std::make_unique<Lamb<T>>(moments_of<Lamb<T>>(o), common);
  if (kind == "Lion") return std::make_unique<Lion<T>>(moments_of<Lion<T>>(o), common);
  if (kind == "Adagrad") {
    auto options = options_of<Adagrad<T>>(o);
    read(o, "initial_accumulator_value", options.initial_accumulator_value);
    return std::make_unique<Adagrad<T>>(options, common);
  }
  if (kind == "Adadelta") {
    auto options = options_of<Adadelta<T>>(o);
    read(o, "rho", options.rho);
    return std::make_unique<Adadelta<T>>(options, common);
  }
  if (kind == "RMSprop") {
    auto options = options_of<RMSprop<T>>(o);
    read(o, "rho", options.rho);
    read(o, "momentum", options.momentum);
    read(o, "centered", options.centered);
    return std::make_unique<RMSprop<T>>(options, common);
  }
  REQUIRE(kind == "Adafactor");
  auto options = options_of<Adafactor<T>>(o);
  read(o, "beta_2_decay", options.beta_2_decay);
  read(o, "epsilon_2", options.epsilon_2);
  read(o, "clip_threshold", options.clip_threshold);
  return std::make_unique<Adafactor<T>>(options, common);
}

/// The weights of the golden data, and steps with its gradients.
template <class T> struct Trained {
  const Json data = golden("optimizers")[0];
  Params<T> params;
  std::vector<Parameter<T>> weights;

  Trained() {
    for (const char* name : {"first", "second", "third"}) {
      const Array<T> start = golden_array<T>(data["weights"][weights.size()]);
      weights.push_back(params.scope().reserve(name));
      params.set(name, start);
      weights.back().build(start.shape(), "zeros", {});
    }
  }
  // Returns the given gradients of step t, counted from 1.
  Gradients<T> gradients(std::size_t t) {
    Tape<T> tape;
    const Var<T> here = tape.input(Var<T>(T(0)));
    Var<T> loss = here;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      Array<T> g = golden_array<T>(data["gradients"][t - 1][i]);
      loss = loss + sum(weights[i].value_for(here) * Var<T>(std::move(g)));
    }
    return tape.backward(loss);
  }
  // The weights start at 3 at most, so this is near enough to relative.
  void compare(Errors& errors, const Json& expected, const std::string& when) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      errors.add(weights[i].path() + " " + when,
                 difference(weights[i].value(), golden_array<double>(expected[i])) / 3.0);
    }
  }
};

// Rounding adds up over the steps.
template <class T> inline constexpr double tolerance = std::is_same_v<T, float> ? 2e-6 : 1e-11;

template <class S> S decay_of(const Json& o) {
  S s;
  read(o, "initial_learning_rate", s.initial_learning_rate);
  read(o, "decay_steps", s.decay_steps);
  return s;
}

Schedule schedule_of(const std::string& kind, const Json& o) {
  if (kind == "ExponentialDecay") {
    auto s = decay_of<schedules::ExponentialDecay>(o);
    read(o, "decay_rate", s.decay_rate);
    read(o, "staircase", s.staircase);
    return s;
  }
  if (kind == "InverseTimeDecay") {
    auto s = decay_of<schedules::InverseTimeDecay>(o);
    read(o, "decay_rate", s.decay_rate);
    read(o, "staircase", s.staircase);
    return s;
  }
  if (kind == "PolynomialDecay") {
    auto s = decay_of<schedules::PolynomialDecay>(o);
    read(o, "end_learning_rate", s.end_learning_rate);
    read(o, "power", s.power);
    read(o, "cycle", s.cycle);
    return s;
  }
  if (kind == "CosineDecay") {
    auto s = decay_of<schedules::CosineDecay>(o);
    read(o, "alpha", s.alpha);
    read(o, "warmup_target", s.warmup_target);
    read(o, "warmup_steps", s.warmup_steps);
    return s;
  }
  if (kind == "CosineDecayRestarts") {
    schedules::CosineDecayRestarts s{.initial_learning_rate = 0.1};
    read(o, "first_decay_steps", s.first_decay_steps);
    read(o, "t_mul", s.t_mul);
    read(o, "m_mul", s.m_mul);
    read(o, "alpha", s.alpha);
    return s;
  }
  if (kind == "PiecewiseConstantDecay") {
    schedules::PiecewiseConstantDecay s;
    read(o, "boundaries", s.boundaries);
    read(o, "values", s.values);
    return s;
  }
  if (kind == "Noam") {
    schedules::Noam s;
    read(o, "d_model", s.d_model);
    read(o, "warmup_steps", s.warmup_steps);
    return s;
  }
  REQUIRE(kind == "LinearWarmup");
  return schedules::LinearWarmup{
      .steps = 10,
      .then = schedules::CosineDecay{.initial_learning_rate = 0.5, .decay_steps = 30, .alpha = 0.1},
      .start = 0.05};
}

}  // namespace

TEMPLATE_TEST_CASE("optimizers agree with Keras for 100 steps", "", double, float) {
  using T = TestType;
  const Json cases = golden("optimizers");
  Errors errors(with_type<T>("optimizers"), tolerance<T>);
  for (std::size_t k = 1; k < cases.size(); ++k) {
    const Json& c = cases[k];
    errors.begin(c["name"].get<std::string>());
    Trained<T> run;
    const auto optimizer = optimizer_of<T>(c);
    if (c["common"].value("constraint", false)) {
      run.weights[0].set_constraint(constraints::MaxNorm{.max_value = 1.5});
    }
    const double scale = c["common"].value("gradient_scale", 1.0);
    int compared = 0;
    for (std::size_t t = 1; t <= 100; ++t) {
      optimizer->step(run.params, run.gradients(t).scale(scale));
      const std::string step = std::to_string(t);
      if (!c["steps"].contains(step)) continue;
      ++compared;
      run.compare(errors, c["steps"][step], "after step " + step);
    }
    CHECK(compared == 6);
    CHECK(optimizer->iterations() == 100 / c["common"].value("gradient_accumulation_steps", 1));
    optimizer->finalize(run.params);
    run.compare(errors, c["final"], "at the end");
  }
  CHECK(errors.cases() >= 47);
}

TEST_CASE("schedules agree with Keras and PyTorch") {
  const Json cases = golden("schedules");
  Errors errors("schedules", 1e-12);
  for (const Json& c : cases) {
    errors.begin(c["name"].get<std::string>());
    const Schedule schedule = schedule_of(c["kind"].get<std::string>(), c["options"]);
    for (std::size_t i = 0; i < c["steps"].size(); ++i) {
      const auto expected = c["values"][i].get<double>();
      errors.add("step " + std::to_string(c["steps"][i].get<int>()),
                 std::abs(schedule(c["steps"][i].get<std::int64_t>()) - expected));
    }
  }
  CHECK(errors.cases() >= 21);
}
