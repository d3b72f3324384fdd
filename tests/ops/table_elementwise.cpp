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
template <class T> Array<bool> every_other(const Var<T>& x) {
  Array<bool> c(x.shape());
  for (std::size_t i = 0; i < c.size(); ++i) c.data()[i] = i % 3 != 1;
  return c;
}

template <class T> Array<T> constant_like(const Var<T>& x) {
  const Array<double> s = steps(x.shape());
  Array<T> c(x.shape());
  for (std::size_t i = 0; i < c.size(); ++i) c.data()[i] = static_cast<T>(s.data()[i]);
  return c;
}

#define STEPS(...) \
  TWIN(zipped(x[0], steps(x[0].shape()), [](double u, double v) { return __VA_ARGS__; }))

void unary_rows(Table& rows) {
  rows.op("negate", one(), OP(negate(x[0])), EACH(-v));
  rows.op("operator-", one(), OP(-x[0]), EACH(-v));
  rows.op("abs", one(), OP(abs(x[0])), EACH(v < 0 ? -v : v)).on({{-1.5, 1.5, {0}}});
  rows.op("square", one(), OP(square(x[0])), EACH(v * v));
  rows.op("sqrt", one(), OP(sqrt(x[0])), EACH(std::sqrt(v))).on({kPositive});
  rows.op("rsqrt", one(), OP(rsqrt(x[0])), EACH(1 / std::sqrt(v))).on({kPositive});
  rows.op("exp", one(), OP(exp(x[0])), EACH(std::exp(v)));
  rows.op("expm1", one(), OP(expm1(x[0])), EACH(std::exp(v) - 1));
  rows.op("log", one(), OP(log(x[0])), EACH(std::log(v))).on({kPositive});
  rows.op("log1p", one(), OP(log1p(x[0])), EACH(std::log(1 + v))).on({{-0.5, 2.0}});
  rows.op("sin", one(), OP(sin(x[0])), EACH(std::sin(v)));
  rows.op("cos", one(), OP(cos(x[0])), EACH(std::cos(v)));
  rows.op("tanh", one(), OP(tanh(x[0])), EACH(std::sinh(v) / std::cosh(v)));
  rows.op("sigmoid", one(), OP(sigmoid(x[0])), EACH(1 / (1 + std::exp(-v)))).on({{-4, 4}});
  rows.op("erf", one(), OP(erf(x[0])), EACH(1 - std::erfc(v)));
  rows.op("clip", one(), OP(clip(x[0], -0.5, 0.75)), EACH(std::fmin(std::fmax(v, -0.5), 0.75)))
      .on({{-1.5, 1.5, {-0.5, 0.75}}});
  for (const double e : {2.0, 3.0, 0.5, -1.0, 1.0, 2.7}) {
    rows.op("pow to " + std::to_string(e), one(), OP(pow(x[0], e)), EACH(std::pow(v, e)))
        .on({kPositive});
  }
  rows.op("pow to 3 of both signs", one(), OP(pow(x[0], 3.0)), EACH(v * v * v));
  rows.op("pow to 0", one(), OP(pow(x[0], 0.0) + x[0]), EACH(1 + v));
}

void scalar_rows(Table& rows) {
  // A number on either side.
  rows.op("x + 2", one(), OP(x[0] + 2), EACH(v + 2));
  rows.op("2 + x", one(), OP(2 + x[0]), EACH(2 + v));
  rows.op("x - 2", one(), OP(x[0] - 2), EACH(v - 2));
  rows.op("2 - x", one(), OP(2 - x[0]), EACH(2 - v));
  rows.op("x * 3", one(), OP(x[0] * 3), EACH(v * 3));
  rows.op("3 * x", one(), OP(3 * x[0]), EACH(3 * v));
  rows.op("x / 3", one(), OP(x[0] / 3), EACH(v / 3));
  rows.op("3 / x", one(), OP(3 / x[0]), EACH(3 / v)).on({kPositive});
  // An xtensor container, and an unevaluated expression, on either side.
  rows.op("x + array", one(), OP(x[0] + constant_like(x[0])), STEPS(u + v));
  rows.op("array + x", one(), OP(constant_like(x[0]) + x[0]), STEPS(v + u));
  rows.op("x - array", one(), OP(x[0] - constant_like(x[0])), STEPS(u - v));
  rows.op("array - x", one(), OP(constant_like(x[0]) - x[0]), STEPS(v - u));
  rows.op("x * expression", one(), OP(x[0] * (constant_like(x[0]) + constant_like(x[0]))),
          STEPS(u * (v + v)));
  rows.op("expression * x", one(), OP((constant_like(x[0]) + constant_like(x[0])) * x[0]),
          STEPS((v + v) * u));
  rows.op("x / expression", one(), OP(x[0] / (constant_like(x[0]) * constant_like(x[0]))),
          STEPS(u / (v * v)));
  rows.op("array / x", one(), OP(constant_like(x[0]) / x[0]), STEPS(v / u)).on({kPositive});
  rows.op("pow(x, array)", one(), OP(pow(x[0], constant_like(x[0]))), STEPS(std::pow(u, v)))
      .on({kPositive});
  rows.op("maximum(array, x)", one(), OP(maximum(constant_like(x[0]), x[0])),
          STEPS(std::fmax(u, v)))
      .on({{-4, 4}});
  rows.op("minimum(x, array)", one(), OP(minimum(x[0], constant_like(x[0]))),
          STEPS(std::fmin(u, v)))
      .on({{-4, 4}});
}

void binary_rows(Table& rows) {
  rows.op("add", two(), OP(xtape::add(x[0], x[1])), PAIR(u + v));
  rows.op("subtract", two(), OP(x[0] - x[1]), PAIR(u - v));
  rows.op("multiply", two(), OP(x[0] * x[1]), PAIR(u * v));
  rows.op("divide", two(), OP(x[0] / x[1]), PAIR(u / v)).on({kPositive});
  rows.op("pow", two(), OP(pow(x[0], x[1])), PAIR(std::pow(u, v))).on({kPositive, {0.3, 2.5}});
  rows.op("maximum", two(), OP(maximum(x[0], x[1])), PAIR(std::fmax(u, v))).on({kApart});
  rows.op("minimum", two(), OP(minimum(x[0], x[1])), PAIR(std::fmin(u, v))).on({kApart});
  rows.op("where", two(), OP(where(every_other(x[0]), x[0], x[1])), plain([](const Arrays& x) {
            double k = -1;
            const Array<double> c = mapped(x[0], [&](double) {
              k += 1;
              return std::fmod(k, 3.0) == 1 ? 0.0 : 1.0;
            });
            const Array<double> a = zipped(c, x[0], [](double u, double v) { return u * v; });
            const Array<double> b = zipped(c, x[1], [](double u, double v) { return (1 - u) * v; });
            return zipped(a, b, [](double u, double v) { return u + v; });
          }));
  rows.op(
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
      }));
  rows.op(
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
      }));
}

}  // namespace

std::vector<Row> elementwise_rows() {
  Table rows;
  unary_rows(rows);
  scalar_rows(rows);
  binary_rows(rows);
  return rows;
}

}  // namespace xtape::test
