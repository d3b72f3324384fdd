#pragma once
// Every optimizer and option of the golden data, and its weights and gradients.

#include "support/golden.hpp"

namespace xtape::test {

template <class V> void read(const Json& o, const char* name, V& option) {
  if (o.contains(name)) option = o[name].get<V>();
}
inline void read(const Json& o, const char* name, std::optional<double>& option) {
  if (o.contains(name)) option = o[name].get<double>();
}

inline OptimizerOptions common_of(const Json& o) {
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

/// The golden data: weights and gradients first, then a case for each optimizer and option.
inline const Json& all_optimizers() {
  static const Json all = golden("optimizers");
  return all;
}

/// The weights of the golden data, and steps with its gradients.
template <class T> struct Trained {
  const Json& data = all_optimizers()[0];
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
  /// Returns the given gradients of step t, counted from 1, after change(i, gradient of weight i).
  template <class F> Gradients<T> gradients(std::size_t t, F change) {
    Tape<T> tape;
    const Var<T> here = tape.input(Var<T>(T(0)));
    Var<T> loss = here;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      Array<T> g = golden_array<T>(data["gradients"][t - 1][i]);
      change(i, g);
      loss = loss + sum(weights[i].value_for(here) * Var<T>(std::move(g)));
    }
    return tape.backward(loss);
  }
  Gradients<T> gradients(std::size_t t) {
    return gradients(t, [](std::size_t, Array<T>&) {});
  }
  // The weights start at 3 at most, so this is near enough to relative.
  void compare(Errors& errors, const Json& expected, const std::string& when) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      errors.add(weights[i].path() + " " + when,
                 difference(weights[i].value(), golden_array<double>(expected[i])) / 3.0);
    }
  }
};

}  // namespace xtape::test
