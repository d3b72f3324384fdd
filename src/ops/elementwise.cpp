#include <xtape/ops/elementwise.hpp>

#include "array/shapes.hpp"
#include "ops/unary.hpp"

#include <xtape/ops/shape.hpp>

#include <algorithm>

namespace xtape {
namespace {

using kernels::Binary;
using kernels::Index;
using kernels::Unary;

template <class T> Result<T> zip(const char* op, Binary kind, const Var<T>& a, const Var<T>& b) {
  if (a.shape() == b.shape()) {
    Result<T> y(a.shape());
    detail::parallel_for(static_cast<Index>(y.size()), [&](Index begin, Index end) {
      kernels::binary(kind, end - begin, a.data() + begin, b.data() + begin, y.data() + begin);
    });
    return y;
  }
  const Shape shape = detail::broadcast_shapes(op, a.shape(), b.shape());
  Result<T> y(shape);
  const auto loop = detail::make_loop<3>(
      shape, {detail::broadcast_strides(a.shape(), shape),
              detail::broadcast_strides(b.shape(), shape), detail::strides_of(shape)});
  detail::parallel_for(loop, [&](const kernels::Loop<3>& part, const Index(&at)[3]) {
    kernels::binary(kind, part, a.data() + at[0], b.data() + at[1], y.data() + at[2]);
  });
  return y;
}

// Returns the weight of `a` in the gradient of max(a, b) or min(a, b): 1, 0, or a half where both are equal.
// It is a constant, as its own derivative is zero almost everywhere.
template <class T> Var<T> share(Binary smaller, const Var<T>& a, const Var<T>& b) {
  const Var<T> first(zip("maximum", smaller, a.detach(), b.detach()).pointer(), {});
  const Var<T> tie(zip("maximum", Binary::equal, a.detach(), b.detach()).pointer(), {});
  return first + tie * T(0.5);
}

template <class T>
Var<T> unrecorded(const char* op, Result<T> y, const Var<T>& a, const Var<T>& b) {
  return record(op, std::move(y), wrt(a, NoGradient{op}), wrt(b, NoGradient{op}));
}

template <class T> bool has_zero(const Var<T>& x) {
  return std::find(x.data(), x.data() + x.size(), T(0)) != x.data() + x.size();
}

/// Returns the function that raises to a power: few exponents need no std::pow.
template <class T> Unary power(double exponent) {
  const T e = static_cast<T>(exponent);
  if (e == T(1)) return "identity";
  if (e == T(2)) return "square";
  if (e == T(3)) return "cube";
  return e == T(-1) ? Unary("reciprocal") : Unary("power");
}

template <class T>
Array<bool> compare(const char* op, Binary kind, const Var<T>& a, const Var<T>& b) {
  Result<T> y = zip(op, kind, a, b);
  Array<bool> out(y.shape());
  const T* p = y.data();
  for (std::size_t i = 0; i < y.size(); ++i) out.data()[i] = p[i] != T(0);
  return out;
}

}  // namespace

template <class T> Var<T> add(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return detail::add(a, b);
}
XTAPE_FOR_REALS(add);

template <class T> Var<T> subtract(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return record("subtract", zip("subtract", Binary::subtract, a, b),
                wrt(a, [](const Var<T>& g) { return g; }),
                wrt(b, [](const Var<T>& g) { return -g; }));
}
XTAPE_FOR_REALS(subtract);

template <class T> Var<T> multiply(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  Result<T> y = zip("multiply", Binary::multiply, a, b);
  if (!detail::recorded(a, b)) return unrecorded("multiply", std::move(y), a, b);
  return record("multiply", std::move(y), wrt(a, [b](const Var<T>& g) { return g * b; }),
                wrt(b, [a](const Var<T>& g) { return g * a; }));
}
XTAPE_FOR_REALS(multiply);

template <class T> Var<T> divide(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  Result<T> quotient = zip("divide", Binary::divide, a, b);
  if (!detail::recorded(a, b)) return unrecorded("divide", std::move(quotient), a, b);
  return record("divide", std::move(quotient), wrt(a, [b](const Var<T>& g) { return g / b; }),
                wrt(b, [b](const Var<T>& g, const Var<T>& y) { return -(g * y / b); }));
}
XTAPE_FOR_REALS(divide);

template <class T> Var<T> pow(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return record(
      "pow", zip("pow", Binary::power, a, b),
      wrt(a,
          [a, b](const Var<T>& g) {
            // 0 to the power of 0 is flat in a: 0 * pow(0, -1) would be NaN.
            const Var<T> one(T(1));
            const bool plain = !has_zero(a) || !has_zero(b);
            const Var<T> base =
                plain ? a : where(equal(b, Var<T>(T(0))), where(equal(a, Var<T>(T(0))), one, a), a);
            return g * b * pow(base, b - T(1));
          }),
      wrt(b, [a, b](const Var<T>& g, const Var<T>& y) {
        // log(0) would turn 0 * log(0) into NaN where the power is flat in b.
        const Array<bool> flat = equal(a, Var<T>(T(0)));
        return g * y * log(where(flat, Var<T>(T(1)), a));
      }));
}
template Var<float> pow(const Var<float>&, const Var<float>&);
template Var<double> pow(const Var<double>&, const Var<double>&);

template <class T> Var<T> pow(const Var<T>& x, double exponent) {
  return record("pow", detail::map(power<T>(exponent), x, {{exponent}}),
                wrt(x, [x, exponent](const Var<T>& g) {
                  if (exponent == 0) return g * T(0);
                  if (exponent == 2) return g * x * T(2);
                  return g * (pow(x, exponent - 1) * static_cast<T>(exponent));
                }));
}
template Var<float> pow(const Var<float>&, double);
template Var<double> pow(const Var<double>&, double);

template <class T> Var<T> maximum(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return record("maximum", zip("maximum", Binary::maximum, a, b),
                wrt(a, [a, b](const Var<T>& g) { return g * share(Binary::less, b, a); }),
                wrt(b, [a, b](const Var<T>& g) { return g * share(Binary::less, a, b); }));
}
template Var<float> maximum(const Var<float>&, const Var<float>&);
template Var<double> maximum(const Var<double>&, const Var<double>&);

template <class T> Var<T> minimum(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return record("minimum", zip("minimum", Binary::minimum, a, b),
                wrt(a, [a, b](const Var<T>& g) { return g * share(Binary::less, a, b); }),
                wrt(b, [a, b](const Var<T>& g) { return g * share(Binary::less, b, a); }));
}
template Var<float> minimum(const Var<float>&, const Var<float>&);
template Var<double> minimum(const Var<double>&, const Var<double>&);

namespace detail {

template <class T> Var<T> select(const Array<bool>& condition, const Var<T>& a, const Var<T>& b) {
  Shape shape = broadcast_shapes("where", a.shape(), b.shape());
  shape = broadcast_shapes("where", condition.shape(), shape);
  Result<T> y(shape);
  const auto loop = make_loop<4>(
      shape, {broadcast_strides(condition.shape(), shape), broadcast_strides(a.shape(), shape),
              broadcast_strides(b.shape(), shape), strides_of(shape)});
  parallel_for(loop, [&](const kernels::Loop<4>& part, const Index(&at)[4]) {
    kernels::select(part, condition.data() + at[0], a.data() + at[1], b.data() + at[2],
                    y.data() + at[3]);
  });
  return record("where", std::move(y),
                wrt(a, [condition](const Var<T>& g) { return where(condition, g, Var<T>(T(0))); }),
                wrt(b, [condition](const Var<T>& g) { return where(condition, Var<T>(T(0)), g); }));
}
XTAPE_FOR_REALS(select);

}  // namespace detail

template <class T> Var<T> clip(const Var<T>& x, double low, double high) {
  if (!(low <= high)) {
    detail::fail<ValueError>("clip", "limits out of order: low is ", low, ", high is ", high,
                             ", expected low <= high");
  }
  return detail::by_slopes("clip", "clip", x, {{low, high}});
}
XTAPE_FOR_REALS(clip);

XTAPE_UNARY_BY_SLOPES(abs);
XTAPE_UNARY(negate, return -g);
XTAPE_UNARY(square, return g * x * T(2));  // x * 2 may overflow where the product does not
XTAPE_UNARY_BY_RESULT(sqrt, return g * T(0.5) / y);
XTAPE_UNARY_BY_RESULT(rsqrt, return g * (y * y * y * T(-0.5)));
XTAPE_UNARY_BY_RESULT(exp, return g * y);
XTAPE_UNARY(expm1, return g * exp(x));
XTAPE_UNARY(log, return g / x);
XTAPE_UNARY(log1p, return g / (x + T(1)));
XTAPE_UNARY(sin, return g * cos(x));
XTAPE_UNARY(cos, return -(g * sin(x)));
XTAPE_UNARY_BY_RESULT(tanh, return g * (T(1) - y * y));
XTAPE_UNARY_BY_RESULT(sigmoid, return g * (y * (T(1) - y)));
XTAPE_UNARY(erf, return g * (exp(-square(x)) * T(1.12837916709551257390)));  // 2 / sqrt(pi)

#define XTAPE_COMPARISON(name)                                                                  \
  template <class T> Array<bool> name(const Var<T>& a, const std::type_identity_t<Var<T>>& b) { \
    return compare(#name, Binary::name, a, b);                                                  \
  }                                                                                             \
  template Array<bool> name(const Var<float>&, const Var<float>&);                              \
  template Array<bool> name(const Var<double>&, const Var<double>&)
XTAPE_COMPARISON(less);
XTAPE_COMPARISON(less_equal);
XTAPE_COMPARISON(equal);

}  // namespace xtape
