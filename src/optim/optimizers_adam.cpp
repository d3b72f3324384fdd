// Adam and what came of it.

#include <xtape/optim/optimizers.hpp>

#include "base/check.hpp"
#include "kernels/optimizers.hpp"
#include "kernels/optimizers_plain.hpp"
#include "threads/pool.hpp"

#include <cmath>

namespace xtape {

using detail::check_epsilon;
using detail::check_unit;
using kernels::Index;

namespace {

constexpr Index kGrain = 1 << 13;  // weights that one thread updates at a time

template <class T, class Options>
void check_moments(const char* who, const Options& options) {
  check_unit(who, "beta_1", options.beta_1, false);
  check_unit(who, "beta_2", options.beta_2, false);
  check_epsilon<T>(who, options.epsilon);
}

// 1 - beta^t, what a mean that began with 0 is too small by.
double correction(double beta, std::int64_t step) {
  return 1.0 - std::pow(beta, static_cast<double>(step));
}

}  // namespace

template <class T>
Adam<T>::Adam(Options options, OptimizerOptions common)
    : Optimizer<T>(options.learning_rate, options.weight_decay, std::move(common)),
      options_(std::move(options)) {
  check_moments<T>("Adam", options_);
}

template <class T>
std::vector<OptimizerSlot> Adam<T>::slots(const Shape& shape) const {
  if (options_.amsgrad) return {{"m", shape}, {"v", shape}, {"v_max", shape}};
  return {{"m", shape}, {"v", shape}};
}

template <class T>
void Adam<T>::update(const OptimizerUpdate<T>& u) const noexcept {
  const auto rate = static_cast<T>(u.rate * std::sqrt(correction(options_.beta_2, u.step)) /
                                   correction(options_.beta_1, u.step));
  const auto n = static_cast<Index>(u.n);
  const auto gain_1 = static_cast<T>(1 - options_.beta_1);
  const auto gain_2 = static_cast<T>(1 - options_.beta_2);
  const auto epsilon = static_cast<T>(options_.epsilon);
  const auto decay = static_cast<T>(u.decay);
  const auto scale = static_cast<T>(u.gradient_scale);
  T* m = u.state[0].data();
  T* v = u.state[1].data();
  if (options_.amsgrad) {
    kernels::amsgrad(n, rate, gain_1, gain_2, epsilon, decay, scale, u.gradient, m, v,
                     u.state[2].data(), u.from, u.to);
  } else {
    detail::parallel_for(n, kGrain, [&](Index begin, Index end) {
      kernels::adam(end - begin, rate, gain_1, gain_2, epsilon, decay, scale, u.gradient + begin,
                    m + begin, v + begin, u.from + begin, u.to + begin);
    });
  }
}

template <class T>
Adamax<T>::Adamax(Options options, OptimizerOptions common)
    : Optimizer<T>(options.learning_rate, options.weight_decay, std::move(common)),
      options_(std::move(options)) {
  check_moments<T>("Adamax", options_);
}

template <class T>
std::vector<OptimizerSlot> Adamax<T>::slots(const Shape& shape) const {
  return {{"m", shape}, {"u", shape}};
}

template <class T>
void Adamax<T>::update(const OptimizerUpdate<T>& u) const noexcept {
  kernels::adamax(
      static_cast<Index>(u.n), static_cast<T>(u.rate / correction(options_.beta_1, u.step)),
      static_cast<T>(1 - options_.beta_1), static_cast<T>(options_.beta_2),
      static_cast<T>(options_.epsilon), static_cast<T>(u.decay), static_cast<T>(u.gradient_scale),
      u.gradient, u.state[0].data(), u.state[1].data(), u.from, u.to);
}

template <class T>
Nadam<T>::Nadam(Options options, OptimizerOptions common)
    : Optimizer<T>(options.learning_rate, options.weight_decay, std::move(common)),
      options_(std::move(options)) {
  check_moments<T>("Nadam", options_);
}

template <class T>
std::vector<OptimizerSlot> Nadam<T>::slots(const Shape& shape) const {
  return {{"m", shape}, {"v", shape}};
}

// The momentum of a step.
static double nadam_momentum(double beta_1, std::int64_t step) {
  return beta_1 * (1.0 - 0.5 * std::pow(0.96, static_cast<double>(step)));
}

// The momenta of all steps up to this one, multiplied in this order, so that a loaded optimizer has
// the same.
template <class T>
double Nadam<T>::product(std::int64_t step) const noexcept {
  if (step < known_step_) {
    known_step_ = 0;
    known_product_ = 1.0;
  }
  while (known_step_ < step) known_product_ *= nadam_momentum(options_.beta_1, ++known_step_);
  return known_product_;
}

template <class T>
void Nadam<T>::update(const OptimizerUpdate<T>& u) const noexcept {
  const double now = nadam_momentum(options_.beta_1, u.step);
  const double next = nadam_momentum(options_.beta_1, u.step + 1);
  const double p = product(u.step);
  kernels::nadam(static_cast<Index>(u.n), static_cast<T>(u.rate * next / (1 - p * next)),
                 static_cast<T>(u.rate * (1 - now) / (1 - p)),
                 static_cast<T>(1 / correction(options_.beta_2, u.step)),
                 static_cast<T>(1 - options_.beta_1), static_cast<T>(1 - options_.beta_2),
                 static_cast<T>(options_.epsilon), static_cast<T>(u.decay),
                 static_cast<T>(u.gradient_scale), u.gradient, u.state[0].data(), u.state[1].data(),
                 u.from, u.to);
}

template <class T>
Lamb<T>::Lamb(Options options, OptimizerOptions common)
    : Optimizer<T>(options.learning_rate, options.weight_decay, std::move(common)),
      options_(std::move(options)) {
  check_moments<T>("Lamb", options_);
}

template <class T>
std::vector<OptimizerSlot> Lamb<T>::slots(const Shape& shape) const {
  return {{"m", shape}, {"v", shape}};
}

template <class T>
void Lamb<T>::update(const OptimizerUpdate<T>& u) const noexcept {
  kernels::lamb(static_cast<Index>(u.n), static_cast<T>(u.rate),
                static_cast<T>(1 / correction(options_.beta_1, u.step)),
                static_cast<T>(1 / correction(options_.beta_2, u.step)),
                static_cast<T>(1 - options_.beta_1), static_cast<T>(1 - options_.beta_2),
                static_cast<T>(options_.epsilon), static_cast<T>(u.decay),
                static_cast<T>(u.gradient_scale), u.gradient, u.state[0].data(), u.state[1].data(),
                u.from, u.to);
}

#define XTAPE_INSTANTIATE(T) \
  template class Adam<T>;    \
  template class Adamax<T>;  \
  template class Nadam<T>;   \
  template class Lamb<T>;
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
