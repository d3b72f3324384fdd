#pragma once
// The table of functions of one number. A row holds a name, the function, its slope and the slope's slope.
// unary.cpp makes kernels from the rows for each instruction set; operations name a row (ops/unary.hpp).
// Only kernels instantiate the formulas. To other sources the table is a list of names.

#include <cmath>
#include <cstdint>
#include <string_view>
#include <tuple>

namespace xtape::kernels {

/// How formulas become loops.
enum class Loops {
  arithmetic,      // few instructions: one copy for whole vectors, one for the rest
  transcendental,  // many instructions: one copy
  scalar,          // element by element
};

template <Loops L, class... Formulas> struct Row {
  static constexpr std::uint8_t formulas = sizeof...(Formulas);
  std::string_view name;
};

template <class... F>
constexpr Row<Loops::arithmetic, F...> arithmetic(std::string_view name, F...) {
  return {name};
}
template <class... F>
constexpr Row<Loops::transcendental, F...> transcendental(std::string_view name, F...) {
  return {name};
}
template <class... F> constexpr Row<Loops::scalar, F...> scalar(std::string_view name, F...) {
  return {name};
}

// F is a formula of x, and LET is one with a name for a part of it. k (Terms in unary.cpp) holds the
// functions of VectorMath, constants, and the call's parameters p0, p1 and p2.
#define XTAPE_FORMULA []([[maybe_unused]] const auto& x, [[maybe_unused]] const auto& k)
#define F(...) \
  XTAPE_FORMULA { return __VA_ARGS__; }
#define LET(name, value, ...) \
  XTAPE_FORMULA {             \
    const auto name = value;  \
    return __VA_ARGS__;       \
  }

// clang-format off
inline constexpr std::tuple kFunctions(
    arithmetic("identity", F(x)),
    arithmetic("negate", F(k.of(-1) * x)),  // -x is 0 - x in xsimd with AVX-512
    arithmetic("abs", F(abs(x)),
               F(select(x > k.zero, k.one, select(x < k.zero, -k.one, select(x == k.zero, k.zero, x))))),
    arithmetic("square", F(x * x)),
    arithmetic("cube", F(x * x * x)),
    arithmetic("reciprocal", F(k.one / x)),
    scalar("power", F(std::pow(x, k.p0))),
    arithmetic("sqrt", F(sqrt(x))),
    arithmetic("rsqrt", F(k.one / sqrt(x))),
    transcendental("exp", F(k.exp(x))),
    transcendental("expm1", F(k.expm1(x))),
    transcendental("log", F(k.log(x))),
    transcendental("log1p", F(k.log1p(x))),
    // xsimd reduces large angles in functions that have one name for all instruction sets.
    scalar("sin", F(std::sin(x))),
    scalar("cos", F(std::cos(x))),
    transcendental("tanh", F(k.tanh(x))),
    transcendental("sigmoid", F(k.sigmoid(x))),
    transcendental("erf", F(k.erf(x))),
    // p0: slope below the threshold, p1: maximum, p2: threshold. 0 * -infinity would be NaN.
    arithmetic("relu",
               LET(r, select(x < k.p2, k.p0_is_0 ? k.zero : k.p0 * (x - k.p2), x), select(r > k.p1, k.p1, r)),
               F(select(x > k.p2, select(x > k.p1, k.zero, k.one), k.p0))),
    // p0: alpha, p1: scale of the result, p2: scale inside exp
    transcendental("elu",
                   F(select(x > k.zero, k.p1 * x, k.p1 * k.p0 * k.expm1(x * k.p2))),
                   F(select(x > k.zero, k.p1, k.p1 * k.p0 * k.p2 * k.exp(x * k.p2))),
                   F(select(x > k.zero, k.zero, k.p1 * k.p0 * k.p2 * k.p2 * k.exp(x * k.p2)))),
    transcendental("gelu",
                   F(x * k.gauss_cdf(x)),
                   F(k.gauss_cdf(x) + x * k.gauss(x)),
                   F((k.two - k.square_limited(x)) * k.gauss(x))),
    transcendental("gelu_tanh",
                   F(k.half * x * (k.one + k.tanh_of_cubic(x).t)),
                   LET(c, k.tanh_of_cubic(x),
                       k.half * (k.one + c.t) + k.half * x * (k.one - c.t * c.t) * c.du),
                   LET(c, k.tanh_of_cubic(x),
                       c.dt() + k.half * x * ((k.one - c.t * c.t) * c.ddu - k.two * c.t * c.dt() * c.du))),
    transcendental("silu",
                   F(x * k.sigmoid(x)),
                   LET(s, k.sigmoid(x), s * (k.one + x * (k.one - s))),
                   LET(s, k.sigmoid(x), s * (k.one - s) * (k.two + x * (k.one - k.two * s)))),
    transcendental("softplus", F(k.softplus(x))),
    arithmetic("softsign",
               F(x / (k.one + abs(x))),
               LET(d, k.one + abs(x), k.one / (d * d)),
               LET(d, k.one + abs(x), select(x > k.zero, k.of(-2), select(x < k.zero, k.two, k.zero)) / (d * d * d))),
    transcendental("mish",
                   F(x * k.tanh(k.softplus(x))),
                   LET(t, k.tanh(k.softplus(x)), t + x * (k.one - t * t) * k.sigmoid(x)),
                   LET(m, k.tanh_of_softplus(x),
                       k.two * m.dt() + x * m.dt() * (k.one - m.s - k.two * m.t * m.s))),
    arithmetic("squareplus",  // p0: b
               F(k.half * (x + sqrt(x * x + k.p0))),
               F(k.half * (k.one + x / sqrt(x * x + k.p0))),
               LET(r, x * x + k.p0, k.half * k.p0 / (r * sqrt(r)))),
    arithmetic("sparse_plus",
               F(select(x >= k.one, x, select(x <= -k.one, k.zero, k.of(0.25) * (x + k.one) * (x + k.one)))),
               F(select(x >= k.one, k.one, select(x <= -k.one, k.zero, k.half * (x + k.one)))),
               F(select((x >= k.one) | (x <= -k.one), k.zero, k.half))),
    arithmetic("hard_sigmoid",  // p0: slope, p1: value at 0
               LET(r, x * k.p0 + k.p1, select(r > k.one, k.one, select(r < k.zero, k.zero, r))),
               LET(r, x * k.p0 + k.p1, select((r > k.one) | (r < k.zero), k.zero, k.p0))),
    arithmetic("hard_silu",
               F(select(x >= k.of(3), x, select(x <= k.of(-3), k.zero, x * (x / k.of(6) + k.half)))),
               F(select(x >= k.of(3), k.one, select(x <= k.of(-3), k.zero, x / k.of(3) + k.half))),
               F(select((x >= k.of(3)) | (x <= k.of(-3)), k.zero, k.of(1.0 / 3)))),
    arithmetic("hard_shrink",  // p0: threshold
               F(select((x <= k.p0) & (x >= -k.p0), k.zero, x)),
               F(select((x <= k.p0) & (x >= -k.p0), k.zero, k.one))),
    arithmetic("soft_shrink",  // p0: threshold
               F(select(x > k.p0, x - k.p0, select(x < -k.p0, x + k.p0, x - x))),
               F(select((x <= k.p0) & (x >= -k.p0), k.zero, k.one))),
    arithmetic("threshold",  // p0: threshold, p1: value up to it
               F(select(x <= k.p0, k.p1, x)),
               F(select(x <= k.p0, k.zero, k.one))),
    arithmetic("clip",  // p0: low, p1: high
               F(select(x < k.p0, k.p0, select(x > k.p1, k.p1, x))),
               F(select((x < k.p0) | (x > k.p1), k.zero, k.one))));
// clang-format on
#undef F
#undef LET
#undef XTAPE_FORMULA

/// A row of the table and one of its formulas: 0 is the function, 1 its slope, 2 the slope's slope.
struct Unary {
  std::uint8_t row = 0;
  std::uint8_t order = 0;
  std::uint8_t orders = 0;  // formulas of the row

  /// Finds the row by name. A name or an order that the table does not have is an error at compile time.
  consteval Unary(const char* name, std::uint8_t nth = 0) : order(nth) {
    const auto is = [&](const auto& r) {
      orders = r.formulas;
      return r.name == name || (++row, false);
    };
    const auto found = [&](const auto&... rows) { return (is(rows) || ...); };
    if (!std::apply(found, kFunctions) || nth >= orders) throw "not in the table of functions";
  }
  [[nodiscard]] constexpr bool has_slope() const { return order + 1 < orders; }
  /// Returns the next formula of the row. Precondition: has_slope().
  [[nodiscard]] constexpr Unary slope() const {
    Unary next = *this;
    ++next.order;
    return next;
  }
};

}  // namespace xtape::kernels
