#pragma once
// Elementary functions of vectors, accurate to a few units in the last place. Their polynomials are written
// with fused multiply-adds, so every instruction set that has them gives the same bits (docs/arithmetic.md). The
// coefficients come from Remez's algorithm. For the sources of kernels only (see simd.hpp).

#include "kernels/lanes.hpp"

#include <limits>

namespace xtape::kernels {

template <class V> struct VectorMath {
  using T = typename V::value_type;
  static constexpr bool kFloat = sizeof(T) == 4;

  /// Returns exp(x), with 0 for denormal results.
  [[gnu::always_inline]] static inline V exp_flushed(const V& x) {
    const Reduced p = reduce(x);
    const V y = of(bits(V(T(1)) + minus_1(p.r)) + (bits(p.shifted) << kDigits));
    return xsimd::select(x < V(kLowest), V(T(0)), or_infinite(x, y));
  }

  [[gnu::always_inline]] static inline V exp(const V& x) {
    // Denormal results are computed 2^64 times as large.
    const auto low = x < V(kLowest);
    const Reduced p = reduce(x);
    const U power = bits(p.shifted + xsimd::select(low, V(T(64)), V(T(0)))) << kDigits;
    const V y =
        of(bits(V(T(1)) + minus_1(p.r)) + power) * xsimd::select(low, V(T(0x1p-64)), V(T(1)));
    return xsimd::select(x < V(kFloat ? T(-104) : T(-746)), V(T(0)), or_infinite(x, y));
  }

  [[gnu::always_inline]] static inline V expm1(const V& x) {
    const V y = or_infinite(x, expm1_limited(x));
    return xsimd::select(xsimd::abs(x) < V(kFloat ? T(0x1p-40) : T(0x1p-80)), x, y);
  }

  /// Returns e / (e + 2) for e = expm1(-2 |x|), with the sign of x.
  [[gnu::always_inline]] static inline V tanh(const V& x) {
    const V e = expm1_limited(V(T(-2)) * xsimd::abs(x));
    return with_sign_of(x, e / (e + V(T(2))));
  }

  [[gnu::always_inline]] static inline V log(const V& x) {
    const auto denormal = x < V(std::numeric_limits<T>::min());
    const V u = xsimd::select(denormal, x * V(kTwoToDigits), x);
    const V y = log_of_sum<false>(u, xsimd::select(denormal, V(T(kDigits)), V(T(0))));
    return where_log_is_finite(x, x, y);
  }

  [[gnu::always_inline]] static inline V log1p(const V& x) {
    const V u = V(T(1)) + x;
    const V y = where_log_is_finite(u, x, log_of_sum<true>(u, x - (u - V(T(1)))));
    return xsimd::select(x == V(T(0)), x, y);
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

  [[gnu::always_inline]] static inline V erf(const V& x) {
    const V a = xsimd::abs(x);
    V ratio;  // erf(x) / x for |x| < 1
    if constexpr (kFloat) {
      ratio = polynomial(x * x, 1.128379107e+00F, -3.761262596e-01F, 1.128358543e-01F,
                         -2.685381286e-02F, 5.188327748e-03F, -8.010193123e-04F, 7.853860006e-05F);
    } else {
      ratio =
          polynomial(x * x, 1.12837916709551256e+00, -3.76126389031837483e-01,
                     1.12837916709548569e-01, -2.68661706450728892e-02, 5.22397762478081246e-03,
                     -8.54832697873955378e-04, 1.20553310368137274e-04, -1.49255935050052536e-05,
                     1.64609727888665003e-06, -1.63500249407878265e-07, 1.46578780342154298e-08,
                     -1.13656592482371797e-09, 5.94525077917029962e-11);
    }
    const V far = with_sign_of(x, V(T(1)) - erfc_of_positive(a));
    return xsimd::select(a < V(T(1)), x * ratio, far);
  }

  [[gnu::always_inline]] static inline V erfc(const V& x) {
    const V y = erfc_of_positive(xsimd::abs(x));
    return xsimd::select(x < V(T(0)), V(T(2)) - y, y);
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
  using Words = Lanes<static_cast<int>(sizeof(V))>;
  using U = std::conditional_t<kFloat, typename Words::U32, typename Words::U64>;
  using Word = std::conditional_t<kFloat, std::uint32_t, std::uint64_t>;
  static constexpr int kDigits = kFloat ? 23 : 52;  // of the fraction
  static constexpr Word kBias = kFloat ? 127 : 1023;
  static constexpr Word kSign = Word{1} << (8 * sizeof(T) - 1);
  static constexpr Word kFraction = (Word{1} << kDigits) - 1;
  static constexpr T kTwoToDigits = kFloat ? T(0x1p23) : T(0x1p52);
  static constexpr T kInfinity = std::numeric_limits<T>::infinity();
  // exp(x) is normal between these.
  static constexpr T kLowest = kFloat ? T(-87.33654F) : T(-708.396418532264);
  static constexpr T kHighest = kFloat ? T(88.72283F) : T(709.782712893383973096);
  // log(2), rounded, and the rest.
#if defined(__FMA__) || defined(__aarch64__)
  static constexpr T kLog2 = kFloat ? T(0x1.62e43p-1F) : T(0x1.62e42fefa39efp-1);
  static constexpr T kLog2Rest = kFloat ? T(-0x1.05c610p-29F) : T(0x1.abc9e3b39803fp-56);
#else
  // Without fused multiply-adds, products of n with fewer digits are exact.
  static constexpr T kLog2 = kFloat ? T(0x1.62e4p-1F) : T(0x1.62e42feep-1);
  static constexpr T kLog2Rest = kFloat ? T(0x1.7f7d1cp-20F) : T(0x1.a39ef35793c76p-33);
#endif

  [[gnu::always_inline]] static inline U bits(const V& x) { return bits_as<U>(x.data); }
  [[gnu::always_inline]] static inline V of(const U& x) {
    return V(bits_as<typename V::register_type>(x));
  }
  [[gnu::always_inline]] static inline V with_sign_of(const V& x, const V& size) {
    return of((bits(size) & ~kSign) | (bits(x) & kSign));
  }

  /// Returns first + x (second + x (...)).
  [[gnu::always_inline]] static inline V polynomial(const V&, T last) { return V(last); }
  template <class... More>
  [[gnu::always_inline]] static inline V polynomial(const V& x, T first, More... more) {
    return xsimd::fma(polynomial(x, more...), x, V(first));
  }

  /// x = n log(2) + r with |r| <= log(2) / 2. The last bits of `shifted` are those of the integer n.
  struct Reduced {
    V shifted, r;
  };
  [[gnu::always_inline]] static inline Reduced reduce(const V& x) {
    const V shift(T(1.5) * kTwoToDigits);
    const V shifted = xsimd::fma(x, V(T(1.44269504088896340736)), shift);
    const V n = shifted - shift;
    return {shifted, xsimd::fnma(n, V(kLog2Rest), xsimd::fnma(n, V(kLog2), x))};
  }
  /// Returns exp(r) - 1 for |r| <= log(2) / 2.
  [[gnu::always_inline]] static inline V minus_1(const V& r) {
    V p;
    if constexpr (kFloat) {
      p = polynomial(r, 4.999999702e-01F, 1.666654348e-01F, 4.166720062e-02F, 8.366547525e-03F,
                     1.388251781e-03F);
    } else {
      p = polynomial(r, 5.00000000000000555e-01, 1.66666666666665880e-01, 4.16666666665764657e-02,
                     8.33333333338972908e-03, 1.38888889316671118e-03, 1.98412697187159970e-04,
                     2.48015051427115838e-05, 2.75574076829932430e-06, 2.76260928220654351e-07,
                     2.50537763086367950e-08);
    }
    return xsimd::fma(r * r, p, r);
  }
  /// Returns y, but infinity where exp(x) overflows and NaN where x is NaN.
  [[gnu::always_inline]] static inline V or_infinite(const V& x, const V& y) {
    return xsimd::select(x <= V(kHighest), y, x + V(kInfinity));
  }
  /// Returns exp(x) - 1 for x that do not overflow.
  [[gnu::always_inline]] static inline V expm1_limited(const V& x) {
    const V low(kFloat ? T(-20) : T(-40));
    const Reduced p = reduce(xsimd::select(x < low, low, x));
    const V half_power = of((bits(p.shifted) << kDigits) + ((kBias - 1) << kDigits));
    const V half = xsimd::fma(half_power, minus_1(p.r), half_power - V(T(0.5)));
    return half + half;
  }

  /// Returns log(u) - k log(2), or log(u + rest) if there is a rest, much smaller than u. u is normal.
  template <bool Rest>
  [[gnu::always_inline]] static inline V log_of_sum(const V& u, const V& k_or_rest) {
    // u = 2^k (1 + f), 1 + f between the roots of 1/2 and 2.
    constexpr Word kOne = kBias << kDigits;
    constexpr Word kRoot = kFloat ? Word{0x3F3504F3} : static_cast<Word>(0x3FE6A09E667F3BCDULL);
    const U moved = bits(u) + (kOne - kRoot);
    const U exponent = moved >> kDigits;
    V k = of(exponent | ((kBias + kDigits) << kDigits)) - V(kTwoToDigits + static_cast<T>(kBias));
    V f = of((moved & kFraction) + kRoot) - V(T(1));
    if constexpr (Rest) {
      f = xsimd::fma(V(T(0.5)) * k_or_rest, of((2 * kBias + 1 - exponent) << kDigits), f);
    } else {
      k = k - k_or_rest;
    }
    // log(1 + f) = 2 artanh(s).
    const V s = f / (V(T(2)) + f);
    const V z = s * s;
    V p;
    if constexpr (kFloat) {
      p = polynomial(z, 6.666666269e-01F, 4.000033736e-01F, 2.853723764e-01F, 2.358356863e-01F);
    } else {
      p = polynomial(z, 6.66666666666673513e-01, 3.99999999994110900e-01, 2.85714287432629666e-01,
                     2.22221984759588487e-01, 1.81835697411200481e-01, 1.53139032156990207e-01,
                     1.47975079955722899e-01);
    }
    const V half_square = V(T(0.5)) * f * f;
    const V small = xsimd::fma(s, xsimd::fma(z, p, half_square), k * V(kLog2Rest));
    return xsimd::fma(k, V(kLog2), f - (half_square - small));
  }
  /// Returns y where u > 0, -infinity where u is 0, NaN where it is less, and x where x is infinite or NaN.
  [[gnu::always_inline]] static inline V where_log_is_finite(const V& u, const V& x, const V& y) {
    const V nan(std::numeric_limits<T>::quiet_NaN());
    const V low = xsimd::select(u == V(T(0)), V(-kInfinity), nan);
    return xsimd::select(x < V(kInfinity), xsimd::select(u > V(T(0)), y, low), x);
  }

  /// Returns erfc(a) = exp(-a^2) p(q) / (1 + 2 a), where q = (a - c) / (a + c) for a constant c.
  [[gnu::always_inline]] static inline V erfc_of_positive(const V& x) {
    const V limit(kFloat ? T(10.5) : T(27.4));
    const V a = xsimd::select(x > limit, limit, x);
    const V middle(kFloat ? T(2) : T(4));
    const V q = (a - middle) / (a + middle);
    V p;
    if constexpr (kFloat) {
      p = polynomial(q, 1.276978374e+00F, -9.276400506e-02F, -1.660316139e-01F, 1.640557349e-01F,
                     -5.420219526e-02F, -8.061116561e-03F, 8.623781614e-03F, 1.312291366e-03F,
                     -1.220492180e-03F, -3.950053651e-04F);
    } else {
      p = polynomial(q, 1.23299511862555256e+00, -1.39621116840562859e-01, 1.53796521026200363e-02,
                     6.80970542547344460e-02, -1.01039066036317335e-01, 9.37328349968877816e-02,
                     -6.63303658121856266e-02, 3.71675155610445979e-02, -1.61977340529463540e-02,
                     5.03196976846788900e-03, -7.57773373769680026e-04, -1.99255573644444814e-04,
                     1.50622342146851103e-04, -2.44029523243774661e-05, -1.12249548924896862e-05,
                     5.71744352142685325e-06, 3.01472617946280568e-07, -8.34617499791641941e-07,
                     6.27407002241703560e-08, 1.14987756658609090e-07, -7.82198127900510172e-09,
                     -1.35730960444857363e-08, -1.77625950478364387e-09);
    }
    const V square = a * a;
    const V e = exp(-square);
    const V corrected = xsimd::fnma(e, xsimd::fms(a, a, square), e);  // for the square's rounding
    return corrected * p / xsimd::fma(V(T(2)), a, V(T(1)));
  }
};

}  // namespace xtape::kernels
