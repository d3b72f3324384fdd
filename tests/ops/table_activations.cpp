// The activation functions, with their options.

#include "support/twins.hpp"

#include <algorithm>
#include <cmath>

namespace xtape::test {
namespace {

double logistic(double v) { return 1 / (1 + std::exp(-v)); }
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

void smooth_rows(std::vector<Row>& rows) {
  const auto add = [&](Row row) { rows.push_back(std::move(row)); };
  add(op(
      "linear", one(), [](const auto& x) { return linear(x[0]) * 2; },
      each([](double v) { return 2 * v; })));
  add(op(
          "elu", one(), [](const auto& x) { return elu(x[0]); },
          each([](double v) { return v > 0 ? v : std::exp(v) - 1; }))
          .on(around({0})));
  add(op(
          "elu, alpha 0.5", one(), [](const auto& x) { return elu(x[0], 0.5); },
          each([](double v) { return v > 0 ? v : 0.5 * (std::exp(v) - 1); }))
          .on(around({0})));
  add(op(
          "selu", one(), [](const auto& x) { return selu(x[0]); }, each([](double v) {
            return 1.0507009873554805 * (v > 0 ? v : 1.6732632423543772 * (std::exp(v) - 1));
          }))
          .on(around({0})));
  add(op(
          "celu", one(), [](const auto& x) { return celu(x[0]); },
          each([](double v) { return v > 0 ? v : std::exp(v) - 1; }))
          .on(around({0})));
  add(op(
          "celu, alpha 2", one(), [](const auto& x) { return celu(x[0], 2); },
          each([](double v) { return v > 0 ? v : 2 * (std::exp(v / 2) - 1); }))
          .on(around({0})));
  add(op(
          "gelu", one(), [](const auto& x) { return gelu(x[0]); },
          each([](double v) { return v * (1 + std::erf(v / std::sqrt(2.0))) / 2; }))
          .on(around({})));
  add(op(
          "gelu, approximate", one(), [](const auto& x) { return gelu(x[0], true); },
          each([](double v) {
            const double u = std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * v * v * v);
            return 0.5 * v * (1 + std::tanh(u));
          }))
          .on(around({})));
  add(op(
          "silu", one(), [](const auto& x) { return silu(x[0]); },
          each([](double v) { return v * logistic(v); }))
          .on(around({})));
  add(op(
          "softplus", one(), [](const auto& x) { return softplus(x[0]); }, each(soft_plus))
          .on(around({})));
  add(op(
          "softsign", one(), [](const auto& x) { return softsign(x[0]); },
          each([](double v) { return v / (1 + std::abs(v)); }))
          .on(around({0})));
  add(op(
          "tanh_shrink", one(), [](const auto& x) { return tanh_shrink(x[0]); },
          each([](double v) { return v - std::tanh(v); }))
          .on(around({})));
  add(op(
          "mish", one(), [](const auto& x) { return mish(x[0]); },
          each([](double v) { return v * std::tanh(soft_plus(v)); }))
          .on(around({})));
  add(op(
          "log_sigmoid", one(), [](const auto& x) { return log_sigmoid(x[0]); },
          each([](double v) { return std::log(logistic(v)); }))
          .on(around({})));
  add(op(
          "squareplus", one(), [](const auto& x) { return squareplus(x[0]); },
          each([](double v) { return (v + std::sqrt(v * v + 4)) / 2; }))
          .on(around({})));
  add(op(
          "squareplus, b 1", one(), [](const auto& x) { return squareplus(x[0], 1); },
          each([](double v) { return (v + std::sqrt(v * v + 1)) / 2; }))
          .on(around({})));
}

void piecewise_rows(std::vector<Row>& rows) {
  const auto add = [&](Row row) { rows.push_back(std::move(row)); };
  add(op(
          "relu", one(), [](const auto& x) { return relu(x[0]); },
          each([](double v) { return v > 0 ? v : 0; }))
          .on(around({0})));
  add(op(
          "relu with all options", one(),
          [](const auto& x) {
            return relu(x[0], {.negative_slope = 0.3, .max_value = 2, .threshold = 0.5});
          },
          each([](double v) { return v >= 0.5 ? std::fmin(v, 2.0) : 0.3 * (v - 0.5); }))
          .on(around({0.5, 2})));
  add(op(
          "leaky_relu", one(), [](const auto& x) { return leaky_relu(x[0]); },
          each([](double v) { return v > 0 ? v : 0.2 * v; }))
          .on(around({0})));
  add(op(
          "leaky_relu, slope 0.05", one(), [](const auto& x) { return leaky_relu(x[0], 0.05); },
          each([](double v) { return v > 0 ? v : 0.05 * v; }))
          .on(around({0})));
  add(op(
          "relu6", one(), [](const auto& x) { return relu6(x[0]); },
          each([](double v) { return std::fmin(std::fmax(v, 0.0), 6.0); }))
          .on(around({0, 6}, 9)));
  add(op(
          "hard_sigmoid", one(), [](const auto& x) { return hard_sigmoid(x[0]); },
          each([](double v) { return std::fmin(std::fmax(v / 6 + 0.5, 0.0), 1.0); }))
          .on(around({-3, 3}, 5)));
  add(op(
          "hard_silu", one(), [](const auto& x) { return hard_silu(x[0]); },
          each([](double v) { return v * std::fmin(std::fmax(v / 6 + 0.5, 0.0), 1.0); }))
          .on(around({-3, 3}, 5)));
  add(op(
          "hard_tanh", one(), [](const auto& x) { return hard_tanh(x[0]); },
          each([](double v) { return std::fmin(std::fmax(v, -1.0), 1.0); }))
          .on(around({-1, 1})));
  add(op(
          "hard_shrink", one(), [](const auto& x) { return hard_shrink(x[0]); },
          each([](double v) { return std::abs(v) > 0.5 ? v : 0; }))
          .on(around({-0.5, 0.5})));
  add(op(
          "hard_shrink, threshold 1", one(), [](const auto& x) { return hard_shrink(x[0], 1); },
          each([](double v) { return std::abs(v) > 1 ? v : 0; }))
          .on(around({-1, 1})));
  add(op(
          "soft_shrink", one(), [](const auto& x) { return soft_shrink(x[0]); },
          each([](double v) { return std::copysign(std::fmax(std::abs(v) - 0.5, 0.0), v); }))
          .on(around({-0.5, 0.5})));
  add(op(
          "soft_shrink, threshold 1", one(), [](const auto& x) { return soft_shrink(x[0], 1); },
          each([](double v) { return std::copysign(std::fmax(std::abs(v) - 1, 0.0), v); }))
          .on(around({-1, 1})));
  add(op(
          "sparse_plus", one(), [](const auto& x) { return sparse_plus(x[0]); }, each([](double v) {
            return v >= 1 ? v : v <= -1 ? 0 : (v + 1) * (v + 1) / 4;
          }))
          .on(around({-1, 1})));
  add(op(
          "sparse_sigmoid", one(), [](const auto& x) { return sparse_sigmoid(x[0]); },
          each([](double v) { return std::fmin(std::fmax((v + 1) / 2, 0.0), 1.0); }))
          .on(around({-1, 1})));
  add(op(
          "threshold", one(), [](const auto& x) { return threshold(x[0], 0.25, -0.75); },
          each([](double v) { return v > 0.25 ? v : -0.75; }))
          .on(around({0.25})));
}

void row_rows(std::vector<Row>& rows) {
  const auto add = [&](Row row) { rows.push_back(std::move(row)); };
  const auto refuses_odd = [](int axis) -> Rejects {
    return [axis](const Shapes& s) -> std::optional<Rejection> {
      const auto n = static_cast<int>(s[0].size());
      if (axis < -n || axis >= n)
        return Rejection{Rejection::Kind::shape, "glu: axis out of range"};
      if (s[0][static_cast<std::size_t>(axis < 0 ? axis + n : axis)] % 2 != 0) {
        return Rejection{Rejection::Kind::shape, "glu: axis is not even"};
      }
      return std::nullopt;
    };
  };
  const std::vector<Shapes> even = {{Shape{2}},       {Shape{4}},       {Shape{6}},
                                    {Shape{2, 2}},    {Shape{3, 4}},    {Shape{1, 2}},
                                    {Shape{2, 3, 2}}, {Shape{2, 1, 4}}, {Shape{3, 1, 2}},
                                    {Shape{2, 0}},    {Shape{4, 4}}};
  add(op(
          "glu", both(one(), even), [](const auto& x) { return glu(x[0]); }, glu_twin(-1))
          .refusing(refuses_odd(-1)));
  add(op(
          "glu, axis 0", both(one(), even), [](const auto& x) { return glu(x[0], 0); }, glu_twin(0))
          .refusing(refuses_odd(0)));
  const auto refuses_empty = [](const Shapes& s) -> std::optional<Rejection> {
    if (s[0].size() == 0) return Rejection{Rejection::Kind::shape, "sparsemax: axis out of range"};
    if (s[0].back() == 0) return Rejection{Rejection::Kind::shape, "sparsemax: empty axis"};
    return std::nullopt;
  };
  add(op(
          "sparsemax", both(one(), matrices()), [](const auto& x) { return sparsemax(x[0]); },
          sparse_max_twin(-1))
          .on({{-1, 1, {}, true}})
          .refusing(refuses_empty));
  add(op(
          "sparsemax, axis -2", both(one(), matrices()),
          [](const auto& x) { return sparsemax(x[0], -2); }, sparse_max_twin(-2))
          .on({{-1, 1, {}, true}})
          .refusing([](const Shapes& s) -> std::optional<Rejection> {
            const std::size_t n = s[0].size();
            if (n < 2) return Rejection{Rejection::Kind::shape, "sparsemax: axis out of range"};
            if (s[0][n - 2] == 0) return Rejection{Rejection::Kind::shape, "sparsemax: empty axis"};
            return std::nullopt;
          }));
}

}  // namespace

std::vector<Row> activation_rows() {
  std::vector<Row> rows;
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
    const auto same =
        std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.name == name; });
    Row named = op(
        std::string("activation '") + name + "'", one(),
        [name]<class T>(const Vars<T>& x) { return Activation<T>(name)(x[0]); }, same->twin);
    named.domains = same->domains;
    rows.push_back(std::move(named));
  }
  return rows;
}

}  // namespace xtape::test
