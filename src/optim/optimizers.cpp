#include <xtape/optim/optimizers.hpp>

#include "base/check.hpp"
#include "kernels/optimizers.hpp"
#include "kernels/optimizers_plain.hpp"

#include <algorithm>
#include <cmath>

namespace xtape {

using detail::check_epsilon;
using detail::check_option;
using detail::check_unit;
using kernels::Index;

template <class T>
SGD<T>::SGD(Options options, OptimizerOptions common)
    : Optimizer<T>(options.learning_rate, options.weight_decay, std::move(common)),
      options_(std::move(options)) {
  check_unit("SGD", "momentum", options_.momentum, true);
}

template <class T>
std::vector<OptimizerSlot> SGD<T>::slots(const Shape& shape) const {
  if (options_.momentum == 0) return {};
  return {{"m", shape}};
}

template <class T>
void SGD<T>::update(const OptimizerUpdate<T>& u) const noexcept {
  kernels::sgd(static_cast<Index>(u.n), static_cast<T>(u.rate), static_cast<T>(options_.momentum),
               options_.nesterov, static_cast<T>(u.decay), static_cast<T>(u.gradient_scale),
               u.gradient, u.state.empty() ? nullptr : u.state[0].data(), u.from, u.to);
}

template <class T>
Lion<T>::Lion(Options options, OptimizerOptions common)
    : Optimizer<T>(options.learning_rate, options.weight_decay, std::move(common)),
      options_(std::move(options)) {
  check_option(options_.beta_1 > 0 && options_.beta_1 <= 1, "Lion", "beta_1", options_.beta_1,
               "above 0 and at most 1");
  check_unit("Lion", "beta_2", options_.beta_2, false);
}

template <class T>
std::vector<OptimizerSlot> Lion<T>::slots(const Shape& shape) const {
  return {{"m", shape}};
}

template <class T>
void Lion<T>::update(const OptimizerUpdate<T>& u) const noexcept {
  kernels::lion(static_cast<Index>(u.n), static_cast<T>(u.rate),
                static_cast<T>(1 - options_.beta_1), static_cast<T>(1 - options_.beta_2),
                static_cast<T>(u.decay), static_cast<T>(u.gradient_scale), u.gradient,
                u.state[0].data(), u.from, u.to);
}

template <class T>
Adagrad<T>::Adagrad(Options options, OptimizerOptions common)
    : Optimizer<T>(options.learning_rate, options.weight_decay, std::move(common)),
      options_(std::move(options)) {
  detail::check_not_negative("Adagrad", "initial_accumulator_value",
                             options_.initial_accumulator_value);
  check_epsilon<T>("Adagrad", options_.epsilon);
}

template <class T>
std::vector<OptimizerSlot> Adagrad<T>::slots(const Shape& shape) const {
  return {{"a", shape, options_.initial_accumulator_value}};
}

template <class T>
void Adagrad<T>::update(const OptimizerUpdate<T>& u) const noexcept {
  kernels::adagrad(static_cast<Index>(u.n), static_cast<T>(u.rate),
                   static_cast<T>(options_.epsilon), static_cast<T>(u.decay),
                   static_cast<T>(u.gradient_scale), u.gradient, u.state[0].data(), u.from, u.to);
}

template <class T>
Adadelta<T>::Adadelta(Options options, OptimizerOptions common)
    : Optimizer<T>(options.learning_rate, options.weight_decay, std::move(common)),
      options_(std::move(options)) {
  check_unit("Adadelta", "rho", options_.rho, false);
  check_epsilon<T>("Adadelta", options_.epsilon);
}

template <class T>
std::vector<OptimizerSlot> Adadelta<T>::slots(const Shape& shape) const {
  return {{"a", shape}, {"b", shape}};
}

template <class T>
void Adadelta<T>::update(const OptimizerUpdate<T>& u) const noexcept {
  kernels::adadelta(static_cast<Index>(u.n), static_cast<T>(u.rate),
                    static_cast<T>(1 - options_.rho), static_cast<T>(options_.epsilon),
                    static_cast<T>(u.decay), static_cast<T>(u.gradient_scale), u.gradient,
                    u.state[0].data(), u.state[1].data(), u.from, u.to);
}

template <class T>
RMSprop<T>::RMSprop(Options options, OptimizerOptions common)
    : Optimizer<T>(options.learning_rate, options.weight_decay, std::move(common)),
      options_(std::move(options)) {
  check_unit("RMSprop", "rho", options_.rho, false);
  check_unit("RMSprop", "momentum", options_.momentum, true);
  check_epsilon<T>("RMSprop", options_.epsilon);
}

template <class T>
std::vector<OptimizerSlot> RMSprop<T>::slots(const Shape& shape) const {
  std::vector<OptimizerSlot> all{{"v", shape}};
  if (options_.momentum > 0) all.push_back({"m", shape});
  if (options_.centered) all.push_back({"a", shape});
  return all;
}

template <class T>
void RMSprop<T>::update(const OptimizerUpdate<T>& u) const noexcept {
  kernels::rmsprop(static_cast<Index>(u.n), static_cast<T>(u.rate),
                   static_cast<T>(1 - options_.rho), static_cast<T>(options_.momentum),
                   static_cast<T>(options_.epsilon), static_cast<T>(u.decay),
                   static_cast<T>(u.gradient_scale), u.gradient, u.state[0].data(),
                   options_.momentum > 0 ? u.state[1].data() : nullptr,
                   options_.centered ? u.state.back().data() : nullptr, u.from, u.to);
}

template <class T>
Adafactor<T>::Adafactor(Options options, OptimizerOptions common)
    : Optimizer<T>(options.learning_rate, options.weight_decay, std::move(common)),
      options_(std::move(options)) {
  const char* who = "Adafactor";
  check_option(options_.beta_2_decay < 0 && std::isfinite(options_.beta_2_decay), who,
               "beta_2_decay", options_.beta_2_decay, "a negative number");
  check_epsilon<T>(who, options_.epsilon_1, "epsilon_1");
  detail::check_not_negative(who, "epsilon_2", options_.epsilon_2);
  detail::check_positive(who, "clip_threshold", options_.clip_threshold);
}

template <class T>
std::vector<OptimizerSlot> Adafactor<T>::slots(const Shape& shape) const {
  if (shape.size() < 2) return {{"v", shape}};
  const Shape rows(shape.begin(), shape.end() - 1);
  Shape columns(shape.begin(), shape.end() - 1);
  columns.back() = shape.back();
  return {{"r", rows}, {"c", columns}};
}

template <class T>
void Adafactor<T>::update(const OptimizerUpdate<T>& u) const noexcept {
  const auto t = static_cast<double>(u.step);
  const kernels::AdafactorOptions<T> o{.step = std::min(u.rate, 1 / std::sqrt(t)),
                                       .gain = std::pow(t, options_.beta_2_decay),
                                       .epsilon_1 = options_.epsilon_1,
                                       .epsilon_2 = options_.epsilon_2,
                                       .clip_threshold = options_.clip_threshold,
                                       .decay = static_cast<T>(u.decay),
                                       .scale = static_cast<T>(u.gradient_scale)};
  const auto n = static_cast<Index>(u.n);
  if (n == 0) return;
  if (u.shape.size() < 2) {
    kernels::adafactor(n, o, u.gradient, u.state[0].data(), u.from, u.to);
    return;
  }
  const auto columns = static_cast<Index>(u.shape.back());
  const auto rows = static_cast<Index>(u.shape[u.shape.size() - 2]);
  kernels::adafactor(n / rows / columns, rows, columns, o, u.gradient, u.state[0].data(),
                     u.state[1].data(), u.from, u.to);
}

#define XTAPE_INSTANTIATE(T)  \
  template class SGD<T>;      \
  template class Lion<T>;     \
  template class Adagrad<T>;  \
  template class Adadelta<T>; \
  template class RMSprop<T>;  \
  template class Adafactor<T>;
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
