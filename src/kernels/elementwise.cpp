#include "kernels/elementwise.hpp"

#include <cmath>

namespace xtape::kernels {
namespace {

constexpr double kInvSqrt2 = 0.70710678118654752440;
constexpr double kInvSqrt2Pi = 0.39894228040143267794;
constexpr double kSqrt2OverPi = 0.79788456080286535588;
constexpr double kGeluCubic = 0.044715;

// Neither branch overflows: exp is taken of a negative number only.
template <class T>
T sigmoid(T x) {
  const T e = std::exp(-std::abs(x));
  return (x >= 0 ? T(1) : e) / (T(1) + e);
}
// log(1 + exp(x)); NaN passes.
template <class T>
T softplus(T x) {
  return (x > 0 ? x : (x == x ? T(0) : x)) + std::log1p(std::exp(-std::abs(x)));
}

template <class T>
struct TanhOfCubic {  // gelu's tanh approximation: t = tanh(u(x)), and u', u''
  T t, du, ddu;
  explicit TanhOfCubic(T x)
      : t(std::tanh(T(kSqrt2OverPi) * (x + T(kGeluCubic) * x * x * x))),
        du(T(kSqrt2OverPi) * (T(1) + T(3 * kGeluCubic) * x * x)),
        ddu(T(kSqrt2OverPi) * T(6 * kGeluCubic) * x) {}
};

template <class T>
T gauss(T x) {
  return T(kInvSqrt2Pi) * std::exp(T(-0.5) * x * x);
}
template <class T>
T gauss_cdf(T x) {
  return T(0.5) * std::erfc(-x * T(kInvSqrt2));
}

template <class T, class F>
void map(Index n, const T* x, T* y, F f) {
  for (Index i = 0; i < n; ++i) y[i] = f(x[i]);
}

}  // namespace

template <class T>
void unary(Unary op, Index n, const T* x, T* y, Parameters params) {
  const T p0 = static_cast<T>(params.p[0]);
  const T p1 = static_cast<T>(params.p[1]);
  const T p2 = static_cast<T>(params.p[2]);
  switch (op) {
    case Unary::negate: return map(n, x, y, [](T v) { return -v; });
    case Unary::abs: return map(n, x, y, [](T v) { return std::abs(v); });
    case Unary::sign:
      return map(n, x, y, [](T v) { return v > 0 ? T(1) : (v < 0 ? T(-1) : (v == 0 ? T(0) : v)); });
    case Unary::square: return map(n, x, y, [](T v) { return v * v; });
    case Unary::sqrt: return map(n, x, y, [](T v) { return std::sqrt(v); });
    case Unary::rsqrt: return map(n, x, y, [](T v) { return T(1) / std::sqrt(v); });
    case Unary::exp: return map(n, x, y, [](T v) { return std::exp(v); });
    case Unary::expm1: return map(n, x, y, [](T v) { return std::expm1(v); });
    case Unary::log: return map(n, x, y, [](T v) { return std::log(v); });
    case Unary::log1p: return map(n, x, y, [](T v) { return std::log1p(v); });
    case Unary::sin: return map(n, x, y, [](T v) { return std::sin(v); });
    case Unary::cos: return map(n, x, y, [](T v) { return std::cos(v); });
    case Unary::tanh: return map(n, x, y, [](T v) { return std::tanh(v); });
    case Unary::sigmoid: return map(n, x, y, [](T v) { return sigmoid(v); });
    case Unary::erf: return map(n, x, y, [](T v) { return std::erf(v); });
    case Unary::reciprocal: return map(n, x, y, [](T v) { return T(1) / v; });
    case Unary::relu:
      return map(n, x, y, [=](T v) {
        // Zero times minus infinity would be NaN.
        const T r = v >= p2 ? v : (v != v ? v : (p0 == 0 ? T(0) : p0 * (v - p2)));
        return r > p1 ? p1 : r;
      });
    case Unary::relu_slope:
      return map(n, x, y, [=](T v) { return v > p2 ? (v > p1 ? T(0) : T(1)) : p0; });
    case Unary::elu:
      return map(n, x, y, [=](T v) { return v > 0 ? p1 * v : p1 * p0 * std::expm1(v * p2); });
    case Unary::elu_slope:
      return map(n, x, y, [=](T v) { return v > 0 ? p1 : p1 * p0 * p2 * std::exp(v * p2); });
    case Unary::elu_slope2:
      return map(n, x, y, [=](T v) { return v > 0 ? T(0) : p1 * p0 * p2 * p2 * std::exp(v * p2); });
    case Unary::gelu: return map(n, x, y, [](T v) { return v * gauss_cdf(v); });
    case Unary::gelu_slope: return map(n, x, y, [](T v) { return gauss_cdf(v) + v * gauss(v); });
    case Unary::gelu_slope2: return map(n, x, y, [](T v) { return (T(2) - v * v) * gauss(v); });
    case Unary::gelu_tanh:
      return map(n, x, y, [](T v) { return T(0.5) * v * (T(1) + TanhOfCubic<T>(v).t); });
    case Unary::gelu_tanh_slope:
      return map(n, x, y, [](T v) {
        const TanhOfCubic<T> c(v);
        return T(0.5) * (T(1) + c.t) + T(0.5) * v * (T(1) - c.t * c.t) * c.du;
      });
    case Unary::gelu_tanh_slope2:
      return map(n, x, y, [](T v) {
        const TanhOfCubic<T> c(v);
        const T dt = (T(1) - c.t * c.t) * c.du;
        return dt + T(0.5) * v * ((T(1) - c.t * c.t) * c.ddu - T(2) * c.t * dt * c.du);
      });
    case Unary::silu: return map(n, x, y, [](T v) { return v * sigmoid(v); });
    case Unary::silu_slope:
      return map(n, x, y, [](T v) {
        const T s = sigmoid(v);
        return s * (T(1) + v * (T(1) - s));
      });
    case Unary::silu_slope2:
      return map(n, x, y, [](T v) {
        const T s = sigmoid(v);
        return s * (T(1) - s) * (T(2) + v * (T(1) - T(2) * s));
      });
    case Unary::softplus: return map(n, x, y, [](T v) { return softplus(v); });
    case Unary::softsign: return map(n, x, y, [](T v) { return v / (T(1) + std::abs(v)); });
    case Unary::softsign_slope:
      return map(n, x, y, [](T v) { return T(1) / ((T(1) + std::abs(v)) * (T(1) + std::abs(v))); });
    case Unary::softsign_slope2:
      return map(n, x, y, [](T v) {
        const T d = T(1) + std::abs(v);
        return (v > 0 ? T(-2) : (v < 0 ? T(2) : T(0))) / (d * d * d);
      });
    case Unary::mish: return map(n, x, y, [](T v) { return v * std::tanh(softplus(v)); });
    case Unary::mish_slope:
      return map(n, x, y, [](T v) {
        const T t = std::tanh(softplus(v));
        return t + v * (T(1) - t * t) * sigmoid(v);
      });
    case Unary::mish_slope2:
      return map(n, x, y, [](T v) {
        const T t = std::tanh(softplus(v));
        const T s = sigmoid(v);
        const T dt = (T(1) - t * t) * s;
        return T(2) * dt + v * dt * (T(1) - s - T(2) * t * s);
      });
    case Unary::squareplus:
      return map(n, x, y, [=](T v) { return T(0.5) * (v + std::sqrt(v * v + p0)); });
    case Unary::squareplus_slope:
      return map(n, x, y, [=](T v) { return T(0.5) * (T(1) + v / std::sqrt(v * v + p0)); });
    case Unary::squareplus_slope2:
      return map(n, x, y, [=](T v) {
        const T r = v * v + p0;
        return T(0.5) * p0 / (r * std::sqrt(r));
      });
    case Unary::sparse_plus:
      return map(n, x, y, [](T v) {
        return v >= 1 ? v : (v <= -1 ? T(0) : T(0.25) * (v + T(1)) * (v + T(1)));
      });
    case Unary::sparse_plus_slope:
      return map(n, x, y,
                 [](T v) { return v >= 1 ? T(1) : (v <= -1 ? T(0) : T(0.5) * (v + T(1))); });
    case Unary::sparse_plus_slope2:
      return map(n, x, y, [](T v) { return v >= 1 || v <= -1 ? T(0) : T(0.5); });
    case Unary::hard_sigmoid:
      return map(n, x, y, [=](T v) {
        const T r = v * p0 + p1;
        return r > 1 ? T(1) : (r < 0 ? T(0) : r);
      });
    case Unary::hard_sigmoid_slope:
      return map(n, x, y, [=](T v) {
        const T r = v * p0 + p1;
        return r > 1 || r < 0 ? T(0) : p0;
      });
    case Unary::hard_silu:
      return map(n, x, y,
                 [](T v) { return v >= 3 ? v : (v <= -3 ? T(0) : v * (v / T(6) + T(0.5))); });
    case Unary::hard_silu_slope:
      return map(n, x, y, [](T v) { return v >= 3 ? T(1) : (v <= -3 ? T(0) : v / T(3) + T(0.5)); });
    case Unary::hard_silu_slope2:
      return map(n, x, y, [](T v) { return v >= 3 || v <= -3 ? T(0) : T(1) / T(3); });
    case Unary::hard_shrink:
      return map(n, x, y, [=](T v) { return v <= p0 && v >= -p0 ? T(0) : v; });
    case Unary::hard_shrink_slope:
      return map(n, x, y, [=](T v) { return v <= p0 && v >= -p0 ? T(0) : T(1); });
    case Unary::soft_shrink:
      return map(n, x, y, [=](T v) { return v > p0 ? v - p0 : (v < -p0 ? v + p0 : v - v); });
    case Unary::threshold: return map(n, x, y, [=](T v) { return v <= p0 ? p1 : v; });
    case Unary::threshold_slope: return map(n, x, y, [=](T v) { return v <= p0 ? T(0) : T(1); });
    case Unary::clip: return map(n, x, y, [=](T v) { return v < p0 ? p0 : (v > p1 ? p1 : v); });
    case Unary::clip_slope:
      return map(n, x, y, [=](T v) { return v < p0 || v > p1 ? T(0) : T(1); });
    case Unary::power: return map(n, x, y, [=](T v) { return std::pow(v, p0); });
  }
}

namespace {

// The innermost loop, specialised for the strides that matter.
template <class T, class F>
void inner(Index n, const T* a, Index sa, const T* b, Index sb, T* y, Index sy, F f) {
  if (sy == 1 && sa == 1 && sb == 1) {
    for (Index i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (sy == 1 && sa == 1 && sb == 0) {
    const T c = *b;
    for (Index i = 0; i < n; ++i) y[i] = f(a[i], c);
  } else if (sy == 1 && sa == 0 && sb == 1) {
    const T c = *a;
    for (Index i = 0; i < n; ++i) y[i] = f(c, b[i]);
  } else {
    for (Index i = 0; i < n; ++i) y[i * sy] = f(a[i * sa], b[i * sb]);
  }
}

template <class T, class F>
void zip(const Loop<3>& loop, const T* a, const T* b, T* y, F f) {
  if (loop.rank == 0) {
    *y = f(*a, *b);
    return;
  }
  const Index* s = loop.stride[0];
  for_each_outer(loop, 1, [&](const Index(&at)[3]) {
    inner(loop.dim[0], a + at[0], s[0], b + at[1], s[1], y + at[2], s[2], f);
  });
}

}  // namespace

template <class T>
void binary(Binary op, const Loop<3>& loop, const T* a, const T* b, T* y) {
  switch (op) {
    case Binary::add: return zip(loop, a, b, y, [](T u, T v) { return u + v; });
    case Binary::subtract: return zip(loop, a, b, y, [](T u, T v) { return u - v; });
    case Binary::multiply: return zip(loop, a, b, y, [](T u, T v) { return u * v; });
    case Binary::divide: return zip(loop, a, b, y, [](T u, T v) { return u / v; });
    case Binary::power: return zip(loop, a, b, y, [](T u, T v) { return std::pow(u, v); });
    // NaN passes from either side, as in NumPy.
    case Binary::maximum:
      return zip(loop, a, b, y, [](T u, T v) { return u > v || u != u ? u : v; });
    case Binary::minimum:
      return zip(loop, a, b, y, [](T u, T v) { return u < v || u != u ? u : v; });
    case Binary::less: return zip(loop, a, b, y, [](T u, T v) { return T(u < v); });
    case Binary::less_equal: return zip(loop, a, b, y, [](T u, T v) { return T(u <= v); });
    case Binary::equal: return zip(loop, a, b, y, [](T u, T v) { return T(u == v); });
  }
}

template <class T>
void binary(Binary op, Index n, const T* a, const T* b, T* y) {
  Loop<3> loop;
  loop.push(n, {1, 1, 1});
  binary(op, loop, a, b, y);
}

template <class T>
void select(const Loop<4>& loop, const bool* condition, const T* a, const T* b, T* y) {
  if (loop.rank == 0) {
    *y = *condition ? *a : *b;
    return;
  }
  const Index* s = loop.stride[0];
  for_each_outer(loop, 1, [&](const Index(&at)[4]) {
    const bool* c = condition + at[0];
    const T* u = a + at[1];
    const T* v = b + at[2];
    T* w = y + at[3];
    for (Index i = 0; i < loop.dim[0]; ++i) w[i * s[3]] = c[i * s[0]] ? u[i * s[1]] : v[i * s[2]];
  });
}

template <class T>
void fill(Index n, T value, T* y) {
  for (Index i = 0; i < n; ++i) y[i] = value;
}

template <class T>
void add_to(Index n, const T* x, T* y) {
  for (Index i = 0; i < n; ++i) y[i] += x[i];
}

template <class T>
void scale(Index n, T factor, const T* x, T* y) {
  for (Index i = 0; i < n; ++i) y[i] = x[i] * factor;
}

template <class T>
Index first_non_finite(Index n, const T* x) {
  for (Index i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) return i;
  }
  return -1;
}

#define XTAPE_INSTANTIATE(T)                                                 \
  template void unary(Unary, Index, const T*, T*, Parameters);               \
  template void binary(Binary, const Loop<3>&, const T*, const T*, T*);      \
  template void binary(Binary, Index, const T*, const T*, T*);               \
  template void select(const Loop<4>&, const bool*, const T*, const T*, T*); \
  template void fill(Index, T, T*);                                          \
  template void add_to(Index, const T*, T*);                                 \
  template void scale(Index, T, const T*, T*);                               \
  template Index first_non_finite(Index, const T*);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::kernels
