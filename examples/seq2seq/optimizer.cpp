// The optimizer and the schedule that the options describe.

#include "settings.hpp"

#include <algorithm>

namespace seq2seq {

namespace {

namespace schedules = xp::schedules;

/// Returns the rate after the warm-up, which has this many steps left.
xp::Schedule rate_of(const TrainSettings& s, std::int64_t left) {
  const std::int64_t steps = s.decay_steps == 0 ? std::max<std::int64_t>(1, left) : s.decay_steps;
  const double rate = s.learning_rate;
  if (s.schedule == "cosine") {
    return schedules::CosineDecay{
        .initial_learning_rate = rate, .decay_steps = steps, .alpha = s.final_rate};
  }
  if (s.schedule == "restarts") {
    return schedules::CosineDecayRestarts{.initial_learning_rate = rate,
                                          .first_decay_steps = steps,
                                          .t_mul = s.restart_length,
                                          .m_mul = s.restart_height,
                                          .alpha = s.final_rate};
  }
  if (s.schedule == "exponential") {
    return schedules::ExponentialDecay{.initial_learning_rate = rate,
                                       .decay_steps = steps,
                                       .decay_rate = s.decay_rate,
                                       .staircase = s.staircase};
  }
  if (s.schedule == "inverse-time") {
    return schedules::InverseTimeDecay{.initial_learning_rate = rate,
                                       .decay_steps = steps,
                                       .decay_rate = s.decay_rate,
                                       .staircase = s.staircase};
  }
  if (s.schedule == "polynomial") {
    return schedules::PolynomialDecay{.initial_learning_rate = rate,
                                      .decay_steps = steps,
                                      .end_learning_rate = rate * s.final_rate,
                                      .power = s.power,
                                      .cycle = s.cycle};
  }
  if (s.schedule == "piecewise") {
    std::vector<double> values = {rate};
    for (const double factor : s.factors) values.push_back(rate * factor);
    return schedules::PiecewiseConstantDecay{.boundaries = s.boundaries, .values = values};
  }
  return rate;
}

/// Sets an option of an optimizer that has it. ValueError for one that it does not have.
template <class Value, class Given> void set(Value* value, const Given& given, const char* option) {
  if (value != nullptr) {
    if (given) *value = *given;
    return;
  }
  if (given) {
    throw xp::ValueError(std::string(option) +
                         ": not an option of this optimizer, expected one that has it; leave it "
                         "out, or choose another --optimizer");
  }
}

// Each returns the place of an option, or null if the formula has no such option.
template <class O> double* beta_1(O& o) {
  if constexpr (requires { o.beta_1; }) return &o.beta_1;
  return nullptr;
}
template <class O> double* beta_2(O& o) {
  if constexpr (requires { o.beta_2; }) return &o.beta_2;
  return nullptr;
}
template <class O> double* epsilon(O& o) {
  if constexpr (requires { o.epsilon; }) return &o.epsilon;
  return nullptr;
}
template <class O> double* momentum(O& o) {
  if constexpr (requires { o.momentum; }) return &o.momentum;
  return nullptr;
}
template <class O> double* rho(O& o) {
  if constexpr (requires { o.rho; }) return &o.rho;
  return nullptr;
}
template <class O> bool* nesterov(O& o) {
  if constexpr (requires { o.nesterov; }) return &o.nesterov;
  return nullptr;
}
template <class O> bool* amsgrad(O& o) {
  if constexpr (requires { o.amsgrad; }) return &o.amsgrad;
  return nullptr;
}
template <class O> bool* centered(O& o) {
  if constexpr (requires { o.centered; }) return &o.centered;
  return nullptr;
}

template <class Formula>
std::unique_ptr<xp::Optimizer<float>> made(const TrainSettings& s, const xp::Schedule& rate,
                                           const xp::OptimizerOptions& common) {
  typename Formula::Options o;
  o.learning_rate = rate;
  o.weight_decay = s.weight_decay;
  const auto flag = [](bool is) { return is ? std::optional(true) : std::nullopt; };
  set(beta_1(o), s.beta_1, "--beta-1");
  set(beta_2(o), s.beta_2, "--beta-2");
  set(epsilon(o), s.epsilon, "--epsilon");
  set(momentum(o), s.momentum, "--momentum");
  set(rho(o), s.rho, "--rho");
  set(nesterov(o), flag(s.nesterov), "--nesterov");
  set(amsgrad(o), flag(s.amsgrad), "--amsgrad");
  set(centered(o), flag(s.centered), "--centered");
  return std::make_unique<Formula>(o, common);
}

using Maker = std::unique_ptr<xp::Optimizer<float>> (*)(const TrainSettings&, const xp::Schedule&,
                                                        const xp::OptimizerOptions&);

/// Returns the makers by name.
const std::map<std::string, Maker>& makers() {
  static const std::map<std::string, Maker> all = {{"sgd", made<xp::SGD<float>>},
                                                   {"adam", made<xp::Adam<float>>},
                                                   {"adamw", made<xp::AdamW<float>>},
                                                   {"adamax", made<xp::Adamax<float>>},
                                                   {"nadam", made<xp::Nadam<float>>},
                                                   {"lamb", made<xp::Lamb<float>>},
                                                   {"lion", made<xp::Lion<float>>},
                                                   {"adagrad", made<xp::Adagrad<float>>},
                                                   {"adadelta", made<xp::Adadelta<float>>},
                                                   {"rmsprop", made<xp::RMSprop<float>>},
                                                   {"adafactor", made<xp::Adafactor<float>>}};
  return all;
}

}  // namespace

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names;
  for (const auto& [name, maker] : makers()) names.push_back(name);
  return names;
}

bool rate_needs_epochs(const TrainSettings& s) {
  return s.decay_steps == 0 && s.schedule != "constant" && s.schedule != "noam" &&
         s.schedule != "piecewise";
}

/// Throws ValueError for an option of a schedule that was not chosen.
static void check_schedule(const TrainSettings& s) {
  constexpr std::pair<const char*, std::string_view> kOptions[] = {
      {"--boundaries", "piecewise"},
      {"--decay-steps", "cosine, restarts, exponential, inverse-time or polynomial"},
      {"--final-rate", "cosine, restarts or polynomial"},
      {"--factors", "piecewise"},
      {"--power", "polynomial"},
      {"--cycle", "polynomial"},
      {"--decay-rate", "exponential or inverse-time"},
      {"--staircase", "exponential or inverse-time"},
      {"--restart-length", "restarts"},
      {"--restart-height", "restarts"}};
  for (const auto& [option, schedules] : kOptions) {
    if (s.given.count(option) == 0 || schedules.find(s.schedule) != schedules.npos) continue;
    throw xp::ValueError(std::string(option) + ": not an option of this schedule: --schedule is " +
                         s.schedule + ", expected " + std::string(schedules) +
                         "; leave it out, or choose another --schedule");
  }
}

std::unique_ptr<xp::Optimizer<float>> make_optimizer(const TrainSettings& s, std::int64_t steps) {
  check_schedule(s);
  if (s.schedule == "piecewise" && s.boundaries.empty()) {
    throw xp::ValueError(
        "--schedule piecewise: no steps after which the rate changes, expected some; give "
        "--boundaries and --factors");
  }
  if (s.schedule == "piecewise" && s.boundaries.size() != s.factors.size()) {
    throw xp::ValueError("--boundaries, --factors: other lengths: they have " +
                         std::to_string(s.boundaries.size()) + " and " +
                         std::to_string(s.factors.size()) +
                         ", expected a factor for each boundary; give as many");
  }
  xp::Schedule rate = s.learning_rate;
  if (s.schedule == "noam") {
    rate = schedules::Noam{.d_model = s.width,
                           .warmup_steps = std::max<std::int64_t>(1, s.warmup),
                           .factor = s.learning_rate};
  } else if (s.warmup > 0 || s.schedule != "constant") {
    rate = schedules::LinearWarmup{.steps = s.warmup, .then = rate_of(s, steps - s.warmup)};
  }
  xp::OptimizerOptions common;
  if (s.ema > 0) {
    common.use_ema = true;
    common.ema_momentum = s.ema;
  }
  if (s.accumulate > steps) {
    throw xp::ValueError("--accumulate: nothing would be learned: it is " +
                         std::to_string(s.accumulate) + ", expected at most the steps of the " +
                         "training, " + std::to_string(steps) + "; lower it, or raise --epochs");
  }
  common.gradient_accumulation_steps = s.accumulate;
  common.exclude_from_weight_decay = {"bias$", "norm", "beta$", "gamma$"};
  return makers().at(s.optimizer)(s, rate, common);
}

}  // namespace seq2seq
