#include <xtape/ops/elementwise.hpp>

#include "array/shapes.hpp"
#include "kernels/elementwise.hpp"
#include "ops/unary.hpp"

#include <xtape/ops/shape.hpp>

#include <algorithm>

namespace xtape {
namespace {

using kernels::Binary;
using kernels::Index;
using kernels::Unary;

template <class T>
Result<T> zip(const char* op, Binary kind, const Var<T>& a, const Var<T>& b) {
  if (a.shape() == b.shape()) {
    Result<T> y(a.shape());
    const T* u = a.data();
    const T* v = b.data();
    T* w = y.data();
    detail::parallel_for(static_cast<Index>(y.size()), [=](Index begin, Index end) {
      kernels::binary(kind, end - begin, u + begin, v + begin, w + begin);
    });
    return y;
  }
  const Shape shape = detail::broadcast_shapes(op, a.shape(), b.shape());
  Result<T> y(shape);
  const auto loop = detail::make_loop<3>(
      shape, {detail::broadcast_strides(a.shape(), shape),
              detail::broadcast_strides(b.shape(), shape), detail::strides_of(shape)});
  const T* u = a.data();
  const T* v = b.data();
  T* w = y.data();
  detail::parallel_for(loop, [=](const kernels::Loop<3>& part, const Index(&at)[3]) {
    kernels::binary(kind, part, u + at[0], v + at[1], w + at[2]);
  });
  return y;
}

// Weight of `a` in the gradient of max(a, b) or min(a, b): 1, 0, or a half where both are equal. A
// constant: its own derivative is zero almost everywhere.
template <class T>
Var<T> share(Binary smaller, const Var<T>& a, const Var<T>& b) {
  const Var<T> first(zip("maximum", smaller, a.detach(), b.detach()).pointer(), {});
  const Var<T> tie(zip("maximum", Binary::equal, a.detach(), b.detach()).pointer(), {});
  return first + tie * T(0.5);
}

template <class T>
Var<T> unrecorded(const char* op, Result<T> y, const Var<T>& a, const Var<T>& b) {
  return record(op, std::move(y), wrt(a, NoGradient{op}), wrt(b, NoGradient{op}));
}

template <class T>
bool has_zero(const Var<T>& x) {
  return std::find(x.data(), x.data() + x.size(), T(0)) != x.data() + x.size();
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

template <class T>
Var<T> add(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return detail::add(a, b);
}

template <class T>
Var<T> subtract(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return record("subtract", zip("subtract", Binary::subtract, a, b),
                wrt(a, [](const Var<T>& g) { return g; }),
                wrt(b, [](const Var<T>& g) { return -g; }));
}

template <class T>
Var<T> multiply(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  Result<T> y = zip("multiply", Binary::multiply, a, b);
  if (!detail::recorded(a, b)) return unrecorded("multiply", std::move(y), a, b);
  return record("multiply", std::move(y), wrt(a, [b](const Var<T>& g) { return g * b; }),
                wrt(b, [a](const Var<T>& g) { return g * a; }));
}

template <class T>
Var<T> divide(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  Result<T> quotient = zip("divide", Binary::divide, a, b);
  if (!detail::recorded(a, b)) return unrecorded("divide", std::move(quotient), a, b);
  return record("divide", std::move(quotient), wrt(a, [b](const Var<T>& g) { return g / b; }),
                wrt(b, [b](const Var<T>& g, const Var<T>& y) { return -(g * y / b); }));
}

template <class T>
Var<T> pow(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
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

template <class T>
Var<T> pow(const Var<T>& x, double exponent) {
  kernels::Parameters p{{exponent}};
  return record("pow", detail::map(Unary::power, x, p), wrt(x, [x, exponent](const Var<T>& g) {
                  if (exponent == 0) return g * T(0);
                  return g * (pow(x, exponent - 1) * static_cast<T>(exponent));
                }));
}

template <class T>
Var<T> maximum(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return record("maximum", zip("maximum", Binary::maximum, a, b),
                wrt(a, [a, b](const Var<T>& g) { return g * share(Binary::less, b, a); }),
                wrt(b, [a, b](const Var<T>& g) { return g * share(Binary::less, a, b); }));
}

template <class T>
Var<T> minimum(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return record("minimum", zip("minimum", Binary::minimum, a, b),
                wrt(a, [a, b](const Var<T>& g) { return g * share(Binary::less, a, b); }),
                wrt(b, [a, b](const Var<T>& g) { return g * share(Binary::less, b, a); }));
}

namespace detail {

template <class T>
Var<T> select(const Array<bool>& condition, const Var<T>& a, const Var<T>& b) {
  Shape shape = broadcast_shapes("where", a.shape(), b.shape());
  shape = broadcast_shapes("where", condition.shape(), shape);
  Result<T> y(shape);
  const auto loop = make_loop<4>(
      shape, {broadcast_strides(condition.shape(), shape), broadcast_strides(a.shape(), shape),
              broadcast_strides(b.shape(), shape), strides_of(shape)});
  const bool* c = condition.data();
  const T* u = a.data();
  const T* v = b.data();
  T* w = y.data();
  parallel_for(loop, [=](const kernels::Loop<4>& part, const Index(&at)[4]) {
    kernels::select(part, c + at[0], u + at[1], v + at[2], w + at[3]);
  });
  return record("where", std::move(y),
                wrt(a, [condition](const Var<T>& g) { return where(condition, g, Var<T>(T(0))); }),
                wrt(b, [condition](const Var<T>& g) { return where(condition, Var<T>(T(0)), g); }));
}

}  // namespace detail

template <class T>
Var<T> clip(const Var<T>& x, double low, double high) {
  if (!(low <= high)) {
    detail::fail<ValueError>("clip", "limits out of order: low is ", low, ", high is ", high,
                             ", expected low <= high");
  }
  return detail::piecewise("clip", Unary::clip, Unary::clip_slope, x, {{low, high}});
}

template <class T>
Var<T> negate(const Var<T>& x) {
  return record("negate", detail::map(Unary::negate, x),
                wrt(x, [](const Var<T>& g) { return -g; }));
}

template <class T>
Var<T> abs(const Var<T>& x) {
  return detail::piecewise("abs", Unary::abs, Unary::sign, x);
}

template <class T>
Var<T> square(const Var<T>& x) {
  return record("square", detail::map(Unary::square, x),
                wrt(x, [x](const Var<T>& g) { return g * (x * T(2)); }));
}

template <class T>
Var<T> sqrt(const Var<T>& x) {
  return record("sqrt", detail::map(Unary::sqrt, x),
                wrt(x, [](const Var<T>& g, const Var<T>& y) { return g * T(0.5) / y; }));
}

template <class T>
Var<T> rsqrt(const Var<T>& x) {
  return record("rsqrt", detail::map(Unary::rsqrt, x),
                wrt(x, [](const Var<T>& g, const Var<T>& y) { return g * (y * y * y * T(-0.5)); }));
}

template <class T>
Var<T> exp(const Var<T>& x) {
  return record("exp", detail::map(Unary::exp, x),
                wrt(x, [](const Var<T>& g, const Var<T>& y) { return g * y; }));
}

template <class T>
Var<T> expm1(const Var<T>& x) {
  return record("expm1", detail::map(Unary::expm1, x),
                wrt(x, [x](const Var<T>& g) { return g * exp(x); }));
}

template <class T>
Var<T> log(const Var<T>& x) {
  return record("log", detail::map(Unary::log, x), wrt(x, [x](const Var<T>& g) { return g / x; }));
}

template <class T>
Var<T> log1p(const Var<T>& x) {
  return record("log1p", detail::map(Unary::log1p, x),
                wrt(x, [x](const Var<T>& g) { return g / (x + T(1)); }));
}

template <class T>
Var<T> sin(const Var<T>& x) {
  return record("sin", detail::map(Unary::sin, x),
                wrt(x, [x](const Var<T>& g) { return g * cos(x); }));
}

template <class T>
Var<T> cos(const Var<T>& x) {
  return record("cos", detail::map(Unary::cos, x),
                wrt(x, [x](const Var<T>& g) { return -(g * sin(x)); }));
}

template <class T>
Var<T> tanh(const Var<T>& x) {
  return record("tanh", detail::map(Unary::tanh, x),
                wrt(x, [](const Var<T>& g, const Var<T>& y) { return g * (T(1) - y * y); }));
}

template <class T>
Var<T> sigmoid(const Var<T>& x) {
  return record("sigmoid", detail::map(Unary::sigmoid, x),
                wrt(x, [](const Var<T>& g, const Var<T>& y) { return g * (y * (T(1) - y)); }));
}

template <class T>
Var<T> erf(const Var<T>& x) {
  return record("erf", detail::map(Unary::erf, x), wrt(x, [x](const Var<T>& g) {
                  constexpr double kTwoOverSqrtPi = 1.12837916709551257390;
                  return g * (exp(-square(x)) * T(kTwoOverSqrtPi));
                }));
}

template <class T>
Array<bool> less(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return compare("less", Binary::less, a, b);
}
template <class T>
Array<bool> less_equal(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return compare("less_equal", Binary::less_equal, a, b);
}
template <class T>
Array<bool> equal(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return compare("equal", Binary::equal, a, b);
}

#define XTAPE_INSTANTIATE(T)                                                        \
  template Var<T> add(const Var<T>&, const Var<T>&);                                \
  template Var<T> subtract(const Var<T>&, const Var<T>&);                           \
  template Var<T> multiply(const Var<T>&, const Var<T>&);                           \
  template Var<T> divide(const Var<T>&, const Var<T>&);                             \
  template Var<T> pow(const Var<T>&, const Var<T>&);                                \
  template Var<T> pow(const Var<T>&, double);                                       \
  template Var<T> maximum(const Var<T>&, const Var<T>&);                            \
  template Var<T> minimum(const Var<T>&, const Var<T>&);                            \
  template Var<T> detail::select(const Array<bool>&, const Var<T>&, const Var<T>&); \
  template Var<T> clip(const Var<T>&, double, double);                              \
  template Var<T> negate(const Var<T>&);                                            \
  template Var<T> abs(const Var<T>&);                                               \
  template Var<T> square(const Var<T>&);                                            \
  template Var<T> sqrt(const Var<T>&);                                              \
  template Var<T> rsqrt(const Var<T>&);                                             \
  template Var<T> exp(const Var<T>&);                                               \
  template Var<T> expm1(const Var<T>&);                                             \
  template Var<T> log(const Var<T>&);                                               \
  template Var<T> log1p(const Var<T>&);                                             \
  template Var<T> sin(const Var<T>&);                                               \
  template Var<T> cos(const Var<T>&);                                               \
  template Var<T> tanh(const Var<T>&);                                              \
  template Var<T> sigmoid(const Var<T>&);                                           \
  template Var<T> erf(const Var<T>&);                                               \
  template Array<bool> less(const Var<T>&, const Var<T>&);                          \
  template Array<bool> less_equal(const Var<T>&, const Var<T>&);                    \
  template Array<bool> equal(const Var<T>&, const Var<T>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
