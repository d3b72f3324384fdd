// The activation functions, with their options.

#include "support/twins.hpp"

#include <algorithm>
#include <cmath>

namespace xtape::test {
namespace {

double soft_plus(double v) { return std::log(1 + std::exp(v)); }

/// A domain wide enough to see all pieces, away from the kinks.
std::vector<Domain> around(std::vector<double> kinks, double reach = 2.5) {
  return {{-reach, reach, std::move(kinks)}};
}

/// Projection onto the simplex, by bisection on the threshold instead of sorting.
double sparse_max_threshold(const std::vector<double>& z) {
  double low = *std::min_element(z.begin(), z.end()) - 1;
  double high = *std::max_element(z.begin(), z.end());
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    double sum = 0;
    for (const double v : z) sum += std::max(0.0, v - middle);
    (sum > 1 ? low : high) = middle;
  }
  return (low + high) / 2;
}

Twin sparse_max_twin(int axis) {
  return plain([axis](const Arrays& x) {
    const Array<double> t = reduced(x[0], {axis}, true, sparse_max_threshold);
    return zipped(x[0], t, [](double v, double u) { return std::max(0.0, v - u); });
  });
}

Twin glu_twin(int axis) {
  return plain([axis](const Arrays& x) {
    Index half = extents_of(x[0].shape());
    const std::size_t k =
        static_cast<std::size_t>(axis < 0 ? axis + static_cast<int>(half.size()) : axis);
    half[k] /= 2;
    return generate(shape_of(half), [&](const Index& i) {
      Index second = i;
      second[k] += half[k];
      return at(x[0], i) * logistic(at(x[0], second));
    });
  });
}

void smooth_rows(Table& rows) {
  rows.op("linear", one(), OP(linear(x[0]) * 2), EACH(2 * v));
  rows.op("elu", one(), OP(elu(x[0])), EACH(v > 0 ? v : std::exp(v) - 1)).on(around({0}));
  rows.op("elu, alpha 0.5", one(), OP(elu(x[0], 0.5)), EACH(v > 0 ? v : 0.5 * (std::exp(v) - 1)))
      .on(around({0}));
  rows.op("selu", one(), OP(selu(x[0])),
          EACH(1.0507009873554805 * (v > 0 ? v : 1.6732632423543772 * (std::exp(v) - 1))))
      .on(around({0}));
  rows.op("celu", one(), OP(celu(x[0])), EACH(v > 0 ? v : std::exp(v) - 1)).on(around({0}));
  rows.op("celu, alpha 2", one(), OP(celu(x[0], 2)), EACH(v > 0 ? v : 2 * (std::exp(v / 2) - 1)))
      .on(around({0}));
  rows.op("gelu", one(), OP(gelu(x[0])), EACH(v * (1 + std::erf(v / std::sqrt(2.0))) / 2))
      .on(around({}));
  rows.op("gelu, approximate", one(), OP(gelu(x[0], true)), each([](double v) {
            const double u = std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * v * v * v);
            return 0.5 * v * (1 + std::tanh(u));
          }))
      .on(around({}));
  rows.op("silu", one(), OP(silu(x[0])), EACH(v * logistic(v))).on(around({}));
  rows.op("softplus", one(), OP(softplus(x[0])), each(soft_plus)).on(around({}));
  rows.op("softsign", one(), OP(softsign(x[0])), EACH(v / (1 + std::abs(v)))).on(around({0}));
  rows.op("tanh_shrink", one(), OP(tanh_shrink(x[0])), EACH(v - std::tanh(v))).on(around({}));
  rows.op("mish", one(), OP(mish(x[0])), EACH(v * std::tanh(soft_plus(v)))).on(around({}));
  rows.op("log_sigmoid", one(), OP(log_sigmoid(x[0])), EACH(std::log(logistic(v)))).on(around({}));
  rows.op("squareplus", one(), OP(squareplus(x[0])), EACH((v + std::sqrt(v * v + 4)) / 2))
      .on(around({}));
  rows.op("squareplus, b 1", one(), OP(squareplus(x[0], 1)), EACH((v + std::sqrt(v * v + 1)) / 2))
      .on(around({}));
}

void piecewise_rows(Table& rows) {
  rows.op("relu", one(), OP(relu(x[0])), EACH(v > 0 ? v : 0)).on(around({0}));
  rows.op("relu with all options", one(),
          OP(relu(x[0], {.negative_slope = 0.3, .max_value = 2, .threshold = 0.5})),
          EACH(v >= 0.5 ? std::fmin(v, 2.0) : 0.3 * (v - 0.5)))
      .on(around({0.5, 2}));
  rows.op("leaky_relu", one(), OP(leaky_relu(x[0])), EACH(v > 0 ? v : 0.2 * v)).on(around({0}));
  rows.op("leaky_relu, slope 0.05", one(), OP(leaky_relu(x[0], 0.05)), EACH(v > 0 ? v : 0.05 * v))
      .on(around({0}));
  rows.op("relu6", one(), OP(relu6(x[0])), EACH(std::fmin(std::fmax(v, 0.0), 6.0)))
      .on(around({0, 6}, 9));
  rows.op("hard_sigmoid", one(), OP(hard_sigmoid(x[0])),
          EACH(std::fmin(std::fmax(v / 6 + 0.5, 0.0), 1.0)))
      .on(around({-3, 3}, 5));
  rows.op("hard_silu", one(), OP(hard_silu(x[0])),
          EACH(v * std::fmin(std::fmax(v / 6 + 0.5, 0.0), 1.0)))
      .on(around({-3, 3}, 5));
  rows.op("hard_tanh", one(), OP(hard_tanh(x[0])), EACH(std::fmin(std::fmax(v, -1.0), 1.0)))
      .on(around({-1, 1}));
  rows.op("hard_shrink", one(), OP(hard_shrink(x[0])), EACH(std::abs(v) > 0.5 ? v : 0))
      .on(around({-0.5, 0.5}));
  rows.op("hard_shrink, threshold 1", one(), OP(hard_shrink(x[0], 1)),
          EACH(std::abs(v) > 1 ? v : 0))
      .on(around({-1, 1}));
  rows.op("soft_shrink", one(), OP(soft_shrink(x[0])),
          EACH(std::copysign(std::fmax(std::abs(v) - 0.5, 0.0), v)))
      .on(around({-0.5, 0.5}));
  rows.op("soft_shrink, threshold 1", one(), OP(soft_shrink(x[0], 1)),
          EACH(std::copysign(std::fmax(std::abs(v) - 1, 0.0), v)))
      .on(around({-1, 1}));
  rows.op("sparse_plus", one(), OP(sparse_plus(x[0])),
          EACH(v >= 1 ? v : std::pow(std::fmax(v + 1, 0.0), 2) / 4))
      .on(around({-1, 1}));
  rows.op("sparse_sigmoid", one(), OP(sparse_sigmoid(x[0])),
          EACH(std::fmin(std::fmax((v + 1) / 2, 0.0), 1.0)))
      .on(around({-1, 1}));
  rows.op("threshold", one(), OP(threshold(x[0], 0.25, -0.75)), EACH(v > 0.25 ? v : -0.75))
      .on(around({0.25}));
}

void row_rows(Table& rows) {
  const auto refuses_odd = [](int axis) -> Rejects {
    return [axis](const Shapes& s) -> std::optional<Rejection> {
      const auto n = static_cast<int>(s[0].size());
      if (axis < -n || axis >= n) return refused("glu: axis out of range");
      if (s[0][static_cast<std::size_t>(axis < 0 ? axis + n : axis)] % 2 != 0) {
        return refused("glu: axis is not even");
      }
      return std::nullopt;
    };
  };
  const std::vector<Shapes> even = singles("2 4 6 2x2 3x4 1x2 2x3x2 2x1x4 3x1x2 2x0 4x4");
  rows.op("glu", both(one(), even), OP(glu(x[0])), glu_twin(-1)).refusing(refuses_odd(-1));
  rows.op("glu, axis 0", both(one(), even), OP(glu(x[0], 0)), glu_twin(0)).refusing(refuses_odd(0));
  const auto refuses_empty = [](const Shapes& s) -> std::optional<Rejection> {
    if (s[0].size() == 0) return refused("sparsemax: axis out of range");
    if (s[0].back() == 0) return refused("sparsemax: empty axis");
    return std::nullopt;
  };
  rows.op("sparsemax", both(one(), matrices()), OP(sparsemax(x[0])), sparse_max_twin(-1))
      .on({{-1, 1, {}, true}})
      .refusing(refuses_empty);
  rows.op("sparsemax, axis -2", both(one(), matrices()), OP(sparsemax(x[0], -2)),
          sparse_max_twin(-2))
      .on({{-1, 1, {}, true}})
      .refusing([](const Shapes& s) -> std::optional<Rejection> {
        const std::size_t n = s[0].size();
        if (n < 2) return refused("sparsemax: axis out of range");
        if (s[0][n - 2] == 0) return refused("sparsemax: empty axis");
        return std::nullopt;
      });
}

}  // namespace

std::vector<Row> activation_rows() {
  Table rows;
  smooth_rows(rows);
  piecewise_rows(rows);
  row_rows(rows);
  // By name: the same functions with their defaults.
  for (const char* name :
       {"relu",         "leaky_relu", "relu6",       "elu",         "selu",
        "celu",         "gelu",       "silu",        "softplus",    "softsign",
        "hard_sigmoid", "hard_silu",  "hard_tanh",   "hard_shrink", "soft_shrink",
        "tanh_shrink",  "mish",       "log_sigmoid", "sparse_plus", "sparse_sigmoid",
        "squareplus"}) {
    const Row same =
        *std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.name == name; });
    const auto named = [name]<class T>(const Vars<T>& x) { return Activation<T>(name)(x[0]); };
    rows.op(std::string("activation '") + name + "'", one(), named, same.twin).on(same.domains);
  }
  return rows;
}

}  // namespace xtape::test
