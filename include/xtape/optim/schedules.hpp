#pragma once
/// \file
/// Learning rates that depend on the step: plain callables from the step, counted from 0, to a rate.
///
///     Adam<float> adam({.learning_rate = schedules::CosineDecay{
///                           .initial_learning_rate = 1e-3, .decay_steps = 10'000}});
///     Adam<float> other({.learning_rate = [](std::int64_t step) { return 1e-3 / (1.0 + step); }});
///
/// Names, defaults and formulas are Keras's; Constant, Noam and LinearWarmup are additions. An optimizer that is
/// given a schedule throws ValueError for options out of range. So does a call, also for a negative
/// step.

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace xtape {

/// A learning rate: a number, or any callable from the step to one.
class Schedule {
 public:
  /// A constant rate.
  Schedule(double rate) : rate_(rate) {}
  /// ValueError for options of a schedule out of range.
  template <class F>
  requires(!std::convertible_to<F, double> && !std::same_as<std::decay_t<F>, Schedule> &&
           std::is_invocable_r_v<double, const std::decay_t<F>&, std::int64_t>)
      Schedule(F&& function) {
    if constexpr (requires { function.check(); }) function.check();
    function_ = std::forward<F>(function);
  }

  /// Whether it is a number.
  [[nodiscard]] bool constant() const noexcept { return !function_; }
  /// The rate at a step.
  double operator()(std::int64_t step) const { return function_ ? function_(step) : rate_; }

 private:
  double rate_ = 0;
  std::function<double(std::int64_t)> function_;
};

/// Each is an aggregate of its options. check() throws the ValueError for options out of range.
namespace schedules {

/// learning_rate, always.
struct Constant {
  double learning_rate = 0.001;  ///< the rate of every step
  /// Throws ValueError for options out of range.
  void check() const;
  /// Returns the learning rate of a step.
  double operator()(std::int64_t step) const;
};

/// initial * decay_rate ^ (step / decay_steps); the quotient is rounded down if staircase.
struct ExponentialDecay {
  double initial_learning_rate = 0;  ///< to be set, positive
  std::int64_t decay_steps = 0;      ///< to be set, positive
  double decay_rate = 0;             ///< to be set, positive
  bool staircase = false;            ///< whether the rate falls once per decay_steps
  /// Throws ValueError for options out of range.
  void check() const;
  /// Returns the learning rate of a step.
  double operator()(std::int64_t step) const;
};

/// initial / (1 + decay_rate * step / decay_steps); the quotient is rounded down if staircase.
struct InverseTimeDecay {
  double initial_learning_rate = 0;  ///< to be set, positive
  std::int64_t decay_steps = 0;      ///< to be set, positive
  double decay_rate = 0;             ///< to be set, 0 or more
  bool staircase = false;            ///< whether the rate falls once per decay_steps
  /// Throws ValueError for options out of range.
  void check() const;
  /// Returns the learning rate of a step.
  double operator()(std::int64_t step) const;
};

/// From initial to end along (1 - step / decay_steps) ^ power, and end afterwards. With cycle,
/// decay_steps is multiplied until it is at least the step.
struct PolynomialDecay {
  double initial_learning_rate = 0;   ///< to be set, positive
  std::int64_t decay_steps = 0;       ///< to be set, positive
  double end_learning_rate = 0.0001;  ///< 0 or more
  double power = 1.0;                 ///< positive
  bool cycle = false;                 ///< whether decay_steps repeat after the last one
  /// Throws ValueError for options out of range.
  void check() const;
  /// Returns the learning rate of a step.
  double operator()(std::int64_t step) const;
};

/// values[i] for steps up to and with boundaries[i], the last value afterwards.
struct PiecewiseConstantDecay {
  std::vector<std::int64_t> boundaries = {};  ///< ascending
  std::vector<double> values = {};            ///< one more than boundaries; 0 or more
  /// Throws ValueError for options out of range.
  void check() const;
  /// Returns the learning rate of a step.
  double operator()(std::int64_t step) const;
};

/// Half a cosine from initial to alpha * initial in decay_steps (Loshchilov & Hutter 2017). With a
/// warmup_target, first a line from initial to the target in warmup_steps, then the cosine from there.
struct CosineDecay {
  double initial_learning_rate = 0;          ///< to be set, positive; 0 or more before a warm-up
  std::int64_t decay_steps = 0;              ///< to be set, positive; after the warm-up
  double alpha = 0.0;                        ///< 0 or more
  std::optional<double> warmup_target = {};  ///< positive
  std::int64_t warmup_steps = 0;             ///< 0 or more
  /// Throws ValueError for options out of range.
  void check() const;
  /// Returns the learning rate of a step.
  double operator()(std::int64_t step) const;
};

/// Half cosines in a row, each t_mul times as long and m_mul times as high as the one before, all above
/// alpha * initial. Restarts are found by counting, and are therefore exact. Keras's quotient of
/// logarithms is rounded.
struct CosineDecayRestarts {
  double initial_learning_rate = 0;    ///< to be set, positive
  std::int64_t first_decay_steps = 0;  ///< to be set, positive
  double t_mul = 2.0;                  ///< 1 or more
  double m_mul = 1.0;                  ///< positive
  double alpha = 0.0;                  ///< 0 to 1
  /// Throws ValueError for options out of range.
  void check() const;
  /// Returns the learning rate of a step.
  double operator()(std::int64_t step) const;
};

/// factor * d_model ^ -0.5 * min(s ^ -0.5, s * warmup_steps ^ -1.5) with s = step + 1: a line up, then
/// the inverse square root (Vaswani et al. 2017, where steps are counted from 1).
struct Noam {
  std::int64_t d_model = 512;        ///< positive
  std::int64_t warmup_steps = 4000;  ///< positive
  double factor = 1.0;               ///< positive
  /// Throws ValueError for options out of range.
  void check() const;
  /// Returns the learning rate of a step.
  double operator()(std::int64_t step) const;
};

/// A line from start to where `then` begins, in `steps` steps; then `then`, counting from 0 again.
struct LinearWarmup {
  std::int64_t steps = 0;  ///< 0 or more
  Schedule then = 0.0;     ///< to be set: a positive number, or a schedule
  double start = 0.0;      ///< 0 or more
  /// Throws ValueError for options out of range.
  void check() const;
  /// Returns the learning rate of a step.
  double operator()(std::int64_t step) const;
};

}  // namespace schedules
}  // namespace xtape
