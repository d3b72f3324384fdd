#include "kernels/elementwise.hpp"
#include "kernels/vector_math.hpp"

#include <array>

namespace xtape::kernels {
namespace {

/// y = f(x), one vector at a time. The last, partial vector goes through the same instructions, so that no
/// element depends on where an array was cut.
template <class A, class T, class F> void map(Index n, const T* x, T* y, F f) {
  using V = Vec<T, A>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  Index i = 0;
  for (; i + kWidth <= n; i += kWidth) f(V::load_unaligned(x + i)).store_unaligned(y + i);
  if (i < n) store_first<T, A>(f(load_first<T, A>(x + i, n - i)), y + i, n - i);
}
/// map() with one copy of f, which is long.
template <class A, class T, class F> void map_long(Index n, const T* x, T* y, F f) {
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

/// t = tanh(u(x)) with gelu's cubic u, and u', u'', t'.
template <class V> struct TanhOfCubic {
  using T = typename V::value_type;
  static constexpr T kSqrt2OverPi = T(0.79788456080286535588);
  static constexpr double kCubic = 0.044715;
  // u' is limited far out, where t' is 0, so that their product is. The second operand of min() may be NaN.
  static constexpr T kFar = T(1e18);
  V t, du, ddu;
  explicit TanhOfCubic(const V& x)
      : t(VectorMath<V>::tanh(V(kSqrt2OverPi) * (x + V(T(kCubic)) * x * x * x))),
        du(V(kSqrt2OverPi) * (V(T(1)) + xsimd::min(V(kFar), V(T(3 * kCubic)) * x * x))),
        ddu(V(kSqrt2OverPi) * V(T(6 * kCubic)) * x) {}
  V dt() const { return (V(T(1)) - t * t) * du; }
};

/// t = tanh(softplus(x)), s = sigmoid(x), and t'.
template <class V> struct TanhOfSoftplus {
  V t, s;
  explicit TanhOfSoftplus(const V& x)
      : t(VectorMath<V>::tanh(VectorMath<V>::softplus(x))), s(VectorMath<V>::sigmoid(x)) {}
  V dt() const { return (V(typename V::value_type(1)) - t * t) * s; }
};

/// The k of formulas: constants and parameters as vectors, and functions.
template <class V> struct Terms : VectorMath<V> {
  using T = typename V::value_type;
  // The square of x, limited where each Gaussian is 0, so that their product is. The second operand of min() may be NaN.
  static V square_limited(const V& x) { return xsimd::min(V(T(1e18)), x * x); }
  V zero = of(0), one = of(1), two = of(2), half = of(0.5);
  V p0, p1, p2;
  bool p0_is_0;

  explicit Terms(const Parameters& p)
      : p0(of(p.p[0])), p1(of(p.p[1])), p2(of(p.p[2])), p0_is_0(static_cast<T>(p.p[0]) == T(0)) {}
  static V of(double value) { return V(static_cast<T>(value)); }
  static TanhOfCubic<V> tanh_of_cubic(const V& x) { return TanhOfCubic<V>(x); }
  static TanhOfSoftplus<V> tanh_of_softplus(const V& x) { return TanhOfSoftplus<V>(x); }
};

struct ScalarTerms {
  double p0;
};

template <class A, Loops L, class Formula, class T>
void run(Index n, const T* x, T* y, const Parameters& p) {
  if constexpr (L == Loops::scalar) {
    // The C library's functions of doubles are as good as exact for floats, whatever its version.
    const ScalarTerms k{static_cast<double>(static_cast<T>(p.p[0]))};
    for (Index i = 0; i < n; ++i) y[i] = static_cast<T>(Formula{}(static_cast<double>(x[i]), k));
  } else {
    const auto f = [k = Terms<Vec<T, A>>(p)](const Vec<T, A>& v) { return Formula{}(v, k); };
    L == Loops::arithmetic ? map<A>(n, x, y, f) : map_long<A>(n, x, y, f);
  }
}

template <class T> using Kernel = void (*)(Index, const T*, T*, const Parameters&);

/// Kernels of a row's formulas: function, slope, slope's slope.
template <class A, class T, Loops L, class... Formulas>
constexpr std::array<Kernel<T>, 3> kernels_of(const Row<L, Formulas...>&) {
  return {run<A, L, Formulas, T>...};
}

template <class A, class T>
constexpr auto kKernels = std::apply(
    [](const auto&... rows) { return std::array{kernels_of<A, T>(rows)...}; }, kFunctions);

}  // namespace

template <class T, class A>
void UnaryFunctions<T, A>::apply(Unary f, Index n, const T* x, T* y, const Parameters& p) {
  kKernels<A, T>[static_cast<std::size_t>(f.row)][static_cast<std::size_t>(f.order)](n, x, y, p);
}

template struct UnaryFunctions<float, XTAPE_ARCH>;
template struct UnaryFunctions<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
