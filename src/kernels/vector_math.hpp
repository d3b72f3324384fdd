#pragma once
// Elementary functions of vectors, accurate to a few units in the last place. They correct xsimd's for
// denormal numbers, infinities and NaN. For the sources of kernels only (see simd.hpp).

#include "kernels/lanes.hpp"

#include <cmath>
#include <limits>

namespace xtape::kernels {

/// Returns r with r[l] = f(x[l]).
template <class V, class F> [[gnu::always_inline]] inline V lane_by_lane(const V& x, F f) {
  alignas(64) typename V::value_type all[V::size];
  x.store_aligned(all);
  for (auto& v : all) v = f(v);
  return V::load_aligned(all);
}

template <class V> struct VectorMath {
  using T = typename V::value_type;
  static constexpr bool kFloat = sizeof(T) == 4;

  /// Returns exp(x), with 0 for denormal results.
  [[gnu::always_inline]] static inline V exp_flushed(const V& x) {
    return within(x, T(-745), T(710), V(T(0)), V(std::numeric_limits<T>::infinity()),
                  [](const V& v) { return xsimd::exp(v); });
  }

  [[gnu::always_inline]] static inline V exp(const V& x) {
    const V y = exp_flushed(x);
    // exp(x) is denormal in these lanes.
    const auto low = (x < V(kFloat ? T(-87.3) : T(-708.3))) & (x > V(kFloat ? T(-104) : T(-746)));
    if (__builtin_expect(xsimd::any(low), 0)) {
      return xsimd::select(low, lane_by_lane(x, [](T v) { return std::exp(v); }), y);
    }
    return y;
  }

  [[gnu::always_inline]] static inline V expm1(const V& x) {
    const V y = within(x, T(-745), T(710), V(T(-1)), V(std::numeric_limits<T>::infinity()),
                       [](const V& v) { return xsimd::expm1(v); });
    return xsimd::select(x == V(T(0)), x, y);
  }

  [[gnu::always_inline]] static inline V tanh(const V& x) {
    return within(x, T(-350), T(350), V(T(-1)), V(T(1)), [](const V& v) { return xsimd::tanh(v); });
  }

  [[gnu::always_inline]] static inline V log(const V& x) {
    const V y = xsimd::log(x);
    const auto denormal = (x < V(std::numeric_limits<T>::min())) & (x > V(T(0)));
    if (__builtin_expect(xsimd::any(denormal), 0)) {
      return xsimd::select(denormal, lane_by_lane(x, [](T v) { return std::log(v); }), y);
    }
    return y;
  }

  [[gnu::always_inline]] static inline V log1p(const V& x) {
    return xsimd::select(x == V(T(0)), x, xsimd::log1p(x));
  }

  /// Returns 1 / (1 + exp(-x)). Only exp(-|x|) is computed, which cannot overflow.
  [[gnu::always_inline]] static inline V sigmoid(const V& x) {
    const V e = exp(-xsimd::abs(x));
    return xsimd::select(x >= V(T(0)), V(T(1)), e) / (V(T(1)) + e);
  }

  /// Returns log(1 + exp(x)).
  [[gnu::always_inline]] static inline V softplus(const V& x) {
    return xsimd::select(x > V(T(0)), x, V(T(0))) + log1p(exp(-xsimd::abs(x)));
  }

  /// Returns erf(x). |x| is limited to 7, where erf is 1, so that x * x does not overflow.
  [[gnu::always_inline]] static inline V erf(const V& x) {
    const V seven(T(7));
    if constexpr (kFloat) {
      return xsimd::erf(xsimd::select(x > seven, seven, xsimd::select(x < -seven, -seven, x)));
    } else {
      return within(x, T(-7), T(7), V(T(-1)), V(T(1)), [](const V& v) { return xsimd::erf(v); });
    }
  }

  [[gnu::always_inline]] static inline V erfc(const V& x) {
    if constexpr (kFloat) {
      // xsimd computes exp(-x * x) from a rounded square. `lost` is the rounding error of the square.
      const V square = x * x;
      const V high = bits_as_truncated(x);
      const V low = x - high;
      const V lost = ((high * high - square) + V(T(2)) * high * low) + low * low;
      const V y = xsimd::erfc(x);
      const V far = xsimd::abs(x);
      const V repaired = xsimd::select((x > V(T(2.0 / 3.0))) & (far < V(T(11))), y - y * lost, y);
      return xsimd::select(x > V(T(11)), V(T(0)), repaired);
    } else {
      return lane_by_lane(x, [](T v) { return std::erfc(v); });
    }
  }

  /// Returns the distribution function of the standard normal distribution.
  [[gnu::always_inline]] static inline V gauss_cdf(const V& x) {
    return V(T(0.5)) * erfc(-x * V(T(0.70710678118654752440)));
  }
  /// Returns the density of the standard normal distribution.
  [[gnu::always_inline]] static inline V gauss(const V& x) {
    return V(T(0.39894228040143267794)) * exp(V(T(-0.5)) * x * x);
  }

 private:
  /// Returns f(x) for low < x < high, `below` for x <= low, `above` for x >= high, and NaN for NaN. xsimd
  /// casts some doubles to integers one by one, which is undefined behaviour outside the integers' range.
  template <class F>
  [[gnu::always_inline]] static inline V within(const V& x, T low, T high, const V& below,
                                                const V& above, F f) {
    if constexpr (kFloat) {
      return f(x);
    } else {
      const auto inside = (x > V(low)) & (x < V(high));
      const V y = f(xsimd::select(inside, x, V(T(0))));
      const V outside =
          xsimd::select(x >= V(high), above, xsimd::select(x <= V(low), below, x));  // or NaN
      return xsimd::select(inside, y, outside);
    }
  }

  /// Returns x with the lower half of its digits cleared, so that squares of the result are exact.
  [[gnu::always_inline]] static inline V bits_as_truncated(const V& x) {
    using U = typename Lanes<static_cast<int>(sizeof(V))>::U32;
    return V(bits_as<typename V::register_type>(U(bits_as<U>(x.data) & 0xFFFFF000U)));
  }
};

}  // namespace xtape::kernels
