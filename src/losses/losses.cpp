#include "losses/reduction.hpp"

#include "base/instantiate.hpp"

#include <xtape/ops/activations.hpp>

#include <numbers>

namespace xtape {

using detail::kept;
using detail::kTiny;
using detail::reduced;

namespace {

/// Returns the loss of samples along the last axis: f(prediction, target) is a value per sample.
template <class T, class F>
Var<T> along_last(const char* op, const Var<T>& prediction, const Var<T>& target,
                  const LossOptions& options, F f, bool averages = false) {
  detail::check_same(op, prediction, target);
  detail::check_samples(op, options, detail::but_last(prediction.shape()));
  if (averages) detail::check_not_empty(op, prediction);
  return reduced(f(kept(prediction, options.mask), kept(target, options.mask)), options);
}

/// Returns the loss of samples whose value is the mean of f over the last axis.
template <class T, class F>
Var<T> mean_of(const char* op, const Var<T>& prediction, const Var<T>& target,
               const LossOptions& options, F f) {
  const auto mean_of_f = [&](const Var<T>& p, const Var<T>& t) { return mean(f(p, t), {-1}); };
  return along_last(op, prediction, target, options, mean_of_f, true);
}

/// Returns the targets with -1 for 0, if all of them are 0 or 1.
template <class T> Var<T> signs(const Var<T>& target) {
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target.data()[i] != 0 && target.data()[i] != 1) return target;
  }
  return target * T(2) - T(1);
}

/// Returns the loss of sums over `axes`, or over all axes for an empty list.
template <class T, class F>
Var<T> over_axes(const char* op, const Var<T>& prediction, const Var<T>& target, const Axes& axes,
                 const LossOptions& options, F f) {
  detail::check_same(op, prediction, target);
  Axes named = axes;
  for (std::size_t i = 0; axes.empty() && i < prediction.rank(); ++i) {
    named.push_back(static_cast<int>(i));
  }
  const std::vector<std::size_t> at = detail::normalize_axes(op, named, prediction.rank());
  detail::check_samples(op, options, detail::reduced_shape(prediction.shape(), at, false));
  return reduced(f(kept(prediction, options.mask, at), kept(target, options.mask, at), named),
                 options);
}

/// Returns max(x, 1e-7).
template <class T> Var<T> not_tiny(const Var<T>& x) {
  return maximum(x, Var<T>(static_cast<T>(kTiny)));
}

template <class T> Var<T> log_of_one_more(const Var<T>& x) { return log(not_tiny(x) + T(1)); }

template <class T> Var<T> log_cosh_of(const Var<T>& x) {
  return x + softplus(x * T(-2)) - static_cast<T>(std::numbers::ln2);
}

template <class T> Var<T> unit(const Var<T>& x) { return x / not_tiny(norm(x, {-1}, true)); }

}  // namespace

/// Defines the loss `name` by how(#name, ...) and by its formula for prediction p and target t.
#define XTAPE_LOSS(name, how, formula)                                                         \
  template <class T>                                                                           \
  Var<T> name(const Var<T>& prediction, const Target<T>& target, const LossOptions& options) { \
    return how(#name, prediction, target, options,                                             \
               [](const Var<T>& p, const Var<T>& t) { return formula; });                      \
  }                                                                                            \
  XTAPE_FOR_REALS(name)

XTAPE_LOSS(mean_squared_error, mean_of, square(p - t));
XTAPE_LOSS(mean_absolute_error, mean_of, abs(p - t));
XTAPE_LOSS(mean_absolute_percentage_error, mean_of, abs((t - p) / not_tiny(abs(t))) * T(100));
XTAPE_LOSS(mean_squared_logarithmic_error, mean_of,
           square(log_of_one_more(p) - log_of_one_more(t)));
XTAPE_LOSS(log_cosh, mean_of, log_cosh_of(p - t));
XTAPE_LOSS(hinge, mean_of, relu(T(1) - signs(t) * p));
XTAPE_LOSS(squared_hinge, mean_of, square(relu(T(1) - signs(t) * p)));
XTAPE_LOSS(poisson, mean_of, p - t * log(p + static_cast<T>(kTiny)));
XTAPE_LOSS(cosine_similarity, along_last, -sum(unit(t) * unit(p), Axes{-1}));

template <class T>
Var<T> huber(const Var<T>& prediction, const Target<T>& target, double delta,
             const LossOptions& options) {
  detail::check_positive("huber", "delta", delta);
  const auto d = static_cast<T>(delta);
  return mean_of("huber", prediction, target, options, [d](const Var<T>& p, const Var<T>& t) {
    const Var<T> error = p - t;
    const Var<T> size = abs(error);
    return where(less_equal(size, d), square(error) * T(0.5), size * d - d * d / 2);
  });
}
XTAPE_FOR_REALS(huber);

template <class T>
Var<T> categorical_hinge(const Var<T>& prediction, const Target<T>& target,
                         const LossOptions& options) {
  const auto hinges = [](const Var<T>& p, const Var<T>& t) {
    const Var<T> right = sum(t * p, {-1});
    const Var<T> wrong = max((T(1) - t) * p, {-1});
    return relu(wrong - right + T(1));
  };
  return along_last("categorical_hinge", prediction, target, options, hinges, true);
}
XTAPE_FOR_REALS(categorical_hinge);

template <class T>
Var<T> kl_divergence(const Var<T>& prediction, const Target<T>& target,
                     const LossOptions& options) {
  return along_last("kl_divergence", prediction, target, options,
                    [](const Var<T>& p, const Var<T>& t) {
                      const Var<T> from = clip(p, kTiny, 1.0);
                      const Var<T> to = clip(t, kTiny, 1.0);
                      return sum(to * log(to / from), {-1});
                    });
}
XTAPE_FOR_REALS(kl_divergence);

template <class T>
Var<T> dice(const Var<T>& prediction, const Target<T>& target, const Axes& axes,
            const LossOptions& options) {
  return over_axes("dice", prediction, target, axes, options,
                   [](const Var<T>& p, const Var<T>& t, const Axes& over) {
                     const Var<T> all = sum(t, over) + sum(p, over) + static_cast<T>(kTiny);
                     return T(1) - sum(t * p, over) * T(2) / all;
                   });
}
XTAPE_FOR_REALS(dice);

template <class T>
Var<T> tversky(const Var<T>& prediction, const Target<T>& target, double alpha, double beta,
               const Axes& axes, const LossOptions& options) {
  detail::check_not_negative("tversky", "alpha", alpha);
  detail::check_not_negative("tversky", "beta", beta);
  return over_axes("tversky", prediction, target, axes, options,
                   [&](const Var<T>& p, const Var<T>& t, const Axes& over) {
                     const Var<T> same = sum(t * p, over);
                     const Var<T> missed = sum((T(1) - p) * t, over) * static_cast<T>(alpha);
                     const Var<T> wrong = sum(p * (T(1) - t), over) * static_cast<T>(beta);
                     return T(1) - same / (same + missed + wrong + static_cast<T>(kTiny));
                   });
}
XTAPE_FOR_REALS(tversky);

}  // namespace xtape
