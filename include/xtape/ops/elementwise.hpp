#pragma once
/// \file
/// Elementwise operations. All take any shape; those with two operands broadcast as NumPy does and
/// throw ShapeError naming both shapes where they do not. All are differentiable twice and more,
/// except the comparisons, which return plain bool arrays.

#include <xtape/tape/var.hpp>

namespace xtape {

namespace detail {
template <class V>
inline constexpr bool is_var = false;
template <class T>
inline constexpr bool is_var<Var<T>> = true;
template <class V>
concept AnyVar = is_var<std::decay_t<V>>;

// The Var type among two operands.
template <class A, class B>
using VarOf = std::conditional_t<AnyVar<A>, std::decay_t<A>, std::decay_t<B>>;

// A Var on one side and an xtensor expression on the other. xtensor has functions and operators of
// the same names that would take a Var for a scalar; what is constrained by this is a better match.
template <class A, class B>
concept Mixed = (AnyVar<A> && XExpression<B>) || (XExpression<A> && AnyVar<B>);

template <class T>
Var<T> select(const Array<bool>& condition, const Var<T>& a, const Var<T>& b);
}  // namespace detail

/// a + b
template <class T>
Var<T> add(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// a - b
template <class T>
Var<T> subtract(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// a * b, element by element
template <class T>
Var<T> multiply(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// a / b, element by element
template <class T>
Var<T> divide(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// a raised to b. The gradient for b is 0 where a is 0 and b >= 0.
template <class T>
Var<T> pow(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// x raised to a constant exponent.
template <class T>
Var<T> pow(const Var<T>& x, double exponent);
/// The larger of each pair; NaN wins. Where they are equal each gets half of the gradient.
template <class T>
Var<T> maximum(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// The smaller of each pair; NaN wins. Where they are equal each gets half of the gradient.
template <class T>
Var<T> minimum(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// condition ? a : b, all three broadcast; the condition is a boolean xtensor expression, and a or b
/// may be a scalar or an expression. The side not chosen gets gradient 0, also where it is NaN.
template <detail::XExpression C, class A, class B>
requires(detail::AnyVar<A> || detail::AnyVar<B>) auto where(C&& condition, A&& a, B&& b)
    -> detail::VarOf<A, B>;
/// x limited to [low, high]. Gradient 1 at the limits, 0 outside. ValueError unless low <= high.
template <class T>
Var<T> clip(const Var<T>& x, double low, double high);

/// -x
template <class T>
Var<T> negate(const Var<T>& x);
/// |x|; gradient 0 at 0
template <class T>
Var<T> abs(const Var<T>& x);
/// x * x
template <class T>
Var<T> square(const Var<T>& x);
/// Square root; infinite gradient at 0, NaN below.
template <class T>
Var<T> sqrt(const Var<T>& x);
/// 1 / sqrt(x)
template <class T>
Var<T> rsqrt(const Var<T>& x);
/// e to the x
template <class T>
Var<T> exp(const Var<T>& x);
/// exp(x) - 1, accurate near 0
template <class T>
Var<T> expm1(const Var<T>& x);
/// Natural logarithm; -infinity at 0, NaN below.
template <class T>
Var<T> log(const Var<T>& x);
/// log(1 + x), accurate near 0
template <class T>
Var<T> log1p(const Var<T>& x);
/// Sine, radians.
template <class T>
Var<T> sin(const Var<T>& x);
/// Cosine, radians.
template <class T>
Var<T> cos(const Var<T>& x);
/// Hyperbolic tangent.
template <class T>
Var<T> tanh(const Var<T>& x);
/// 1 / (1 + exp(-x)), without overflow.
template <class T>
Var<T> sigmoid(const Var<T>& x);
/// Error function.
template <class T>
Var<T> erf(const Var<T>& x);

/// a < b, a <= b and a == b element by element, broadcast. Plain arrays: not differentiable.
template <class T>
Array<bool> less(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
template <class T>
Array<bool> less_equal(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
template <class T>
Array<bool> equal(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
template <class T>
Array<bool> greater(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return less(Var<T>(b), a);
}
template <class T>
Array<bool> greater_equal(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  return less_equal(Var<T>(b), a);
}

// The same with an xtensor expression on one side.
template <class A, class B>
requires detail::Mixed<A, B>
auto maximum(A&& a, B&& b) -> detail::VarOf<A, B> {
  using V = detail::VarOf<A, B>;
  return maximum(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

template <class A, class B>
requires detail::Mixed<A, B>
auto minimum(A&& a, B&& b) -> detail::VarOf<A, B> {
  using V = detail::VarOf<A, B>;
  return minimum(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

template <class A, class B>
requires detail::Mixed<A, B>
auto pow(A&& a, B&& b) -> detail::VarOf<A, B> {
  using V = detail::VarOf<A, B>;
  return pow(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

template <class A, class B>
requires detail::Mixed<A, B> Array<bool> less(A&& a, B&& b) {
  using V = detail::VarOf<A, B>;
  return less(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

template <class A, class B>
requires detail::Mixed<A, B> Array<bool> less_equal(A&& a, B&& b) {
  using V = detail::VarOf<A, B>;
  return less_equal(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

template <class A, class B>
requires detail::Mixed<A, B> Array<bool> equal(A&& a, B&& b) {
  using V = detail::VarOf<A, B>;
  return equal(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

template <class A, class B>
requires detail::Mixed<A, B> Array<bool> greater(A&& a, B&& b) {
  using V = detail::VarOf<A, B>;
  return greater(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

template <class A, class B>
requires detail::Mixed<A, B> Array<bool> greater_equal(A&& a, B&& b) {
  using V = detail::VarOf<A, B>;
  return greater_equal(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

template <detail::XExpression C, class A, class B>
requires(detail::AnyVar<A> || detail::AnyVar<B>) auto where(C&& condition, A&& a, B&& b)
    -> detail::VarOf<A, B> {
  using V = detail::VarOf<A, B>;
  return detail::select(Array<bool>(std::forward<C>(condition)), V(std::forward<A>(a)),
                        V(std::forward<B>(b)));
}

// Operators: Var with Var, with scalars, and with xtensor expressions on either side.

template <class T>
Var<T> operator-(const Var<T>& x) {
  return negate(x);
}

template <class T>
Var<T> operator+(const Var<T>& a, const Var<T>& b) {
  return add(a, b);
}
template <class T>
Var<T> operator+(const Var<T>& a, std::type_identity_t<T> b) {
  return add(a, Var<T>(b));
}
template <class T>
Var<T> operator+(std::type_identity_t<T> a, const Var<T>& b) {
  return add(Var<T>(a), b);
}
template <class A, class B>
requires detail::Mixed<A, B>
auto operator+(A&& a, B&& b) -> detail::VarOf<A, B> {
  using V = detail::VarOf<A, B>;
  return add(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

template <class T>
Var<T> operator-(const Var<T>& a, const Var<T>& b) {
  return subtract(a, b);
}
template <class T>
Var<T> operator-(const Var<T>& a, std::type_identity_t<T> b) {
  return subtract(a, Var<T>(b));
}
template <class T>
Var<T> operator-(std::type_identity_t<T> a, const Var<T>& b) {
  return subtract(Var<T>(a), b);
}
template <class A, class B>
requires detail::Mixed<A, B>
auto operator-(A&& a, B&& b) -> detail::VarOf<A, B> {
  using V = detail::VarOf<A, B>;
  return subtract(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

template <class T>
Var<T> operator*(const Var<T>& a, const Var<T>& b) {
  return multiply(a, b);
}
template <class T>
Var<T> operator*(const Var<T>& a, std::type_identity_t<T> b) {
  return multiply(a, Var<T>(b));
}
template <class T>
Var<T> operator*(std::type_identity_t<T> a, const Var<T>& b) {
  return multiply(Var<T>(a), b);
}
template <class A, class B>
requires detail::Mixed<A, B>
auto operator*(A&& a, B&& b) -> detail::VarOf<A, B> {
  using V = detail::VarOf<A, B>;
  return multiply(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

template <class T>
Var<T> operator/(const Var<T>& a, const Var<T>& b) {
  return divide(a, b);
}
template <class T>
Var<T> operator/(const Var<T>& a, std::type_identity_t<T> b) {
  return divide(a, Var<T>(b));
}
template <class T>
Var<T> operator/(std::type_identity_t<T> a, const Var<T>& b) {
  return divide(Var<T>(a), b);
}
template <class A, class B>
requires detail::Mixed<A, B>
auto operator/(A&& a, B&& b) -> detail::VarOf<A, B> {
  using V = detail::VarOf<A, B>;
  return divide(V(std::forward<A>(a)), V(std::forward<B>(b)));
}

}  // namespace xtape
