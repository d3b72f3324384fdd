#include <xtape/optim/schedules.hpp>

#include "base/check.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace xtape::schedules {

using detail::check_count;
using detail::check_not_negative;
using detail::check_option;
using detail::check_positive;

namespace {

// Checks the options and the step, and returns the step as a number.
template <class S> double at(const char* who, const S& schedule, std::int64_t step) {
  schedule.check();
  check_option(step >= 0, who, "step", step, "0 or more");
  return static_cast<double>(step);
}

double periods(double step, std::int64_t decay_steps, bool staircase) {
  const double p = step / static_cast<double>(decay_steps);
  return staircase ? std::floor(p) : p;
}

double line(double from, double to, double part) { return (to - from) * part + from; }

double half_cosine(double part) { return 0.5 * (1.0 + std::cos(std::numbers::pi * part)); }

}  // namespace

void Constant::check() const { check_positive("Constant", "learning_rate", learning_rate); }

double Constant::operator()(std::int64_t step) const {
  static_cast<void>(at("Constant", *this, step));
  return learning_rate;
}

void ExponentialDecay::check() const {
  check_positive("ExponentialDecay", "initial_learning_rate", initial_learning_rate);
  check_count("ExponentialDecay", "decay_steps", decay_steps);
  check_positive("ExponentialDecay", "decay_rate", decay_rate);
}

double ExponentialDecay::operator()(std::int64_t step) const {
  const double s = at("ExponentialDecay", *this, step);
  return initial_learning_rate * std::pow(decay_rate, periods(s, decay_steps, staircase));
}

void InverseTimeDecay::check() const {
  check_positive("InverseTimeDecay", "initial_learning_rate", initial_learning_rate);
  check_count("InverseTimeDecay", "decay_steps", decay_steps);
  check_not_negative("InverseTimeDecay", "decay_rate", decay_rate);
}

double InverseTimeDecay::operator()(std::int64_t step) const {
  const double s = at("InverseTimeDecay", *this, step);
  return initial_learning_rate / (1.0 + decay_rate * periods(s, decay_steps, staircase));
}

void PolynomialDecay::check() const {
  check_positive("PolynomialDecay", "initial_learning_rate", initial_learning_rate);
  check_count("PolynomialDecay", "decay_steps", decay_steps);
  check_not_negative("PolynomialDecay", "end_learning_rate", end_learning_rate);
  check_positive("PolynomialDecay", "power", power);
}

double PolynomialDecay::operator()(std::int64_t step) const {
  double s = at("PolynomialDecay", *this, step);
  auto length = static_cast<double>(decay_steps);
  if (cycle) {
    length *= std::max(1.0, std::ceil(s / length));
  } else {
    s = std::min(s, length);
  }
  return (initial_learning_rate - end_learning_rate) * std::pow(1.0 - s / length, power) +
         end_learning_rate;
}

void PiecewiseConstantDecay::check() const {
  const char* who = "PiecewiseConstantDecay";
  if (values.size() != boundaries.size() + 1) {
    detail::fail<ValueError>(who, "lengths do not fit: there are ", values.size(),
                             " values, expected ", boundaries.size() + 1,
                             ", one more than boundaries");
  }
  for (std::size_t i = 0; i < boundaries.size(); ++i) {
    check_option(boundaries[i] >= 0 && (i == 0 || boundaries[i] > boundaries[i - 1]), who,
                 "boundary", boundaries[i], "0 or more, and above the one before");
  }
  for (const double value : values) check_not_negative(who, "value", value);
}

double PiecewiseConstantDecay::operator()(std::int64_t step) const {
  static_cast<void>(at("PiecewiseConstantDecay", *this, step));
  // A boundary belongs to the value on its left.
  const auto after = std::lower_bound(boundaries.begin(), boundaries.end(), step);
  return values[static_cast<std::size_t>(after - boundaries.begin())];
}

void CosineDecay::check() const {
  const char* who = "CosineDecay";
  if (warmup_target) {
    check_not_negative(who, "initial_learning_rate", initial_learning_rate);
    check_positive(who, "warmup_target", *warmup_target);
  } else {
    check_positive(who, "initial_learning_rate", initial_learning_rate);
    check_option(warmup_steps == 0, who, "warmup_steps", warmup_steps, "0 without a warmup_target");
  }
  check_count(who, "decay_steps", decay_steps);
  check_not_negative(who, "alpha", alpha);
  check_option(warmup_steps >= 0, who, "warmup_steps", warmup_steps, "0 or more");
}

double CosineDecay::operator()(std::int64_t step) const {
  const double s = at("CosineDecay", *this, step);
  const auto warm = static_cast<double>(warmup_steps);
  const auto length = static_cast<double>(decay_steps);
  if (s < warm) return line(initial_learning_rate, *warmup_target, s / warm);
  const double part = std::min(s - warm, length) / length;
  return warmup_target.value_or(initial_learning_rate) *
         ((1.0 - alpha) * half_cosine(part) + alpha);
}

void CosineDecayRestarts::check() const {
  const char* who = "CosineDecayRestarts";
  check_positive(who, "initial_learning_rate", initial_learning_rate);
  check_count(who, "first_decay_steps", first_decay_steps);
  check_option(t_mul >= 1 && std::isfinite(t_mul), who, "t_mul", t_mul,
               "a finite number, 1 or more");
  check_positive(who, "m_mul", m_mul);
  check_option(alpha >= 0 && alpha <= 1, who, "alpha", alpha, "0 to 1");
}

double CosineDecayRestarts::operator()(std::int64_t step) const {
  double left = at("CosineDecayRestarts", *this, step);
  auto length = static_cast<double>(first_decay_steps);
  double height = 1.0;
  if (t_mul == 1.0) {  // perhaps very many restarts
    const double past = std::floor(left / length);
    left -= past * length;
    height = std::pow(m_mul, past);
  }
  while (left >= length) {
    left -= length;
    length *= t_mul;
    height *= m_mul;
  }
  return initial_learning_rate * ((1.0 - alpha) * height * half_cosine(left / length) + alpha);
}

void Noam::check() const {
  check_count("Noam", "d_model", d_model);
  check_count("Noam", "warmup_steps", warmup_steps);
  check_positive("Noam", "factor", factor);
}

double Noam::operator()(std::int64_t step) const {
  const double s = at("Noam", *this, step) + 1.0;
  const auto warm = static_cast<double>(warmup_steps);
  return factor / std::sqrt(static_cast<double>(d_model)) *
         std::min(1.0 / std::sqrt(s), s * std::pow(warm, -1.5));
}

void LinearWarmup::check() const {
  check_option(steps >= 0, "LinearWarmup", "steps", steps, "0 or more");
  check_not_negative("LinearWarmup", "start", start);
  if (then.constant()) check_positive("LinearWarmup", "then", then(0));
}

double LinearWarmup::operator()(std::int64_t step) const {
  const double s = at("LinearWarmup", *this, step);
  if (step >= steps) return then(step - steps);
  return line(start, then(0), s / static_cast<double>(steps));
}

}  // namespace xtape::schedules
