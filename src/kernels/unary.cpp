#include "kernels/elementwise.hpp"
#include "kernels/vector_math.hpp"

namespace xtape::kernels {
namespace {

constexpr double kSqrt2OverPi = 0.79788456080286535588;
constexpr double kGeluCubic = 0.044715;

/// y = f(x), one vector at a time; what follows the last whole vector goes through the same
/// instructions, so that no element depends on where an array was cut.
template <class A, class T, class F>
void map(Index n, const T* x, T* y, F f) {
  using V = Vec<T, A>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  Index i = 0;
  for (; i + kWidth <= n; i += kWidth) f(V::load_unaligned(x + i)).store_unaligned(y + i);
  if (i < n) store_first<T, A>(f(load_first<T, A>(x + i, n - i)), y + i, n - i);
}
/// The same for long functions: one copy of f.
template <class A, class T, class F>
void map_long(Index n, const T* x, T* y, F f) {
  using V = Vec<T, A>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  for (Index i = 0; i < n; i += kWidth) {
    const bool whole = i + kWidth <= n;
    const V v = f(whole ? V::load_unaligned(x + i) : load_first<T, A>(x + i, n - i));
    if (whole) {
      v.store_unaligned(y + i);
    } else {
      store_first<T, A>(v, y + i, n - i);
    }
  }
}

template <class V>
struct TanhOfCubic {  // gelu's tanh approximation: t = tanh(u(x)), and u', u''
  using T = typename V::value_type;
  V t, du, ddu;
  explicit TanhOfCubic(const V& x)
      : t(VectorMath<V>::tanh(V(T(kSqrt2OverPi)) * (x + V(T(kGeluCubic)) * x * x * x))),
        du(V(T(kSqrt2OverPi)) * (V(T(1)) + V(T(3 * kGeluCubic)) * x * x)),
        ddu(V(T(kSqrt2OverPi)) * V(T(6 * kGeluCubic)) * x) {}
};

/// The functions that need no exponential or the like.
template <class A, class T>
bool simple(Unary op, Index n, const T* x, T* y, T s0, T s1, T s2) {
  using V = Vec<T, A>;
  using xsimd::select;
  const V p0(s0), p1(s1), p2(s2), zero(T(0)), one(T(1)), half(T(0.5));
  switch (op) {
    case Unary::negate: map<A>(n, x, y, [](V v) { return -v; }); return true;
    case Unary::abs: map<A>(n, x, y, [](V v) { return xsimd::abs(v); }); return true;
    case Unary::sign:
      map<A>(n, x, y, [=](V v) {
        return select(v > zero, one, select(v < zero, -one, select(v == zero, zero, v)));
      });
      return true;
    case Unary::square: map<A>(n, x, y, [](V v) { return v * v; }); return true;
    case Unary::sqrt: map<A>(n, x, y, [](V v) { return xsimd::sqrt(v); }); return true;
    case Unary::rsqrt: map<A>(n, x, y, [=](V v) { return one / xsimd::sqrt(v); }); return true;
    case Unary::reciprocal: map<A>(n, x, y, [=](V v) { return one / v; }); return true;
    case Unary::relu: {
      const bool flat = s0 == T(0);  // zero times minus infinity would be NaN
      map<A>(n, x, y, [=](V v) {
        const V r = select(v < p2, flat ? zero : p0 * (v - p2), v);
        return select(r > p1, p1, r);
      });
      return true;
    }
    case Unary::relu_slope:
      map<A>(n, x, y, [=](V v) { return select(v > p2, select(v > p1, zero, one), p0); });
      return true;
    case Unary::softsign:
      map<A>(n, x, y, [=](V v) { return v / (one + xsimd::abs(v)); });
      return true;
    case Unary::softsign_slope:
      map<A>(n, x, y, [=](V v) {
        const V d = one + xsimd::abs(v);
        return one / (d * d);
      });
      return true;
    case Unary::softsign_slope2:
      map<A>(n, x, y, [=](V v) {
        const V d = one + xsimd::abs(v);
        return select(v > zero, V(T(-2)), select(v < zero, V(T(2)), zero)) / (d * d * d);
      });
      return true;
    case Unary::squareplus:
      map<A>(n, x, y, [=](V v) { return half * (v + xsimd::sqrt(v * v + p0)); });
      return true;
    case Unary::squareplus_slope:
      map<A>(n, x, y, [=](V v) { return half * (one + v / xsimd::sqrt(v * v + p0)); });
      return true;
    case Unary::squareplus_slope2:
      map<A>(n, x, y, [=](V v) {
        const V r = v * v + p0;
        return half * p0 / (r * xsimd::sqrt(r));
      });
      return true;
    case Unary::sparse_plus:
      map<A>(n, x, y, [=](V v) {
        const V middle = V(T(0.25)) * (v + one) * (v + one);
        return select(v >= one, v, select(v <= -one, zero, middle));
      });
      return true;
    case Unary::sparse_plus_slope:
      map<A>(n, x, y,
             [=](V v) { return select(v >= one, one, select(v <= -one, zero, half * (v + one))); });
      return true;
    case Unary::sparse_plus_slope2:
      map<A>(n, x, y, [=](V v) { return select((v >= one) | (v <= -one), zero, half); });
      return true;
    case Unary::hard_sigmoid:
      map<A>(n, x, y, [=](V v) {
        const V r = v * p0 + p1;
        return select(r > one, one, select(r < zero, zero, r));
      });
      return true;
    case Unary::hard_sigmoid_slope:
      map<A>(n, x, y, [=](V v) {
        const V r = v * p0 + p1;
        return select((r > one) | (r < zero), zero, p0);
      });
      return true;
    case Unary::hard_silu:
      map<A>(n, x, y, [=](V v) {
        return select(v >= V(T(3)), v, select(v <= V(T(-3)), zero, v * (v / V(T(6)) + half)));
      });
      return true;
    case Unary::hard_silu_slope:
      map<A>(n, x, y, [=](V v) {
        return select(v >= V(T(3)), one, select(v <= V(T(-3)), zero, v / V(T(3)) + half));
      });
      return true;
    case Unary::hard_silu_slope2:
      map<A>(n, x, y,
             [=](V v) { return select((v >= V(T(3))) | (v <= V(T(-3))), zero, V(T(1) / T(3))); });
      return true;
    case Unary::hard_shrink:
      map<A>(n, x, y, [=](V v) { return select((v <= p0) & (v >= -p0), zero, v); });
      return true;
    case Unary::hard_shrink_slope:
      map<A>(n, x, y, [=](V v) { return select((v <= p0) & (v >= -p0), zero, one); });
      return true;
    case Unary::soft_shrink:
      map<A>(n, x, y, [=](V v) { return select(v > p0, v - p0, select(v < -p0, v + p0, v - v)); });
      return true;
    case Unary::threshold:
      map<A>(n, x, y, [=](V v) { return select(v <= p0, p1, v); });
      return true;
    case Unary::threshold_slope:
      map<A>(n, x, y, [=](V v) { return select(v <= p0, zero, one); });
      return true;
    case Unary::clip:
      map<A>(n, x, y, [=](V v) { return select(v < p0, p0, select(v > p1, p1, v)); });
      return true;
    case Unary::clip_slope:
      map<A>(n, x, y, [=](V v) { return select((v < p0) | (v > p1), zero, one); });
      return true;
    case Unary::power:
      if (s0 == T(1)) {
        map<A>(n, x, y, [](V v) { return v; });
      } else if (s0 == T(2)) {
        map<A>(n, x, y, [](V v) { return v * v; });
      } else if (s0 == T(3)) {
        map<A>(n, x, y, [](V v) { return v * v * v; });
      } else if (s0 == T(-1)) {
        map<A>(n, x, y, [=](V v) { return one / v; });
      } else {
        for (Index i = 0; i < n; ++i) y[i] = std::pow(x[i], s0);
      }
      return true;
    default: return false;
  }
}

}  // namespace

template <class T, class A>
void Elementwise<T, A>::unary(Unary op, Index n, const T* x, T* y, const Parameters& params) {
  using V = Vec<T, A>;
  using M = VectorMath<V>;
  using xsimd::select;
  const T s0 = static_cast<T>(params.p[0]);
  const T s1 = static_cast<T>(params.p[1]);
  const T s2 = static_cast<T>(params.p[2]);
  if (simple<A>(op, n, x, y, s0, s1, s2)) return;
  const V p0(s0), p1(s1), p2(s2), zero(T(0)), one(T(1)), two(T(2)), half(T(0.5));
  switch (op) {
    case Unary::exp: return map_long<A>(n, x, y, [](V v) { return M::exp(v); });
    case Unary::expm1: return map_long<A>(n, x, y, [](V v) { return M::expm1(v); });
    case Unary::log: return map_long<A>(n, x, y, [](V v) { return M::log(v); });
    case Unary::log1p: return map_long<A>(n, x, y, [](V v) { return M::log1p(v); });
    // xsimd reduces large angles in functions that have the same name for every instruction set.
    case Unary::sin:
      for (Index i = 0; i < n; ++i) y[i] = std::sin(x[i]);
      return;
    case Unary::cos:
      for (Index i = 0; i < n; ++i) y[i] = std::cos(x[i]);
      return;
    case Unary::tanh: return map_long<A>(n, x, y, [](V v) { return M::tanh(v); });
    case Unary::sigmoid: return map_long<A>(n, x, y, [](V v) { return M::sigmoid(v); });
    case Unary::erf: return map_long<A>(n, x, y, [](V v) { return M::erf(v); });
    case Unary::elu:
      return map_long<A>(n, x, y,
                         [=](V v) { return select(v > zero, p1 * v, p1 * p0 * M::expm1(v * p2)); });
    case Unary::elu_slope:
      return map_long<A>(n, x, y,
                         [=](V v) { return select(v > zero, p1, p1 * p0 * p2 * M::exp(v * p2)); });
    case Unary::elu_slope2:
      return map_long<A>(
          n, x, y, [=](V v) { return select(v > zero, zero, p1 * p0 * p2 * p2 * M::exp(v * p2)); });
    case Unary::gelu: return map_long<A>(n, x, y, [](V v) { return v * M::gauss_cdf(v); });
    case Unary::gelu_slope:
      return map_long<A>(n, x, y, [](V v) { return M::gauss_cdf(v) + v * M::gauss(v); });
    case Unary::gelu_slope2:
      return map_long<A>(n, x, y, [=](V v) { return (two - v * v) * M::gauss(v); });
    case Unary::gelu_tanh:
      return map_long<A>(n, x, y, [=](V v) { return half * v * (one + TanhOfCubic<V>(v).t); });
    case Unary::gelu_tanh_slope:
      return map_long<A>(n, x, y, [=](V v) {
        const TanhOfCubic<V> c(v);
        return half * (one + c.t) + half * v * (one - c.t * c.t) * c.du;
      });
    case Unary::gelu_tanh_slope2:
      return map_long<A>(n, x, y, [=](V v) {
        const TanhOfCubic<V> c(v);
        const V dt = (one - c.t * c.t) * c.du;
        return dt + half * v * ((one - c.t * c.t) * c.ddu - two * c.t * dt * c.du);
      });
    case Unary::silu: return map_long<A>(n, x, y, [](V v) { return v * M::sigmoid(v); });
    case Unary::silu_slope:
      return map_long<A>(n, x, y, [=](V v) {
        const V s = M::sigmoid(v);
        return s * (one + v * (one - s));
      });
    case Unary::silu_slope2:
      return map_long<A>(n, x, y, [=](V v) {
        const V s = M::sigmoid(v);
        return s * (one - s) * (two + v * (one - two * s));
      });
    case Unary::softplus: return map_long<A>(n, x, y, [](V v) { return M::softplus(v); });
    case Unary::mish: return map_long<A>(n, x, y, [](V v) { return v * M::tanh(M::softplus(v)); });
    case Unary::mish_slope:
      return map_long<A>(n, x, y, [=](V v) {
        const V t = M::tanh(M::softplus(v));
        return t + v * (one - t * t) * M::sigmoid(v);
      });
    case Unary::mish_slope2:
      return map_long<A>(n, x, y, [=](V v) {
        const V t = M::tanh(M::softplus(v));
        const V s = M::sigmoid(v);
        const V dt = (one - t * t) * s;
        return two * dt + v * dt * (one - s - two * t * s);
      });
    default: return;  // simple
  }
}

template void Elementwise<float, XTAPE_ARCH>::unary(Unary, Index, const float*, float*,
                                                    const Parameters&);
template void Elementwise<double, XTAPE_ARCH>::unary(Unary, Index, const double*, double*,
                                                     const Parameters&);

}  // namespace xtape::kernels
