#pragma once
/// \file
/// Optimizers with Keras's formulas and defaults. step() updates copy-on-write: a tape that was
/// retained, and every Var, keeps the old weights.
///
///     Adam<float> adam({.learning_rate = 1e-3}, {.global_clipnorm = 1.0, .use_ema = true});
///     adam.step(params, tape.backward(loss));
///
/// Each optimizer takes its own options and, second, the common ones (OptimizerOptions). ValueError
/// for options out of range. weight_decay is decoupled: w -= lr * decay * w before the update. In the
/// formulas g is the gradient, t the step counted from 1, m_hat = m / (1 - beta_1^t) and v_hat = v /
/// (1 - beta_2^t).

#include <xtape/optim/optimizer.hpp>

namespace xtape {

namespace detail {

/// `Adam<float> adam({})` chooses this parameter, where a copy would be as good as default options.
enum class NoOptions {};

/// A product over the steps up to one.
struct ProductOfSteps {
  std::int64_t step = 0;
  double value = 1.0;
};

}  // namespace detail

/// The optimizer whose formula has these options: Adam<T> is OptimizerOf<T, AdamOptions>.
template <class T, class O> class OptimizerOf final : public Optimizer<T> {
 public:
  /// The options of the constructor.
  using Options = O;
  /// Makes an optimizer. ValueError for options out of range.
  explicit OptimizerOf(Options options = {}, OptimizerOptions common = {});
  /// Makes an optimizer with the defaults.
  explicit OptimizerOf(detail::NoOptions) : OptimizerOf() {}
  [[nodiscard]] const char* name() const noexcept override;

 private:
  [[nodiscard]] std::vector<OptimizerSlot> slots(const Shape& shape) const override;
  void update(const OptimizerUpdate<T>& u) const noexcept override;
  [[nodiscard]] double largest_gradient() const noexcept override;
  [[nodiscard]] bool concurrent() const noexcept override;

  Options options_;
  mutable detail::ProductOfSteps momenta_;  // for Nadam
};

/// Options of SGD.
struct SGDOptions {
  Schedule learning_rate = 0.01;  ///< a number, a schedule or a function of the step
  double momentum = 0.0;          ///< 0 to 1
  bool nesterov = false;          ///< whether the momentum looks ahead
  double weight_decay = 0.0;      ///< 0 or more
};
/// Stochastic gradient descent: m = momentum m - lr g; w += m, or with nesterov w += momentum m -
/// lr g.
template <class T> using SGD = OptimizerOf<T, SGDOptions>;

/// Options of Lion.
struct LionOptions {
  Schedule learning_rate = 0.001;  ///< a number, a schedule or a function of the step
  double beta_1 = 0.9;             ///< 0 < beta_1 <= 1
  double beta_2 = 0.99;            ///< 0 <= beta_2 < 1
  double weight_decay = 0.0;       ///< 0 or more
};
/// The sign of a mean of gradients (Chen et al. 2023): w -= lr sign(beta_1 m + (1 - beta_1) g), then
/// m = beta_2 m + (1 - beta_2) g.
template <class T> using Lion = OptimizerOf<T, LionOptions>;

/// Options of Adam, and with `Decays` of AdamW.
template <bool Decays> struct AnyAdamOptions {
  Schedule learning_rate = 0.001;              ///< a number, a schedule or a function of the step
  double beta_1 = 0.9;                         ///< 0 <= beta < 1
  double beta_2 = 0.999;                       ///< 0 <= beta < 1
  double epsilon = 1e-7;                       ///< positive
  double weight_decay = Decays ? 0.004 : 0.0;  ///< 0 or more
  bool amsgrad = false;                        ///< whether the largest second moment counts
};
/// Options of Adam.
using AdamOptions = AnyAdamOptions<false>;
/// Options of AdamW.
using AdamWOptions = AnyAdamOptions<true>;
/// Adam (Kingma & Ba 2015) as Keras computes it: w -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m /
/// (sqrt(v) + epsilon), with epsilon outside the bias correction. With amsgrad (Reddi et al. 2018)
/// the largest v so far takes the place of v.
template <class T> using Adam = OptimizerOf<T, AdamOptions>;

/// Adam with a weight decay of 0.004 by default (Loshchilov & Hutter 2019).
template <class T> using AdamW = OptimizerOf<T, AdamWOptions>;

/// Options of Adamax, Nadam and Lamb.
template <class Formula> struct MomentOptions {
  Schedule learning_rate = 0.001;  ///< a number, a schedule or a function of the step
  double beta_1 = 0.9;             ///< 0 <= beta < 1
  double beta_2 = 0.999;           ///< 0 <= beta < 1
  double epsilon = 1e-7;           ///< positive
  double weight_decay = 0.0;       ///< 0 or more
};
/// Options of Adamax.
using AdamaxOptions = MomentOptions<struct AdamaxFormula>;
/// Options of Nadam.
using NadamOptions = MomentOptions<struct NadamFormula>;
/// Options of Lamb.
using LambOptions = MomentOptions<struct LambFormula>;

/// Adam with the infinity norm (Kingma & Ba 2015, section 7): u = max(beta_2 u, |g|); w -= lr m_hat /
/// (u + epsilon).
template <class T> using Adamax = OptimizerOf<T, AdamaxOptions>;

/// Adam with Nesterov momentum (Dozat 2016): mu_t = beta_1 (1 - 0.96^t / 2), P the product of mu_1 to
/// mu_t; w -= lr (mu_{t+1} m / (1 - P mu_{t+1}) + (1 - mu_t) g / (1 - P)) / (sqrt(v_hat) + epsilon).
template <class T> using Nadam = OptimizerOf<T, NadamOptions>;

/// Adam with steps in proportion to the weights (You et al. 2020): u = m_hat / (sqrt(v_hat) +
/// epsilon); w -= lr |w| / |u| u. The quotient of the norms is 1 where one of them is 0. The decay is
/// outside the quotient.
template <class T> using Lamb = OptimizerOf<T, LambOptions>;

/// Options of Adagrad.
struct AdagradOptions {
  Schedule learning_rate = 0.001;          ///< a number, a schedule or a function of the step
  double initial_accumulator_value = 0.1;  ///< of a; 0 or more
  double epsilon = 1e-7;                   ///< positive
  double weight_decay = 0.0;               ///< 0 or more
};
/// Duchi et al. 2011: a += g^2; w -= lr g / sqrt(a + epsilon).
template <class T> using Adagrad = OptimizerOf<T, AdagradOptions>;

/// Options of Adadelta.
struct AdadeltaOptions {
  Schedule learning_rate = 0.001;  ///< a number, a schedule or a function of the step
  double rho = 0.95;               ///< 0 <= rho < 1
  double epsilon = 1e-7;           ///< positive: nothing moves without it
  double weight_decay = 0.0;       ///< 0 or more
};
/// Zeiler 2012: a = rho a + (1 - rho) g^2; d = sqrt(b + epsilon) / sqrt(a + epsilon) g; b = rho b +
/// (1 - rho) d^2; w -= lr d. The paper's rate is 1.
template <class T> using Adadelta = OptimizerOf<T, AdadeltaOptions>;

/// Options of RMSprop.
struct RMSpropOptions {
  Schedule learning_rate = 0.001;  ///< a number, a schedule or a function of the step
  double rho = 0.9;                ///< 0 <= rho < 1
  double momentum = 0.0;           ///< 0 to 1
  double epsilon = 1e-7;           ///< positive
  bool centered = false;           ///< whether the variance replaces the second moment
  double weight_decay = 0.0;       ///< 0 or more
};
/// Tieleman & Hinton 2012: v = rho v + (1 - rho) g^2; i = lr g / sqrt(v + epsilon), or if centered
/// lr g / sqrt(v - a^2 + epsilon) with the mean gradient a; w -= i, or with momentum w -= m where
/// m = momentum m + i.
template <class T> using RMSprop = OptimizerOf<T, RMSpropOptions>;

/// Options of Adafactor.
struct AdafactorOptions {
  Schedule learning_rate = 0.001;  ///< a number, a schedule or a function of the step
  double beta_2_decay = -0.8;      ///< negative
  double epsilon_1 = 1e-30;        ///< positive, and not 0 as a T
  double epsilon_2 = 1e-3;         ///< 0 or more
  double clip_threshold = 1.0;     ///< positive
  double weight_decay = 0.0;       ///< 0 or more
};
/// Shazeer & Stern 2018: the squares of a gradient with two or more axes are remembered as means of
/// rows and of columns of its last two axes. beta = 1 - t^beta_2_decay; v = beta v + (1 - beta) (g^2 +
/// epsilon_1); u = g / sqrt(v); w -= min(lr, 1 / sqrt(t)) max(epsilon_2, rms(w)) u / max(1, rms(u) /
/// clip_threshold). Keras's relative_step is left out: it changes nothing there, because the minimum
/// is always taken.
template <class T> using Adafactor = OptimizerOf<T, AdafactorOptions>;

}  // namespace xtape
