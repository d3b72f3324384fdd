#pragma once
/// \file
/// Optimizers with Keras's formulas and defaults. step() updates copy-on-write: a tape that was
/// retained, and every Var, keeps the old weights.
///
///     Adam<float> adam({.learning_rate = 1e-3}, {.global_clipnorm = 1.0, .use_ema = true});
///     adam.step(params, tape.backward(loss));
///
/// Each takes options of its own and, second, those all have (OptimizerOptions). ValueError for
/// options out of range. weight_decay is decoupled in all: w -= lr * decay * w before the update. In
/// the formulas g is the gradient, t the step counted from 1, m_hat = m / (1 - beta_1^t) and v_hat =
/// v / (1 - beta_2^t).

#include <xtape/optim/optimizer.hpp>

namespace xtape {

/// Stochastic gradient descent: m = momentum m - lr g; w += m, or with nesterov w += momentum m -
/// lr g.
template <class T>
class SGD final : public Optimizer<T> {
 public:
  struct Options {
    Schedule learning_rate = 0.01;
    double momentum = 0.0;  ///< 0 to 1
    bool nesterov = false;
    double weight_decay = 0.0;  ///< 0 or more
  };
  explicit SGD(Options options = {}, OptimizerOptions common = {});
  [[nodiscard]] const char* name() const noexcept override { return "sgd"; }

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override;
  void update(const OptimizerUpdate<T>& u) const noexcept override;
  Options options_;
};

/// The sign of a mean of gradients (Chen et al. 2023): w -= lr sign(beta_1 m + (1 - beta_1) g), then
/// m = beta_2 m + (1 - beta_2) g.
template <class T>
class Lion final : public Optimizer<T> {
 public:
  struct Options {
    Schedule learning_rate = 0.001;
    double beta_1 = 0.9;        ///< 0 < beta_1 <= 1
    double beta_2 = 0.99;       ///< 0 <= beta_2 < 1
    double weight_decay = 0.0;  ///< 0 or more
  };
  explicit Lion(Options options = {}, OptimizerOptions common = {});
  [[nodiscard]] const char* name() const noexcept override { return "lion"; }

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override;
  void update(const OptimizerUpdate<T>& u) const noexcept override;
  Options options_;
};

/// Adam (Kingma & Ba 2015) as Keras computes it: w -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m /
/// (sqrt(v) + epsilon), with epsilon outside the bias correction. With amsgrad (Reddi et al. 2018)
/// the largest v so far takes the place of v.
template <class T>
class Adam : public Optimizer<T> {
 public:
  struct Options {
    Schedule learning_rate = 0.001;
    double beta_1 = 0.9;        ///< 0 <= beta < 1
    double beta_2 = 0.999;      ///< 0 <= beta < 1
    double epsilon = 1e-7;      ///< positive
    double weight_decay = 0.0;  ///< 0 or more
    bool amsgrad = false;
  };
  explicit Adam(Options options = {}, OptimizerOptions common = {});
  [[nodiscard]] const char* name() const noexcept override { return "adam"; }

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override;
  void update(const OptimizerUpdate<T>& u) const noexcept override;
  [[nodiscard]] bool concurrent() const noexcept override { return true; }
  Options options_;
};

/// Adam with decoupled weight decay, 0.004 by default (Loshchilov & Hutter 2019).
template <class T>
class AdamW final : public Adam<T> {
 public:
  struct Options {
    Schedule learning_rate = 0.001;
    double beta_1 = 0.9;
    double beta_2 = 0.999;
    double epsilon = 1e-7;
    double weight_decay = 0.004;
    bool amsgrad = false;
  };
  explicit AdamW(Options options = {}, OptimizerOptions common = {})
      : Adam<T>({options.learning_rate, options.beta_1, options.beta_2, options.epsilon,
                 options.weight_decay, options.amsgrad},
                std::move(common)) {}
  [[nodiscard]] const char* name() const noexcept override { return "adamw"; }
};

/// Options of Adamax, Nadam and Lamb.
struct MomentOptions {
  Schedule learning_rate = 0.001;
  double beta_1 = 0.9;        ///< 0 <= beta < 1
  double beta_2 = 0.999;      ///< 0 <= beta < 1
  double epsilon = 1e-7;      ///< positive
  double weight_decay = 0.0;  ///< 0 or more
};

/// Adam with the infinity norm (Kingma & Ba 2015, section 7): u = max(beta_2 u, |g|); w -= lr m_hat /
/// (u + epsilon).
template <class T>
class Adamax final : public Optimizer<T> {
 public:
  using Options = MomentOptions;
  explicit Adamax(Options options = {}, OptimizerOptions common = {});
  [[nodiscard]] const char* name() const noexcept override { return "adamax"; }

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override;
  void update(const OptimizerUpdate<T>& u) const noexcept override;
  Options options_;
};

/// Adam with Nesterov momentum (Dozat 2016): mu_t = beta_1 (1 - 0.96^t / 2), P the product of mu_1 to
/// mu_t; w -= lr (mu_{t+1} m / (1 - P mu_{t+1}) + (1 - mu_t) g / (1 - P)) / (sqrt(v_hat) + epsilon).
template <class T>
class Nadam final : public Optimizer<T> {
 public:
  using Options = MomentOptions;
  explicit Nadam(Options options = {}, OptimizerOptions common = {});
  [[nodiscard]] const char* name() const noexcept override { return "nadam"; }

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override;
  void update(const OptimizerUpdate<T>& u) const noexcept override;
  [[nodiscard]] double product(std::int64_t step) const noexcept;
  Options options_;
  mutable std::int64_t known_step_ = 0;  // product() of this step is known_product_
  mutable double known_product_ = 1.0;
};

/// Adam with steps in proportion to the weights (You et al. 2020): u = m_hat / (sqrt(v_hat) +
/// epsilon); w -= lr |w| / |u| u, the quotient of the norms being 1 where one of them is 0. The decay
/// is outside the quotient.
template <class T>
class Lamb final : public Optimizer<T> {
 public:
  using Options = MomentOptions;
  explicit Lamb(Options options = {}, OptimizerOptions common = {});
  [[nodiscard]] const char* name() const noexcept override { return "lamb"; }

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override;
  void update(const OptimizerUpdate<T>& u) const noexcept override;
  Options options_;
};

/// Duchi et al. 2011: a += g^2; w -= lr g / sqrt(a + epsilon).
template <class T>
class Adagrad final : public Optimizer<T> {
 public:
  struct Options {
    Schedule learning_rate = 0.001;
    double initial_accumulator_value = 0.1;  ///< of a; 0 or more
    double epsilon = 1e-7;                   ///< positive
    double weight_decay = 0.0;
  };
  explicit Adagrad(Options options = {}, OptimizerOptions common = {});
  [[nodiscard]] const char* name() const noexcept override { return "adagrad"; }

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override;
  void update(const OptimizerUpdate<T>& u) const noexcept override;
  Options options_;
};

/// Zeiler 2012: a = rho a + (1 - rho) g^2; d = sqrt(b + epsilon) / sqrt(a + epsilon) g; b = rho b +
/// (1 - rho) d^2; w -= lr d. The paper's rate is 1.
template <class T>
class Adadelta final : public Optimizer<T> {
 public:
  struct Options {
    Schedule learning_rate = 0.001;
    double rho = 0.95;      ///< 0 <= rho < 1
    double epsilon = 1e-7;  ///< positive: nothing moves without it
    double weight_decay = 0.0;
  };
  explicit Adadelta(Options options = {}, OptimizerOptions common = {});
  [[nodiscard]] const char* name() const noexcept override { return "adadelta"; }

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override;
  void update(const OptimizerUpdate<T>& u) const noexcept override;
  Options options_;
};

/// Tieleman & Hinton 2012: v = rho v + (1 - rho) g^2; i = lr g / sqrt(v + epsilon), or if centered
/// lr g / sqrt(v - a^2 + epsilon) with the mean gradient a; w -= i, or with momentum w -= m where
/// m = momentum m + i.
template <class T>
class RMSprop final : public Optimizer<T> {
 public:
  struct Options {
    Schedule learning_rate = 0.001;
    double rho = 0.9;       ///< 0 <= rho < 1
    double momentum = 0.0;  ///< 0 to 1
    double epsilon = 1e-7;  ///< positive
    bool centered = false;
    double weight_decay = 0.0;
  };
  explicit RMSprop(Options options = {}, OptimizerOptions common = {});
  [[nodiscard]] const char* name() const noexcept override { return "rmsprop"; }

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override;
  void update(const OptimizerUpdate<T>& u) const noexcept override;
  Options options_;
};

/// Shazeer & Stern 2018: the squares of a gradient with two or more axes are remembered as means of
/// rows and of columns of its last two axes. beta = 1 - t^beta_2_decay; v = beta v + (1 - beta) (g^2 +
/// epsilon_1); u = g / sqrt(v); w -= min(lr, 1 / sqrt(t)) max(epsilon_2, rms(w)) u / max(1, rms(u) /
/// clip_threshold). Keras's relative_step changes nothing there (the minimum is always taken), and is
/// not here.
template <class T>
class Adafactor final : public Optimizer<T> {
 public:
  struct Options {
    Schedule learning_rate = 0.001;
    double beta_2_decay = -0.8;   ///< negative
    double epsilon_1 = 1e-30;     ///< positive, and not 0 as a T
    double epsilon_2 = 1e-3;      ///< 0 or more
    double clip_threshold = 1.0;  ///< positive
    double weight_decay = 0.0;
  };
  explicit Adafactor(Options options = {}, OptimizerOptions common = {});
  [[nodiscard]] const char* name() const noexcept override { return "adafactor"; }

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override;
  void update(const OptimizerUpdate<T>& u) const noexcept override;
  Options options_;
};

}  // namespace xtape
