#include <xtape/optim/optimizers.hpp>

#include "base/check.hpp"
#include "kernels/optimizers.hpp"
#include "kernels/optimizers_plain.hpp"
#include "threads/pool.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>

namespace xtape {

using detail::check_epsilon;
using detail::check_option;
using detail::check_unit;
using detail::ProductOfSteps;
using kernels::Index;

// Each formula has names(), check(), slots_of() and apply() for its options.
namespace {

constexpr Index kGrain = 1 << 13;  // weights that one thread updates at a time

// The largest gradients of formulas, with room for a difference of two, or for the sum of a few squares.
template <class T, class O> double largest_gradient_of(const O&) {
  return std::sqrt(static_cast<double>(std::numeric_limits<T>::max())) / 2;
}
template <class T>
constexpr double kQuarter = static_cast<double>(std::numeric_limits<T>::max()) / 4;
template <class T> double largest_gradient_of(const SGDOptions&) { return kQuarter<T>; }
template <class T> double largest_gradient_of(const LionOptions&) { return kQuarter<T>; }
template <class T> double largest_gradient_of(const AdamaxOptions&) { return kQuarter<T>; }

constexpr std::index_sequence<0> kOneSlot;
constexpr std::index_sequence<0, 1> kTwoSlots;

/// An update with its numbers as the kernels take them.
template <class T> struct Numbers {
  explicit Numbers(const OptimizerUpdate<T>& update)
      : u(update),
        n(static_cast<Index>(u.n)),
        rate(static_cast<T>(u.rate)),
        decay(static_cast<T>(u.decay)),
        scale(static_cast<T>(u.gradient_scale)) {}
  [[nodiscard]] T* slot(std::size_t i) const { return u.state[i].data(); }
  /// Calls kernel(n, numbers..., decay, scale, gradient, slots..., from, to).
  template <std::size_t... Slot, class Kernel, class... Double>
  void call(std::index_sequence<Slot...>, Kernel kernel, Double... numbers) const {
    kernel(n, static_cast<T>(numbers)..., decay, scale, u.gradient, slot(Slot)..., u.from, u.to);
  }

  const OptimizerUpdate<T>& u;
  Index n;
  T rate, decay, scale;
};

// Returns 1 - beta^t, by which a mean that began with 0 is too small.
double correction(double beta, std::int64_t step) {
  return 1.0 - std::pow(beta, static_cast<double>(step));
}

/// The name in errors, the name of the saved state, and the slots that do not depend on options.
struct Names {
  const char* who;
  const char* saved;
  const char* slots[2] = {};
};
constexpr Names names(const SGDOptions&) { return {"SGD", "sgd"}; }
constexpr Names names(const LionOptions&) { return {"Lion", "lion", {"m"}}; }
constexpr Names names(const AdamOptions&) { return {"Adam", "adam"}; }
constexpr Names names(const AdamWOptions&) { return {"Adam", "adamw"}; }
constexpr Names names(const AdamaxOptions&) { return {"Adamax", "adamax", {"m", "u"}}; }
constexpr Names names(const NadamOptions&) { return {"Nadam", "nadam", {"m", "v"}}; }
constexpr Names names(const LambOptions&) { return {"Lamb", "lamb", {"m", "v"}}; }
constexpr Names names(const AdagradOptions&) { return {"Adagrad", "adagrad"}; }
constexpr Names names(const AdadeltaOptions&) { return {"Adadelta", "adadelta", {"a", "b"}}; }
constexpr Names names(const RMSpropOptions&) { return {"RMSprop", "rmsprop"}; }
constexpr Names names(const AdafactorOptions&) { return {"Adafactor", "adafactor"}; }

template <class O> std::vector<OptimizerSlot> slots_of(const O& o, const Shape& shape) {
  std::vector<OptimizerSlot> all;
  for (const char* name : names(o).slots) {
    if (name != nullptr) all.push_back({name, shape});
  }
  return all;
}

// Adam, AdamW, Adamax, Nadam and Lamb.
template <class T, class O> void check(const O& o) {
  const char* who = names(o).who;
  check_unit(who, "beta_1", o.beta_1, false);
  check_unit(who, "beta_2", o.beta_2, false);
  check_epsilon<T>(who, o.epsilon);
}

template <class T> void check(const SGDOptions& o) {
  check_unit("SGD", "momentum", o.momentum, true);
}

std::vector<OptimizerSlot> slots_of(const SGDOptions& o, const Shape& shape) {
  if (o.momentum == 0) return {};
  return {{"m", shape}};
}

template <class T> void apply(const SGDOptions& o, const Numbers<T>& k, ProductOfSteps&) {
  kernels::sgd(k.n, k.rate, static_cast<T>(o.momentum), o.nesterov, k.decay, k.scale, k.u.gradient,
               k.u.state.empty() ? nullptr : k.slot(0), k.u.from, k.u.to);
}

template <class T> void check(const LionOptions& o) {
  check_option(o.beta_1 > 0 && o.beta_1 <= 1, "Lion", "beta_1", o.beta_1, "above 0 and at most 1");
  check_unit("Lion", "beta_2", o.beta_2, false);
}

template <class T> void apply(const LionOptions& o, const Numbers<T>& k, ProductOfSteps&) {
  k.call(kOneSlot, kernels::lion<T>, k.u.rate, 1 - o.beta_1, 1 - o.beta_2);
}

template <bool Decays>
std::vector<OptimizerSlot> slots_of(const AnyAdamOptions<Decays>& o, const Shape& shape) {
  if (o.amsgrad) return {{"m", shape}, {"v", shape}, {"v_max", shape}};
  return {{"m", shape}, {"v", shape}};
}

template <class T, bool Decays>
void apply(const AnyAdamOptions<Decays>& o, const Numbers<T>& k, ProductOfSteps&) {
  const auto rate = static_cast<T>(k.u.rate * std::sqrt(correction(o.beta_2, k.u.step)) /
                                   correction(o.beta_1, k.u.step));
  const auto gain_1 = static_cast<T>(1 - o.beta_1);
  const auto gain_2 = static_cast<T>(1 - o.beta_2);
  const auto epsilon = static_cast<T>(o.epsilon);
  T* m = k.slot(0);
  T* v = k.slot(1);
  if (o.amsgrad) {
    kernels::amsgrad(k.n, rate, gain_1, gain_2, epsilon, k.decay, k.scale, k.u.gradient, m, v,
                     k.slot(2), k.u.from, k.u.to);
    return;
  }
  detail::parallel_for(k.n, kGrain, [&](Index begin, Index end) {
    kernels::adam(end - begin, rate, gain_1, gain_2, epsilon, k.decay, k.scale,
                  k.u.gradient + begin, m + begin, v + begin, k.u.from + begin, k.u.to + begin);
  });
}

template <class T> void apply(const AdamaxOptions& o, const Numbers<T>& k, ProductOfSteps&) {
  k.call(kTwoSlots, kernels::adamax<T>, k.u.rate / correction(o.beta_1, k.u.step), 1 - o.beta_1,
         o.beta_2, o.epsilon);
}

double nadam_momentum(double beta_1, std::int64_t step) {
  return beta_1 * (1.0 - 0.5 * std::pow(0.96, static_cast<double>(step)));
}

template <class T> void apply(const NadamOptions& o, const Numbers<T>& k, ProductOfSteps& momenta) {
  const double now = nadam_momentum(o.beta_1, k.u.step);
  const double next = nadam_momentum(o.beta_1, k.u.step + 1);
  // Always multiplied in this order, so that a loaded optimizer has the same product.
  if (k.u.step < momenta.step) momenta = {};
  while (momenta.step < k.u.step) momenta.value *= nadam_momentum(o.beta_1, ++momenta.step);
  const double p = momenta.value;
  k.call(kTwoSlots, kernels::nadam<T>, k.u.rate * next / (1 - p * next),
         k.u.rate * (1 - now) / (1 - p), 1 / correction(o.beta_2, k.u.step), 1 - o.beta_1,
         1 - o.beta_2, o.epsilon);
}

template <class T> void apply(const LambOptions& o, const Numbers<T>& k, ProductOfSteps&) {
  k.call(kTwoSlots, kernels::lamb<T>, k.u.rate, 1 / correction(o.beta_1, k.u.step),
         1 / correction(o.beta_2, k.u.step), 1 - o.beta_1, 1 - o.beta_2, o.epsilon);
}

template <class T> void check(const AdagradOptions& o) {
  detail::check_not_negative("Adagrad", "initial_accumulator_value", o.initial_accumulator_value);
  check_epsilon<T>("Adagrad", o.epsilon);
}

std::vector<OptimizerSlot> slots_of(const AdagradOptions& o, const Shape& shape) {
  return {{"a", shape, o.initial_accumulator_value}};
}

template <class T> void apply(const AdagradOptions& o, const Numbers<T>& k, ProductOfSteps&) {
  k.call(kOneSlot, kernels::adagrad<T>, k.u.rate, o.epsilon);
}

template <class T> void check(const AdadeltaOptions& o) {
  check_unit("Adadelta", "rho", o.rho, false);
  check_epsilon<T>("Adadelta", o.epsilon);
}

template <class T> void apply(const AdadeltaOptions& o, const Numbers<T>& k, ProductOfSteps&) {
  k.call(kTwoSlots, kernels::adadelta<T>, k.u.rate, 1 - o.rho, o.epsilon);
}

template <class T> void check(const RMSpropOptions& o) {
  check_unit("RMSprop", "rho", o.rho, false);
  check_unit("RMSprop", "momentum", o.momentum, true);
  check_epsilon<T>("RMSprop", o.epsilon);
}

std::vector<OptimizerSlot> slots_of(const RMSpropOptions& o, const Shape& shape) {
  std::vector<OptimizerSlot> all{{"v", shape}};
  if (o.momentum > 0) all.push_back({"m", shape});
  if (o.centered) all.push_back({"a", shape});
  return all;
}

template <class T> void apply(const RMSpropOptions& o, const Numbers<T>& k, ProductOfSteps&) {
  kernels::rmsprop(k.n, k.rate, static_cast<T>(1 - o.rho), static_cast<T>(o.momentum),
                   static_cast<T>(o.epsilon), k.decay, k.scale, k.u.gradient, k.slot(0),
                   o.momentum > 0 ? k.slot(1) : nullptr,
                   o.centered ? k.u.state.back().data() : nullptr, k.u.from, k.u.to);
}

template <class T> void check(const AdafactorOptions& o) {
  const char* who = "Adafactor";
  check_option(o.beta_2_decay < 0 && std::isfinite(o.beta_2_decay), who, "beta_2_decay",
               o.beta_2_decay, "a negative number");
  check_epsilon<T>(who, o.epsilon_1, "epsilon_1");
  detail::check_not_negative(who, "epsilon_2", o.epsilon_2);
  detail::check_positive(who, "clip_threshold", o.clip_threshold);
}

std::vector<OptimizerSlot> slots_of(const AdafactorOptions&, const Shape& shape) {
  if (shape.size() < 2) return {{"v", shape}};
  const Shape rows(shape.begin(), shape.end() - 1);
  Shape columns(shape.begin(), shape.end() - 1);
  columns.back() = shape.back();
  return {{"r", rows}, {"c", columns}};
}

template <class T>
void apply(const AdafactorOptions& options, const Numbers<T>& k, ProductOfSteps&) {
  const auto t = static_cast<double>(k.u.step);
  const kernels::AdafactorOptions<T> o{.step = std::min(k.u.rate, 1 / std::sqrt(t)),
                                       .gain = std::pow(t, options.beta_2_decay),
                                       .epsilon_1 = options.epsilon_1,
                                       .epsilon_2 = options.epsilon_2,
                                       .clip_threshold = options.clip_threshold,
                                       .decay = k.decay,
                                       .scale = k.scale};
  if (k.n == 0) return;
  if (k.u.shape.size() < 2) {
    kernels::adafactor(k.n, o, k.u.gradient, k.slot(0), k.u.from, k.u.to);
    return;
  }
  const auto columns = static_cast<Index>(k.u.shape.back());
  const auto rows = static_cast<Index>(k.u.shape[k.u.shape.size() - 2]);
  kernels::adafactor(k.n / rows / columns, rows, columns, o, k.u.gradient, k.slot(0), k.slot(1),
                     k.u.from, k.u.to);
}

}  // namespace

template <class T, class O>
OptimizerOf<T, O>::OptimizerOf(Options options, OptimizerOptions common)
    : Optimizer<T>(options.learning_rate, options.weight_decay, std::move(common)),
      options_(std::move(options)) {
  check<T>(options_);
}

template <class T, class O> const char* OptimizerOf<T, O>::name() const noexcept {
  return names(options_).saved;
}

template <class T, class O>
std::vector<OptimizerSlot> OptimizerOf<T, O>::slots(const Shape& shape) const {
  return slots_of(options_, shape);
}

template <class T, class O>
void OptimizerOf<T, O>::update(const OptimizerUpdate<T>& u) const noexcept {
  apply(options_, Numbers<T>(u), momenta_);
}

template <class T, class O> double OptimizerOf<T, O>::largest_gradient() const noexcept {
  return largest_gradient_of<T>(options_);
}

template <class T, class O> bool OptimizerOf<T, O>::concurrent() const noexcept {
  return std::same_as<O, AdamOptions> || std::same_as<O, AdamWOptions>;
}

#define XTAPE_OPTIMIZER(O)              \
  template class OptimizerOf<float, O>; \
  template class OptimizerOf<double, O>
XTAPE_OPTIMIZER(SGDOptions);
XTAPE_OPTIMIZER(LionOptions);
XTAPE_OPTIMIZER(AdamOptions);
XTAPE_OPTIMIZER(AdamWOptions);
XTAPE_OPTIMIZER(AdamaxOptions);
XTAPE_OPTIMIZER(NadamOptions);
XTAPE_OPTIMIZER(LambOptions);
XTAPE_OPTIMIZER(AdagradOptions);
XTAPE_OPTIMIZER(AdadeltaOptions);
XTAPE_OPTIMIZER(RMSpropOptions);
XTAPE_OPTIMIZER(AdafactorOptions);

}  // namespace xtape
