#include <xtape/ops/activations.hpp>

#include "array/shapes.hpp"
#include "ops/unary.hpp"

#include <xtape/ops/reductions.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace xtape {

using detail::piecewise;
using detail::smooth;
using kernels::Unary;

template <class T>
Var<T> linear(const Var<T>& x) {
  return x;
}

template <class T>
Var<T> relu(const Var<T>& x, ReluOptions options) {
  if (!(options.negative_slope >= 0) || !(options.max_value >= 0)) {
    detail::fail<ValueError>("relu", "option out of range: negative_slope is ",
                             options.negative_slope, " and max_value is ", options.max_value,
                             ", expected both >= 0");
  }
  const kernels::Parameters p{{options.negative_slope, options.max_value, options.threshold}};
  // Positive where the operand is.
  if (options.threshold == 0 && std::isinf(options.max_value)) {
    return detail::piecewise_by_result("relu", Unary::relu, Unary::relu_slope, x, p);
  }
  return piecewise("relu", Unary::relu, Unary::relu_slope, x, p);
}

template <class T>
Var<T> leaky_relu(const Var<T>& x, double negative_slope) {
  if (!(negative_slope >= 0)) {
    detail::fail<ValueError>("leaky_relu", "option out of range: negative_slope is ",
                             negative_slope, ", expected >= 0");
  }
  return relu(x, {.negative_slope = negative_slope});
}

template <class T>
Var<T> relu6(const Var<T>& x) {
  return relu(x, {.max_value = 6.0});
}

namespace {
template <class T>
Var<T> elu_family(const char* op, const Var<T>& x, double alpha, double scale, double inside) {
  return smooth(op, Unary::elu, Unary::elu_slope, Unary::elu_slope2, x, {{alpha, scale, inside}});
}
void check_shrink(const char* op, double threshold) {
  if (!(threshold >= 0)) {
    detail::fail<ValueError>(op, "threshold out of range: threshold is ", threshold,
                             ", expected >= 0");
  }
}
}  // namespace

template <class T>
Var<T> elu(const Var<T>& x, double alpha) {
  return elu_family("elu", x, alpha, 1.0, 1.0);
}

template <class T>
Var<T> selu(const Var<T>& x) {
  return elu_family("selu", x, 1.6732632423543772, 1.0507009873554805, 1.0);
}

template <class T>
Var<T> celu(const Var<T>& x, double alpha) {
  if (!(alpha > 0)) {
    detail::fail<ValueError>("celu", "alpha out of range: alpha is ", alpha, ", expected > 0");
  }
  return elu_family("celu", x, alpha, 1.0, 1.0 / alpha);
}

template <class T>
Var<T> gelu(const Var<T>& x, bool approximate) {
  if (approximate) {
    return smooth("gelu", Unary::gelu_tanh, Unary::gelu_tanh_slope, Unary::gelu_tanh_slope2, x);
  }
  return smooth("gelu", Unary::gelu, Unary::gelu_slope, Unary::gelu_slope2, x);
}

template <class T>
Var<T> silu(const Var<T>& x) {
  return smooth("silu", Unary::silu, Unary::silu_slope, Unary::silu_slope2, x);
}

template <class T>
Var<T> softplus(const Var<T>& x) {
  return record("softplus", detail::map(Unary::softplus, x),
                wrt(x, [x](const Var<T>& g) { return g * sigmoid(x); }));
}

template <class T>
Var<T> softsign(const Var<T>& x) {
  return smooth("softsign", Unary::softsign, Unary::softsign_slope, Unary::softsign_slope2, x);
}

template <class T>
Var<T> hard_sigmoid(const Var<T>& x) {
  return piecewise("hard_sigmoid", Unary::hard_sigmoid, Unary::hard_sigmoid_slope, x,
                   {{1.0 / 6.0, 0.5}});
}

template <class T>
Var<T> hard_silu(const Var<T>& x) {
  return smooth("hard_silu", Unary::hard_silu, Unary::hard_silu_slope, Unary::hard_silu_slope2, x);
}

template <class T>
Var<T> hard_tanh(const Var<T>& x) {
  return piecewise("hard_tanh", Unary::clip, Unary::clip_slope, x, {{-1.0, 1.0}});
}

template <class T>
Var<T> hard_shrink(const Var<T>& x, double threshold) {
  check_shrink("hard_shrink", threshold);
  return piecewise("hard_shrink", Unary::hard_shrink, Unary::hard_shrink_slope, x, {{threshold}});
}

template <class T>
Var<T> soft_shrink(const Var<T>& x, double threshold) {
  check_shrink("soft_shrink", threshold);
  // Same slope: 1 outside the threshold, 0 inside.
  return piecewise("soft_shrink", Unary::soft_shrink, Unary::hard_shrink_slope, x, {{threshold}});
}

template <class T>
Var<T> tanh_shrink(const Var<T>& x) {
  return x - tanh(x);
}

template <class T>
Var<T> mish(const Var<T>& x) {
  return smooth("mish", Unary::mish, Unary::mish_slope, Unary::mish_slope2, x);
}

template <class T>
Var<T> log_sigmoid(const Var<T>& x) {
  return -softplus(-x);
}

template <class T>
Var<T> sparse_plus(const Var<T>& x) {
  return smooth("sparse_plus", Unary::sparse_plus, Unary::sparse_plus_slope,
                Unary::sparse_plus_slope2, x);
}

template <class T>
Var<T> sparse_sigmoid(const Var<T>& x) {
  return piecewise("sparse_sigmoid", Unary::hard_sigmoid, Unary::hard_sigmoid_slope, x,
                   {{0.5, 0.5}});
}

template <class T>
Var<T> squareplus(const Var<T>& x, double b) {
  if (!(b >= 0)) {
    detail::fail<ValueError>("squareplus", "b out of range: b is ", b, ", expected >= 0");
  }
  return smooth("squareplus", Unary::squareplus, Unary::squareplus_slope, Unary::squareplus_slope2,
                x, {{b}});
}

template <class T>
Var<T> threshold(const Var<T>& x, double threshold, double default_value) {
  return piecewise("threshold", Unary::threshold, Unary::threshold_slope, x,
                   {{threshold, default_value}});
}

template <class T>
Var<T> glu(const Var<T>& x, int axis) {
  const std::size_t at = detail::normalize_axis("glu", axis, x.rank());
  if (x.shape()[at] % 2 != 0) {
    detail::fail<ShapeError>("glu", "axis is not even: operand is ", to_string(x.shape()),
                             ", expected an even extent on axis ", axis,
                             "; pad it or choose another");
  }
  const std::vector<Var<T>> halves = split(x, 2, axis);
  return halves[0] * sigmoid(halves[1]);
}

template <class T>
Var<T> sparsemax(const Var<T>& x, int axis) {
  const std::size_t at = detail::normalize_axis("sparsemax", axis, x.rank());
  const std::size_t n = x.shape()[at];
  if (n == 0) {
    detail::fail<ShapeError>("sparsemax", "empty axis: operand is ", to_string(x.shape()),
                             ", expected at least one element on axis ", axis);
  }
  // The support: the k largest with 1 + k z_k > sum of them. On it the projection is linear, so the
  // rest follows from ordinary operations with the support held constant.
  Array<bool> support(x.shape());
  std::size_t inner = 1;
  for (std::size_t i = at + 1; i < x.rank(); ++i) inner *= x.shape()[i];
  const std::size_t rows = x.size() / n;
  std::vector<T> sorted(n);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t base = r / inner * n * inner + r % inner;
    for (std::size_t k = 0; k < n; ++k) sorted[k] = x.data()[base + k * inner];
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
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
  Array<T> mask(x.shape());
  for (std::size_t i = 0; i < mask.size(); ++i) mask.data()[i] = support.data()[i] ? T(1) : T(0);
  const Var<T> chosen(std::move(mask));
  const Var<T> count = sum(chosen, {axis}, true);
  const Var<T> threshold = (sum(x * chosen, {axis}, true) - T(1)) / count;
  return where(support, x - threshold, Var<T>(T(0)));
}

template <class T>
Activation<T>::Activation(const char* name) {
  struct Named {
    const char* name;
    Function function;
  };
  static const Named known[] = {
      {"relu", [](const Var<T>& x) { return relu(x); }},
      {"leaky_relu", [](const Var<T>& x) { return leaky_relu(x); }},
      {"relu6", relu6<T>},
      {"elu", [](const Var<T>& x) { return elu(x); }},
      {"selu", selu<T>},
      {"celu", [](const Var<T>& x) { return celu(x); }},
      {"gelu", [](const Var<T>& x) { return gelu(x); }},
      {"silu", silu<T>},
      {"swish", silu<T>},
      {"softplus", softplus<T>},
      {"softsign", softsign<T>},
      {"tanh", [](const Var<T>& x) { return tanh(x); }},
      {"sigmoid", [](const Var<T>& x) { return sigmoid(x); }},
      {"hard_sigmoid", hard_sigmoid<T>},
      {"hard_silu", hard_silu<T>},
      {"hard_swish", hard_silu<T>},
      {"hard_tanh", hard_tanh<T>},
      {"hard_shrink", [](const Var<T>& x) { return hard_shrink(x); }},
      {"soft_shrink", [](const Var<T>& x) { return soft_shrink(x); }},
      {"tanh_shrink", tanh_shrink<T>},
      {"mish", mish<T>},
      {"exponential", [](const Var<T>& x) { return exp(x); }},
      {"log_sigmoid", log_sigmoid<T>},
      {"sparse_plus", sparse_plus<T>},
      {"sparse_sigmoid", sparse_sigmoid<T>},
      {"squareplus", [](const Var<T>& x) { return squareplus(x); }},
      {"glu", [](const Var<T>& x) { return glu(x); }},
      {"softmax", [](const Var<T>& x) { return softmax(x); }},
      {"log_softmax", [](const Var<T>& x) { return log_softmax(x); }},
      {"sparsemax", [](const Var<T>& x) { return sparsemax(x); }},
  };
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

#define XTAPE_INSTANTIATE(T)                                \
  template Var<T> linear(const Var<T>&);                    \
  template Var<T> relu(const Var<T>&, ReluOptions);         \
  template Var<T> leaky_relu(const Var<T>&, double);        \
  template Var<T> relu6(const Var<T>&);                     \
  template Var<T> elu(const Var<T>&, double);               \
  template Var<T> selu(const Var<T>&);                      \
  template Var<T> celu(const Var<T>&, double);              \
  template Var<T> gelu(const Var<T>&, bool);                \
  template Var<T> silu(const Var<T>&);                      \
  template Var<T> softplus(const Var<T>&);                  \
  template Var<T> softsign(const Var<T>&);                  \
  template Var<T> hard_sigmoid(const Var<T>&);              \
  template Var<T> hard_silu(const Var<T>&);                 \
  template Var<T> hard_tanh(const Var<T>&);                 \
  template Var<T> hard_shrink(const Var<T>&, double);       \
  template Var<T> soft_shrink(const Var<T>&, double);       \
  template Var<T> tanh_shrink(const Var<T>&);               \
  template Var<T> mish(const Var<T>&);                      \
  template Var<T> log_sigmoid(const Var<T>&);               \
  template Var<T> sparse_plus(const Var<T>&);               \
  template Var<T> sparse_sigmoid(const Var<T>&);            \
  template Var<T> squareplus(const Var<T>&, double);        \
  template Var<T> threshold(const Var<T>&, double, double); \
  template Var<T> glu(const Var<T>&, int);                  \
  template Var<T> sparsemax(const Var<T>&, int);            \
  template class Activation<T>;
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
