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
                  const LossOptions& options, bool averages, F f) {
  detail::check_same(op, prediction, target);
  detail::check_samples(op, options, detail::but_last(prediction.shape()));
  if (averages) detail::check_not_empty(op, prediction);
  return reduced(f(kept(prediction, options.mask), kept(target, options.mask)), options);
}

/// Returns the loss of samples whose value is the mean of f over the last axis.
template <class T, class F>
Var<T> mean_of(const char* op, const Var<T>& prediction, const Var<T>& target,
               const LossOptions& options, F f) {
  return along_last(op, prediction, target, options, true,
                    [&](const Var<T>& p, const Var<T>& t) { return mean(f(p, t), {-1}); });
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

template <class T> Var<T> unit(const Var<T>& x) {
  return x / maximum(norm(x, {-1}, true), Var<T>(static_cast<T>(kTiny)));
}

}  // namespace

template <class T>
Var<T> mean_squared_error(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                          const LossOptions& options) {
  return mean_of("mean_squared_error", prediction, target, options,
                 [](const Var<T>& p, const Var<T>& t) { return square(p - t); });
}
XTAPE_FOR_REALS(mean_squared_error);

template <class T>
Var<T> mean_absolute_error(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                           const LossOptions& options) {
  return mean_of("mean_absolute_error", prediction, target, options,
                 [](const Var<T>& p, const Var<T>& t) { return abs(p - t); });
}
XTAPE_FOR_REALS(mean_absolute_error);

template <class T>
Var<T> mean_absolute_percentage_error(const Var<T>& prediction,
                                      const std::type_identity_t<Var<T>>& target,
                                      const LossOptions& options) {
  return mean_of("mean_absolute_percentage_error", prediction, target, options,
                 [](const Var<T>& p, const Var<T>& t) {
                   const Var<T> size = maximum(abs(t), Var<T>(static_cast<T>(kTiny)));
                   return abs((t - p) / size) * T(100);
                 });
}
XTAPE_FOR_REALS(mean_absolute_percentage_error);

template <class T>
Var<T> mean_squared_logarithmic_error(const Var<T>& prediction,
                                      const std::type_identity_t<Var<T>>& target,
                                      const LossOptions& options) {
  const auto logarithm = [](const Var<T>& x) {
    return log(maximum(x, Var<T>(static_cast<T>(kTiny))) + T(1));
  };
  return mean_of(
      "mean_squared_logarithmic_error", prediction, target, options,
      [&](const Var<T>& p, const Var<T>& t) { return square(logarithm(p) - logarithm(t)); });
}
XTAPE_FOR_REALS(mean_squared_logarithmic_error);

template <class T>
Var<T> huber(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target, double delta,
             const LossOptions& options) {
  detail::check_positive("huber", "delta", delta);
  const auto d = static_cast<T>(delta);
  return mean_of("huber", prediction, target, options, [d](const Var<T>& p, const Var<T>& t) {
    const Var<T> error = p - t;
    const Var<T> size = abs(error);
    Array<bool> near(size.shape());
    for (std::size_t i = 0; i < near.size(); ++i) near.data()[i] = size.data()[i] <= d;
    return where(near, square(error) * T(0.5), size * d - d * d / 2);
  });
}
XTAPE_FOR_REALS(huber);

template <class T>
Var<T> log_cosh(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                const LossOptions& options) {
  return mean_of("log_cosh", prediction, target, options, [](const Var<T>& p, const Var<T>& t) {
    const Var<T> x = p - t;
    return x + softplus(x * T(-2)) - static_cast<T>(std::numbers::ln2);
  });
}
XTAPE_FOR_REALS(log_cosh);

template <class T>
Var<T> hinge(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
             const LossOptions& options) {
  return mean_of("hinge", prediction, target, options,
                 [](const Var<T>& p, const Var<T>& t) { return relu(T(1) - signs(t) * p); });
}
XTAPE_FOR_REALS(hinge);

template <class T>
Var<T> squared_hinge(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                     const LossOptions& options) {
  return mean_of(
      "squared_hinge", prediction, target, options,
      [](const Var<T>& p, const Var<T>& t) { return square(relu(T(1) - signs(t) * p)); });
}
XTAPE_FOR_REALS(squared_hinge);

template <class T>
Var<T> categorical_hinge(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                         const LossOptions& options) {
  return along_last("categorical_hinge", prediction, target, options, true,
                    [](const Var<T>& p, const Var<T>& t) {
                      const Var<T> right = sum(t * p, {-1});
                      const Var<T> wrong = max((T(1) - t) * p, {-1});
                      return relu(wrong - right + T(1));
                    });
}
XTAPE_FOR_REALS(categorical_hinge);

template <class T>
Var<T> kl_divergence(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                     const LossOptions& options) {
  return along_last("kl_divergence", prediction, target, options, false,
                    [](const Var<T>& p, const Var<T>& t) {
                      const Var<T> from = clip(p, kTiny, 1.0);
                      const Var<T> to = clip(t, kTiny, 1.0);
                      return sum(to * log(to / from), {-1});
                    });
}
XTAPE_FOR_REALS(kl_divergence);

template <class T>
Var<T> poisson(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
               const LossOptions& options) {
  return mean_of("poisson", prediction, target, options, [](const Var<T>& p, const Var<T>& t) {
    return p - t * log(p + static_cast<T>(kTiny));
  });
}
XTAPE_FOR_REALS(poisson);

template <class T>
Var<T> cosine_similarity(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                         const LossOptions& options) {
  return along_last("cosine_similarity", prediction, target, options, false,
                    [](const Var<T>& p, const Var<T>& t) { return -sum(unit(t) * unit(p), {-1}); });
}
XTAPE_FOR_REALS(cosine_similarity);

template <class T>
Var<T> dice(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target, const Axes& axes,
            const LossOptions& options) {
  return over_axes("dice", prediction, target, axes, options,
                   [](const Var<T>& p, const Var<T>& t, const Axes& over) {
                     const Var<T> all = sum(t, over) + sum(p, over) + static_cast<T>(kTiny);
                     return T(1) - sum(t * p, over) * T(2) / all;
                   });
}
XTAPE_FOR_REALS(dice);

template <class T>
Var<T> tversky(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target, double alpha,
               double beta, const Axes& axes, const LossOptions& options) {
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
