// Optimizers and schedules against Keras and PyTorch.

#include "support/optimizers.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

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
  const Json& cases = all_optimizers();
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
