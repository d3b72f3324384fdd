#include "losses/reduction.hpp"

#include <xtape/ops/activations.hpp>

#include <numbers>

namespace xtape {

using detail::kept;
using detail::kTiny;
using detail::reduced;

namespace {

/// A loss whose samples lie along the last axis: f(prediction, target) is a value per sample.
template <class T, class F>
Var<T> along_last(const char* op, const Var<T>& prediction, const Var<T>& target,
                  const LossOptions& options, bool averages, F f) {
  detail::check_same(op, prediction, target);
  detail::check_samples(op, options, detail::but_last(prediction.shape()));
  if (averages) detail::check_not_empty(op, prediction);
  return reduced(f(kept(prediction, options.mask), kept(target, options.mask)), options);
}

/// The same where a sample's loss is the mean of a function of its elements.
template <class T, class F>
Var<T> mean_of(const char* op, const Var<T>& prediction, const Var<T>& target,
               const LossOptions& options, F f) {
  return along_last(op, prediction, target, options, true,
                    [&](const Var<T>& p, const Var<T>& t) { return mean(f(p, t), {-1}); });
}

/// Zeros of targets that are all 0 or 1 become -1.
template <class T>
Var<T> signs(const Var<T>& target) {
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target.data()[i] != 0 && target.data()[i] != 1) return target;
  }
  return target * T(2) - T(1);
}

/// A loss of sums over some axes, or all.
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

template <class T>
Var<T> unit(const Var<T>& x) {
  return x / maximum(norm(x, {-1}, true), Var<T>(static_cast<T>(kTiny)));
}

}  // namespace

template <class T>
Var<T> mean_squared_error(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                          const LossOptions& options) {
  return mean_of("mean_squared_error", prediction, target, options,
                 [](const Var<T>& p, const Var<T>& t) { return square(p - t); });
}

template <class T>
Var<T> mean_absolute_error(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                           const LossOptions& options) {
  return mean_of("mean_absolute_error", prediction, target, options,
                 [](const Var<T>& p, const Var<T>& t) { return abs(p - t); });
}

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

template <class T>
Var<T> log_cosh(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                const LossOptions& options) {
  return mean_of("log_cosh", prediction, target, options, [](const Var<T>& p, const Var<T>& t) {
    const Var<T> x = p - t;
    return x + softplus(x * T(-2)) - static_cast<T>(std::numbers::ln2);
  });
}

template <class T>
Var<T> hinge(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
             const LossOptions& options) {
  return mean_of("hinge", prediction, target, options,
                 [](const Var<T>& p, const Var<T>& t) { return relu(T(1) - signs(t) * p); });
}

template <class T>
Var<T> squared_hinge(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                     const LossOptions& options) {
  return mean_of(
      "squared_hinge", prediction, target, options,
      [](const Var<T>& p, const Var<T>& t) { return square(relu(T(1) - signs(t) * p)); });
}

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

template <class T>
Var<T> poisson(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
               const LossOptions& options) {
  return mean_of("poisson", prediction, target, options, [](const Var<T>& p, const Var<T>& t) {
    return p - t * log(p + static_cast<T>(kTiny));
  });
}

template <class T>
Var<T> cosine_similarity(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                         const LossOptions& options) {
  return along_last("cosine_similarity", prediction, target, options, false,
                    [](const Var<T>& p, const Var<T>& t) { return -sum(unit(t) * unit(p), {-1}); });
}

template <class T>
Var<T> dice(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target, const Axes& axes,
            const LossOptions& options) {
  return over_axes("dice", prediction, target, axes, options,
                   [](const Var<T>& p, const Var<T>& t, const Axes& over) {
                     const Var<T> all = sum(t, over) + sum(p, over) + static_cast<T>(kTiny);
                     return T(1) - sum(t * p, over) * T(2) / all;
                   });
}

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

#define XTAPE_LOSS(T, name) template Var<T> name(const Var<T>&, const Var<T>&, const LossOptions&);
#define XTAPE_INSTANTIATE(T)                                                           \
  XTAPE_LOSS(T, mean_squared_error)                                                    \
  XTAPE_LOSS(T, mean_absolute_error)                                                   \
  XTAPE_LOSS(T, mean_absolute_percentage_error)                                        \
  XTAPE_LOSS(T, mean_squared_logarithmic_error)                                        \
  XTAPE_LOSS(T, log_cosh)                                                              \
  XTAPE_LOSS(T, hinge)                                                                 \
  XTAPE_LOSS(T, squared_hinge)                                                         \
  XTAPE_LOSS(T, categorical_hinge)                                                     \
  XTAPE_LOSS(T, kl_divergence)                                                         \
  XTAPE_LOSS(T, poisson)                                                               \
  XTAPE_LOSS(T, cosine_similarity)                                                     \
  template Var<T> huber(const Var<T>&, const Var<T>&, double, const LossOptions&);     \
  template Var<T> dice(const Var<T>&, const Var<T>&, const Axes&, const LossOptions&); \
  template Var<T> tversky(const Var<T>&, const Var<T>&, double, double, const Axes&,   \
                          const LossOptions&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE
#undef XTAPE_LOSS

}  // namespace xtape
