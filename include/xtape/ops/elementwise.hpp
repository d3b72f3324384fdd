#pragma once
/// \file
/// Elementwise operations on arrays of any shape; each comment gives the result. Two operands broadcast as in
/// NumPy, or ShapeError names both shapes. All have derivatives of every order but the comparisons, whose
/// results are plain bool arrays.

#include <xtape/tape/var.hpp>

namespace xtape {

namespace detail {
template <class V> inline constexpr bool is_var = false;
template <class T> inline constexpr bool is_var<Var<T>> = true;
template <class V>
concept AnyVar = is_var<std::decay_t<V>>;

// The Var type among two operands.
template <class A, class B>
using VarOf = std::conditional_t<AnyVar<A>, std::decay_t<A>, std::decay_t<B>>;

// A Var and another operand: a Var of the same type, a scalar or an xtensor expression. xtensor has functions
// and operators of the same names that would take a Var for a scalar; the constrained ones are better matches.
template <class X, class V>
concept Operand = std::same_as<std::decay_t<X>, V> || XExpression<X> ||
    std::convertible_to<X, typename V::value_type>;
template <class A, class B>
concept OperandPair = (Operand<A, VarOf<A, B>> && Operand<B, VarOf<A, B>> &&
                       (AnyVar<A> || AnyVar<B>));
template <class A, class B>
concept Mixed = (OperandPair<A, B> && (XExpression<A> || XExpression<B>));

// Returns x, or makes a V of it.
template <class V> const V& as_var(const V& x) { return x; }
template <class V, XExpression E> V as_var(E&& x) { return V(std::forward<E>(x)); }
template <class V, std::convertible_to<typename V::value_type> X> V as_var(const X& x) {
  return V(static_cast<typename V::value_type>(x));
}

template <class T> Var<T> select(const Array<bool>& condition, const Var<T>& a, const Var<T>& b);
}  // namespace detail

/// a + b
template <class T> Var<T> add(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// a - b
template <class T> Var<T> subtract(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// a * b, element by element
template <class T> Var<T> multiply(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// a / b, element by element
template <class T> Var<T> divide(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// a raised to b. The gradient for b is 0 where a is 0 and b >= 0.
template <class T> Var<T> pow(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// x raised to a constant exponent.
template <class T> Var<T> pow(const Var<T>& x, double exponent);
/// The larger of each pair; NaN wins. Equal elements share the gradient evenly.
template <class T> Var<T> maximum(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// The smaller of each pair; NaN wins. Equal elements share the gradient evenly.
template <class T> Var<T> minimum(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// condition ? a : b. All three broadcast. The condition is a boolean xtensor expression; a or b may be a
/// scalar or an expression. The side not chosen gets gradient 0, also where it is NaN.
template <detail::XExpression C, class A, class B>
requires(!detail::ExpressionOf<C, bool> && (detail::AnyVar<A> || detail::AnyVar<B>)) void where(
    C&& condition, A&& a, B&& b) = delete;  // a condition is an array of bool
template <detail::ExpressionOf<bool> C, class A, class B>
requires(detail::AnyVar<A> || detail::AnyVar<B>) auto where(C&& condition, A&& a, B&& b)
    -> detail::VarOf<A, B>;
/// x limited to [low, high]. Gradient 1 at the limits, 0 outside. ValueError unless low <= high.
template <class T> Var<T> clip(const Var<T>& x, double low, double high);

/// -x
template <class T> Var<T> negate(const Var<T>& x);
/// |x|, with gradient 0 at 0.
template <class T> Var<T> abs(const Var<T>& x);
/// x * x
template <class T> Var<T> square(const Var<T>& x);
/// Square root; infinite gradient at 0, NaN below.
template <class T> Var<T> sqrt(const Var<T>& x);
/// 1 / sqrt(x)
template <class T> Var<T> rsqrt(const Var<T>& x);
/// e to the x
template <class T> Var<T> exp(const Var<T>& x);
/// exp(x) - 1, accurate near 0
template <class T> Var<T> expm1(const Var<T>& x);
/// Natural logarithm; -infinity at 0, NaN below.
template <class T> Var<T> log(const Var<T>& x);
/// log(1 + x), accurate near 0
template <class T> Var<T> log1p(const Var<T>& x);
/// Sine, radians.
template <class T> Var<T> sin(const Var<T>& x);
/// Cosine, radians.
template <class T> Var<T> cos(const Var<T>& x);
/// Hyperbolic tangent.
template <class T> Var<T> tanh(const Var<T>& x);
/// 1 / (1 + exp(-x)), without overflow.
template <class T> Var<T> sigmoid(const Var<T>& x);
/// Error function.
template <class T> Var<T> erf(const Var<T>& x);

/// a < b, a <= b and a == b, element by element.
template <class T> Array<bool> less(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// Returns a <= b, element by element.
template <class T> Array<bool> less_equal(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// Returns a == b, element by element.
template <class T> Array<bool> equal(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// Returns a > b, element by element.
template <class T> Array<bool> greater(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return less(Var<T>(b), a);
}
/// Returns a >= b, element by element.
template <class T>
Array<bool> greater_equal(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return less_equal(Var<T>(b), a);
}

/// These functions take an xtensor expression on one side, too.
#define XTAPE_MIXED(name)                                      \
  template <class A, class B>                                  \
  requires detail::Mixed<A, B>                                 \
  auto name(A&& a, B&& b) {                                    \
    using V = detail::VarOf<A, B>;                             \
    return name(V(std::forward<A>(a)), V(std::forward<B>(b))); \
  }
/// The same function, with an xtensor expression on one side.
/// @{
XTAPE_MIXED(maximum)
XTAPE_MIXED(minimum)
XTAPE_MIXED(pow)
XTAPE_MIXED(less)
XTAPE_MIXED(less_equal)
XTAPE_MIXED(equal)
XTAPE_MIXED(greater)
XTAPE_MIXED(greater_equal)
/// @}
#undef XTAPE_MIXED

template <detail::ExpressionOf<bool> C, class A, class B>
requires(detail::AnyVar<A> || detail::AnyVar<B>) auto where(C&& condition, A&& a, B&& b)
    -> detail::VarOf<A, B> {
  using V = detail::VarOf<A, B>;
  return detail::select(Array<bool>(std::forward<C>(condition)), V(std::forward<A>(a)),
                        V(std::forward<B>(b)));
}

/// -x
template <class T> Var<T> operator-(const Var<T>& x) { return negate(x); }

/// Operators of a Var and a Var, a scalar or an xtensor expression. x += y assigns x + y to x: the shape may
/// grow, and the old value stays in its other handles and on the tape.
#define XTAPE_OPERATOR(op, function)                                                               \
  template <class A, class B>                                                                      \
  requires detail::OperandPair<A, B>                                                               \
  auto operator op(A&& a, B&& b)->detail::VarOf<A, B> {                                            \
    using V = detail::VarOf<A, B>;                                                                 \
    return function(detail::as_var<V>(std::forward<A>(a)), detail::as_var<V>(std::forward<B>(b))); \
  }                                                                                                \
  template <class T, detail::Operand<Var<T>> Y> Var<T>& operator op##=(Var<T>& x, Y&& y) {         \
    return x = x op std::forward<Y>(y);                                                            \
  }
/// Arithmetic, element by element, with broadcasting.
/// @{
XTAPE_OPERATOR(+, add)
XTAPE_OPERATOR(-, subtract)
XTAPE_OPERATOR(*, multiply)
XTAPE_OPERATOR(/, divide)
/// @}
#undef XTAPE_OPERATOR

}  // namespace xtape
