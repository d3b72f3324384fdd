#include <xtape/ops/activations.hpp>

#include "array/shapes.hpp"
#include "base/check.hpp"
#include "ops/unary.hpp"

#include <xtape/ops/reductions.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace xtape {

using detail::by_slopes;
using detail::check_option;

template <class T>
static Var<T> elu_family(const char* op, const Var<T>& x, double alpha, double scale,
                         double inside) {
  return by_slopes(op, "elu", x, {{alpha, scale, inside}});
}

template <class T> Var<T> relu(const Var<T>& x, ReluOptions options) {
  if (!(options.negative_slope >= 0) || !(options.max_value >= 0)) {
    detail::fail<ValueError>("relu", "option out of range: negative_slope is ",
                             options.negative_slope, " and max_value is ", options.max_value,
                             ", expected both >= 0");
  }
  const kernels::Parameters p{{options.negative_slope, options.max_value, options.threshold}};
  if (options.threshold != 0 || !std::isinf(options.max_value)) {
    return by_slopes("relu", "relu", x, p);
  }
  // The result is positive where the operand is, so that the operand need not be kept.
  return record("relu", detail::map("relu", x, p), wrt(x, [p](const Var<T>& g, const Var<T>& y) {
                  return detail::times_slope(g, {"relu", 1}, y, p);
                }));
}
XTAPE_FOR_REALS(relu);

template <class T> Var<T> leaky_relu(const Var<T>& x, double negative_slope) {
  if (!(negative_slope >= 0)) {
    detail::fail<ValueError>("leaky_relu", "option out of range: negative_slope is ",
                             negative_slope, ", expected >= 0");
  }
  return relu(x, {.negative_slope = negative_slope});
}
XTAPE_FOR_REALS(leaky_relu);

template <class T> Var<T> elu(const Var<T>& x, double alpha) {
  return elu_family("elu", x, alpha, 1.0, 1.0);
}
XTAPE_FOR_REALS(elu);

template <class T> Var<T> celu(const Var<T>& x, double alpha) {
  check_option(alpha > 0, "celu", "alpha", alpha, "> 0");
  return elu_family("celu", x, alpha, 1.0, 1.0 / alpha);
}
XTAPE_FOR_REALS(celu);

template <class T> Var<T> gelu(const Var<T>& x, bool approximate) {
  return approximate ? by_slopes("gelu", "gelu_tanh", x) : by_slopes("gelu", "gelu", x);
}
XTAPE_FOR_REALS(gelu);

XTAPE_UNARY_BY_SLOPES(silu);
XTAPE_UNARY(softplus, return g * sigmoid(x));
XTAPE_UNARY_BY_SLOPES(softsign);
XTAPE_UNARY_BY_SLOPES(hard_silu);
XTAPE_UNARY_BY_SLOPES(mish);
XTAPE_UNARY_BY_SLOPES(sparse_plus);
XTAPE_UNARY_AS(linear, x);
XTAPE_UNARY_AS(relu6, relu(x, {.max_value = 6.0}));
XTAPE_UNARY_AS(selu, elu_family("selu", x, 1.6732632423543772, 1.0507009873554805, 1.0));
XTAPE_UNARY_AS(hard_sigmoid, by_slopes("hard_sigmoid", "hard_sigmoid", x, {{1.0 / 6.0, 0.5}}));
XTAPE_UNARY_AS(sparse_sigmoid, by_slopes("sparse_sigmoid", "hard_sigmoid", x, {{0.5, 0.5}}));
XTAPE_UNARY_AS(hard_tanh, by_slopes("hard_tanh", "clip", x, {{-1.0, 1.0}}));
XTAPE_UNARY_AS(tanh_shrink, x - tanh(x));
XTAPE_UNARY_AS(log_sigmoid, -softplus(-x));

template <class T> Var<T> hard_shrink(const Var<T>& x, double threshold) {
  check_option(threshold >= 0, "hard_shrink", "threshold", threshold, ">= 0");
  return by_slopes("hard_shrink", "hard_shrink", x, {{threshold}});
}
XTAPE_FOR_REALS(hard_shrink);

template <class T> Var<T> soft_shrink(const Var<T>& x, double threshold) {
  check_option(threshold >= 0, "soft_shrink", "threshold", threshold, ">= 0");
  return by_slopes("soft_shrink", "soft_shrink", x, {{threshold}});
}
XTAPE_FOR_REALS(soft_shrink);

template <class T> Var<T> squareplus(const Var<T>& x, double b) {
  check_option(b >= 0, "squareplus", "b", b, ">= 0");
  return by_slopes("squareplus", "squareplus", x, {{b}});
}
XTAPE_FOR_REALS(squareplus);

template <class T> Var<T> threshold(const Var<T>& x, double threshold, double default_value) {
  return by_slopes("threshold", "threshold", x, {{threshold, default_value}});
}
XTAPE_FOR_REALS(threshold);

template <class T> Var<T> glu(const Var<T>& x, int axis) {
  const std::size_t at = detail::normalize_axis("glu", axis, x.rank());
  if (x.shape()[at] % 2 != 0) {
    detail::fail<ShapeError>("glu", "axis is not even: operand is ", to_string(x.shape()),
                             ", expected an even extent on axis ", axis,
                             "; pad it or choose another");
  }
  const std::vector<Var<T>> halves = split(x, 2, axis);
  return halves[0] * sigmoid(halves[1]);
}
XTAPE_FOR_REALS(glu);

template <class T> Var<T> sparsemax(const Var<T>& x, int axis) {
  const std::size_t at = detail::normalize_axis("sparsemax", axis, x.rank());
  const std::size_t n = x.shape()[at];
  if (n == 0) {
    detail::fail<ShapeError>("sparsemax", "empty axis: operand is ", to_string(x.shape()),
                             ", expected at least one element on axis ", axis);
  }
  // The support is the k largest elements with 1 + k z_k > z_1 + ... + z_k. The projection is linear on it,
  // so that the rest follows from ordinary operations with a constant support. All of a row with a NaN is support.
  constexpr double kLarge = 1e6;  // where 1 is few digits beside an element
  Array<bool> support(x.shape(), true);
  Array<T> tops(detail::reduced_shape(x.shape(), {at}, true), T(0));  // of rows with large elements
  bool large = false;
  const detail::AxisSplit split(x.shape(), at);
  const auto inner = static_cast<std::size_t>(split.inner);
  std::vector<T> sorted(x.size() == 0 ? 0 : n);
  for (std::size_t r = 0; r < x.size() / n; ++r) {
    const std::size_t base = r / inner * n * inner + r % inner;
    for (std::size_t k = 0; k < n; ++k) sorted[k] = x.data()[base + k * inner];
    if (std::any_of(sorted.begin(), sorted.end(), [](T z) { return std::isnan(z); })) continue;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    if (std::abs(static_cast<double>(sorted[0])) > kLarge) {
      large = true;
      tops.data()[r] = sorted[0];
    }
    double sum = 0;
    double limit = 0;
    for (std::size_t k = 0; k < n; ++k) {
      const double z = static_cast<double>(sorted[k]);
      if (1 + static_cast<double>(k + 1) * z <= sum + z) break;
      sum += z;
      limit = z;
    }
    for (std::size_t k = 0; k < n; ++k) {
      support.data()[base + k * inner] = static_cast<double>(x.data()[base + k * inner]) >= limit;
    }
  }
  // The projection does not change with a number that is subtracted from a row.
  if (large) return sparsemax(x - Var<T>(std::move(tops)), axis);
  const Var<T> zero(T(0));
  const Var<T> chosen = where(support, Var<T>(T(1)), zero);
  const Var<T> count = sum(chosen, {axis}, true);
  const Var<T> threshold = (sum(where(support, x, zero), {axis}, true) - T(1)) / count;
  return where(support, x - threshold, zero);
}
XTAPE_FOR_REALS(sparsemax);

template <class T> Activation<T>::Activation(const char* name) {
  struct Named {
    const char* name;
    Function function;
  };
#define XTAPE_NAMED(function)                               \
  {                                                         \
#function, [](const Var <T>& x) { return function(x); } \
  }
  static const Named known[] = {
      XTAPE_NAMED(relu),
      XTAPE_NAMED(leaky_relu),
      XTAPE_NAMED(relu6),
      XTAPE_NAMED(elu),
      XTAPE_NAMED(selu),
      XTAPE_NAMED(celu),
      XTAPE_NAMED(gelu),
      XTAPE_NAMED(silu),
      {"swish", silu<T>},
      XTAPE_NAMED(softplus),
      XTAPE_NAMED(softsign),
      XTAPE_NAMED(tanh),
      XTAPE_NAMED(sigmoid),
      XTAPE_NAMED(hard_sigmoid),
      XTAPE_NAMED(hard_silu),
      {"hard_swish", hard_silu<T>},
      XTAPE_NAMED(hard_tanh),
      XTAPE_NAMED(hard_shrink),
      XTAPE_NAMED(soft_shrink),
      XTAPE_NAMED(tanh_shrink),
      XTAPE_NAMED(mish),
      {"exponential", exp<T>},
      XTAPE_NAMED(log_sigmoid),
      XTAPE_NAMED(sparse_plus),
      XTAPE_NAMED(sparse_sigmoid),
      XTAPE_NAMED(squareplus),
      XTAPE_NAMED(glu),
      XTAPE_NAMED(softmax),
      XTAPE_NAMED(log_softmax),
      XTAPE_NAMED(sparsemax),
  };
#undef XTAPE_NAMED
  const std::string wanted(name);
  if (wanted.empty() || wanted == "linear") return;
  std::string names = "linear";
  for (const Named& entry : known) {
    if (wanted == entry.name) {
      function_ = entry.function;
      return;
    }
    names += std::string(" ") + entry.name;
  }
  detail::fail<ValueError>("activation", "unknown name: activation is '", wanted,
                           "', expected one of: ", names, "; or pass a function");
}

template class Activation<float>;
template class Activation<double>;

}  // namespace xtape
