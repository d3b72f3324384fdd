#pragma once
/// \file
/// Optimizers with Keras's formulas and defaults. step() updates copy-on-write: a tape that was
/// retained, and every Var, keeps the old weights.

#include <xtape/tape.hpp>

#include <string>
#include <unordered_map>
#include <vector>

namespace xtape {

/// What one step may allow.
struct StepOptions {
  bool allow_missing = false;  ///< trainable parameters without a gradient stay as they are
};

/// The common part: which parameters are updated, and the state kept for each by its path.
template <class T>
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Updates every trainable parameter by its gradient (with the gradients' stored scale folded in).
  /// Then applies the constraints of the parameters that have one. ParameterError naming them when
  /// trainable parameters got no gradient or loaded values found no layer; ShapeError for a
  /// constraint that does not fit. When anything is thrown, also by a constraint of your own, neither
  /// parameters nor the optimizer's state have changed.
  void step(Params<T>& params, const Gradients<T>& gradients, StepOptions options = {});

  /// Steps taken.
  [[nodiscard]] std::int64_t iterations() const noexcept { return iterations_; }
  [[nodiscard]] double learning_rate() const noexcept { return learning_rate_; }
  /// ValueError unless it is positive and finite.
  void set_learning_rate(double rate);

 protected:
  Optimizer(double learning_rate, double weight_decay, std::size_t slots);
  Optimizer(const Optimizer&) = default;
  Optimizer& operator=(const Optimizer&) = default;

  /// What an update works on: n elements; `from` and `to` may be the same.
  struct Update {
    std::size_t n;
    const T* from;
    T* to;
    const T* gradient;
    double gradient_scale;
    double decay;       ///< fraction the weights lose before the update (decoupled weight decay)
    std::int64_t step;  ///< counted from 1
    std::vector<Array<T>>& state;
  };
  virtual void update(const Update& u) const noexcept = 0;

 private:
  double learning_rate_;
  double weight_decay_;
  std::size_t slots_;
  std::int64_t iterations_ = 0;
  std::unordered_map<std::string, std::vector<Array<T>>> state_;
};

/// Stochastic gradient descent: m = momentum m - lr g; w += m, or with nesterov w += momentum m -
/// lr g.
template <class T>
class SGD final : public Optimizer<T> {
 public:
  struct Options {
    double learning_rate = 0.01;
    double momentum = 0.0;  ///< 0 to 1
    bool nesterov = false;
    double weight_decay = 0.0;  ///< decoupled: w -= lr * decay * w before the update
  };
  /// ValueError for options out of range.
  explicit SGD(Options options = {});

 private:
  void update(const typename Optimizer<T>::Update& u) const noexcept override;
  Options options_;
};

/// Adam (Kingma & Ba 2015) as Keras computes it: w -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) +
/// epsilon), with epsilon outside the bias correction.
template <class T>
class Adam : public Optimizer<T> {
 public:
  struct Options {
    double learning_rate = 0.001;
    double beta_1 = 0.9;    ///< 0 <= beta < 1
    double beta_2 = 0.999;  ///< 0 <= beta < 1
    double epsilon = 1e-7;
    double weight_decay = 0.0;  ///< decoupled: w -= lr * decay * w before the update
  };
  /// ValueError for options out of range.
  explicit Adam(Options options = {});

 private:
  void update(const typename Optimizer<T>::Update& u) const noexcept override;
  Options options_;
};

/// Adam with decoupled weight decay, 0.004 by default (Loshchilov & Hutter 2019).
template <class T>
class AdamW final : public Adam<T> {
 public:
  struct Options {
    double learning_rate = 0.001;
    double beta_1 = 0.9;
    double beta_2 = 0.999;
    double epsilon = 1e-7;
    double weight_decay = 0.004;
  };
  explicit AdamW(Options options = {})
      : Adam<T>({options.learning_rate, options.beta_1, options.beta_2, options.epsilon,
                 options.weight_decay}) {}
};

}  // namespace xtape
