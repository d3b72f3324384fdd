// The elementwise operations.

#include "support/twins.hpp"

#include <cmath>

namespace xtape::test {
namespace {

const Domain kPositive{0.4, 2.0};
const Domain kApart{-2.0, 2.0, {}, true};

Array<double> steps(const Shape& shape) {
  double k = 0;
  return generate(shape, [&](const Index&) { return 0.25 + 0.5 * std::sin(++k); });
}

/// A condition that depends on the position only, in the shape of x.
template <class T>
Array<bool> every_other(const Var<T>& x) {
  Array<bool> c(x.shape());
  for (std::size_t i = 0; i < c.size(); ++i) c.data()[i] = i % 3 != 1;
  return c;
}

template <class T>
Array<T> constant_like(const Var<T>& x) {
  const Array<double> s = steps(x.shape());
  Array<T> c(x.shape());
  for (std::size_t i = 0; i < c.size(); ++i) c.data()[i] = static_cast<T>(s.data()[i]);
  return c;
}

Twin with_steps(double (*f)(double, double)) {
  return plain([f](const Arrays& x) { return zipped(x[0], steps(x[0].shape()), f); });
}

void unary_rows(std::vector<Row>& rows) {
  const auto add = [&](Row row) { rows.push_back(std::move(row)); };
  add(op(
      "negate", one(), [](const auto& x) { return negate(x[0]); },
      each([](double v) { return -v; })));
  add(op(
      "operator-", one(), [](const auto& x) { return -x[0]; }, each([](double v) { return -v; })));
  add(op(
          "abs", one(), [](const auto& x) { return abs(x[0]); },
          each([](double v) { return v < 0 ? -v : v; }))
          .on({{-1.5, 1.5, {0}}}));
  add(op(
      "square", one(), [](const auto& x) { return square(x[0]); },
      each([](double v) { return v * v; })));
  add(op(
          "sqrt", one(), [](const auto& x) { return sqrt(x[0]); },
          each([](double v) { return std::sqrt(v); }))
          .on({kPositive}));
  add(op(
          "rsqrt", one(), [](const auto& x) { return rsqrt(x[0]); },
          each([](double v) { return 1 / std::sqrt(v); }))
          .on({kPositive}));
  add(op(
      "exp", one(), [](const auto& x) { return exp(x[0]); },
      each([](double v) { return std::exp(v); })));
  add(op(
      "expm1", one(), [](const auto& x) { return expm1(x[0]); },
      each([](double v) { return std::exp(v) - 1; })));
  add(op(
          "log", one(), [](const auto& x) { return log(x[0]); },
          each([](double v) { return std::log(v); }))
          .on({kPositive}));
  add(op(
          "log1p", one(), [](const auto& x) { return log1p(x[0]); },
          each([](double v) { return std::log(1 + v); }))
          .on({{-0.5, 2.0}}));
  add(op(
      "sin", one(), [](const auto& x) { return sin(x[0]); },
      each([](double v) { return std::sin(v); })));
  add(op(
      "cos", one(), [](const auto& x) { return cos(x[0]); },
      each([](double v) { return std::cos(v); })));
  add(op(
      "tanh", one(), [](const auto& x) { return tanh(x[0]); },
      each([](double v) { return std::sinh(v) / std::cosh(v); })));
  add(op(
          "sigmoid", one(), [](const auto& x) { return sigmoid(x[0]); },
          each([](double v) { return 1 / (1 + std::exp(-v)); }))
          .on({{-4, 4}}));
  add(op(
      "erf", one(), [](const auto& x) { return erf(x[0]); },
      each([](double v) { return 1 - std::erfc(v); })));
  add(op(
          "clip", one(), [](const auto& x) { return clip(x[0], -0.5, 0.75); },
          each([](double v) { return std::fmin(std::fmax(v, -0.5), 0.75); }))
          .on({{-1.5, 1.5, {-0.5, 0.75}}}));
  for (const double e : {2.0, 3.0, 0.5, -1.0, 1.0, 2.7}) {
    add(op(
            "pow to " + std::to_string(e), one(), [e](const auto& x) { return pow(x[0], e); },
            each([e](double v) { return std::pow(v, e); }))
            .on({kPositive}));
  }
  add(op(
      "pow to 3 of both signs", one(), [](const auto& x) { return pow(x[0], 3.0); },
      each([](double v) { return v * v * v; })));
  add(op(
      "pow to 0", one(), [](const auto& x) { return pow(x[0], 0.0) + x[0]; },
      each([](double v) { return 1 + v; })));
}

void scalar_rows(std::vector<Row>& rows) {
  const auto add = [&](Row row) { rows.push_back(std::move(row)); };
  // A number on either side.
  add(op(
      "x + 2", one(), [](const auto& x) { return x[0] + 2; },
      each([](double v) { return v + 2; })));
  add(op(
      "2 + x", one(), [](const auto& x) { return 2 + x[0]; },
      each([](double v) { return 2 + v; })));
  add(op(
      "x - 2", one(), [](const auto& x) { return x[0] - 2; },
      each([](double v) { return v - 2; })));
  add(op(
      "2 - x", one(), [](const auto& x) { return 2 - x[0]; },
      each([](double v) { return 2 - v; })));
  add(op(
      "x * 3", one(), [](const auto& x) { return x[0] * 3; },
      each([](double v) { return v * 3; })));
  add(op(
      "3 * x", one(), [](const auto& x) { return 3 * x[0]; },
      each([](double v) { return 3 * v; })));
  add(op(
      "x / 3", one(), [](const auto& x) { return x[0] / 3; },
      each([](double v) { return v / 3; })));
  add(op(
          "3 / x", one(), [](const auto& x) { return 3 / x[0]; },
          each([](double v) { return 3 / v; }))
          .on({kPositive}));
  // An xtensor container, and an unevaluated expression, on either side.
  add(op(
      "x + array", one(), [](const auto& x) { return x[0] + constant_like(x[0]); },
      with_steps([](double u, double v) { return u + v; })));
  add(op(
      "array + x", one(), [](const auto& x) { return constant_like(x[0]) + x[0]; },
      with_steps([](double u, double v) { return v + u; })));
  add(op(
      "x - array", one(), [](const auto& x) { return x[0] - constant_like(x[0]); },
      with_steps([](double u, double v) { return u - v; })));
  add(op(
      "array - x", one(), [](const auto& x) { return constant_like(x[0]) - x[0]; },
      with_steps([](double u, double v) { return v - u; })));
  add(op(
      "x * expression", one(),
      [](const auto& x) {
        const auto c = constant_like(x[0]);
        return x[0] * (c + c);
      },
      with_steps([](double u, double v) { return u * (v + v); })));
  add(op(
      "expression * x", one(),
      [](const auto& x) {
        const auto c = constant_like(x[0]);
        return (c + c) * x[0];
      },
      with_steps([](double u, double v) { return (v + v) * u; })));
  add(op(
      "x / expression", one(),
      [](const auto& x) {
        const auto c = constant_like(x[0]);
        return x[0] / (c * c);
      },
      with_steps([](double u, double v) { return u / (v * v); })));
  add(op(
          "array / x", one(), [](const auto& x) { return constant_like(x[0]) / x[0]; },
          with_steps([](double u, double v) { return v / u; }))
          .on({kPositive}));
  add(op(
          "pow(x, array)", one(), [](const auto& x) { return pow(x[0], constant_like(x[0])); },
          with_steps([](double u, double v) { return std::pow(u, v); }))
          .on({kPositive}));
  add(op(
          "maximum(array, x)", one(),
          [](const auto& x) { return maximum(constant_like(x[0]), x[0]); },
          with_steps([](double u, double v) { return std::fmax(u, v); }))
          .on({{-4, 4}}));
  add(op(
          "minimum(x, array)", one(),
          [](const auto& x) { return minimum(x[0], constant_like(x[0])); },
          with_steps([](double u, double v) { return std::fmin(u, v); }))
          .on({{-4, 4}}));
}

void binary_rows(std::vector<Row>& rows) {
  const auto add = [&](Row row) { rows.push_back(std::move(row)); };
  add(op(
      "add", two(), [](const auto& x) { return xtape::add(x[0], x[1]); },
      pairwise([](double u, double v) { return u + v; })));
  add(op(
      "subtract", two(), [](const auto& x) { return x[0] - x[1]; },
      pairwise([](double u, double v) { return u - v; })));
  add(op(
      "multiply", two(), [](const auto& x) { return x[0] * x[1]; },
      pairwise([](double u, double v) { return u * v; })));
  add(op(
          "divide", two(), [](const auto& x) { return x[0] / x[1]; },
          pairwise([](double u, double v) { return u / v; }))
          .on({kPositive}));
  add(op(
          "pow", two(), [](const auto& x) { return pow(x[0], x[1]); },
          pairwise([](double u, double v) { return std::pow(u, v); }))
          .on({kPositive, {0.3, 2.5}}));
  add(op(
          "maximum", two(), [](const auto& x) { return maximum(x[0], x[1]); },
          pairwise([](double u, double v) { return std::fmax(u, v); }))
          .on({kApart}));
  add(op(
          "minimum", two(), [](const auto& x) { return minimum(x[0], x[1]); },
          pairwise([](double u, double v) { return std::fmin(u, v); }))
          .on({kApart}));
  add(op(
      "where", two(), [](const auto& x) { return where(every_other(x[0]), x[0], x[1]); },
      plain([](const Arrays& x) {
        double k = -1;
        const Array<double> c = mapped(x[0], [&](double) {
          k += 1;
          return std::fmod(k, 3.0) == 1 ? 0.0 : 1.0;
        });
        const Array<double> a = zipped(c, x[0], [](double u, double v) { return u * v; });
        const Array<double> b = zipped(c, x[1], [](double u, double v) { return (1 - u) * v; });
        return zipped(a, b, [](double u, double v) { return u + v; });
      })));
  add(op(
      "where with a number", one(),
      [](const auto& x) {
        using T = typename std::decay_t<decltype(x[0])>::value_type;
        return where(every_other(x[0]), Var<T>(T(0.5)), x[0]);
      },
      plain([](const Arrays& x) {
        double k = -1;
        return mapped(x[0], [&](double v) {
          k += 1;
          return std::fmod(k, 3.0) == 1 ? v : 0.5;
        });
      })));
  add(op(
      "where with a condition that broadcasts", two(),
      [](const auto& x) {
        Array<bool> c(Shape{2, 1, 1, 1});
        c.data()[0] = true;
        c.data()[1] = false;
        return where(c, x[0], x[1]);
      },
      plain([](const Arrays& x) {
        const Shape shape =
            broadcast_shape(broadcast_shape(x[0].shape(), x[1].shape()), Shape{2, 1, 1, 1});
        return generate(shape,
                        [&](const Index& i) { return i[0] == 0 ? at(x[0], i) : at(x[1], i); });
      })));
}

}  // namespace

std::vector<Row> elementwise_rows() {
  std::vector<Row> rows;
  unary_rows(rows);
  scalar_rows(rows);
  binary_rows(rows);
  return rows;
}

}  // namespace xtape::test
