#pragma once
// The common forms of an operation with one operand.

#include "base/instantiate.hpp"
#include "threads/loops.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/tape/record.hpp>

#include <algorithm>

/// Defines the operation `name`. Its value is the function of that name in kernels/functions.hpp. `gradient` returns
/// the gradient for the operand x, given g, the gradient of the result.
#define XTAPE_UNARY(name, gradient)                                                          \
  template <class T> Var<T> name(const Var<T>& x) {                                          \
    return record(#name, detail::map(#name, x), wrt(x, [=](const Var<T>& g) { gradient; })); \
  }                                                                                          \
  XTAPE_FOR_REALS(name)
/// XTAPE_UNARY with a gradient given by g and the result y.
#define XTAPE_UNARY_BY_RESULT(name, gradient)                                  \
  template <class T> Var<T> name(const Var<T>& x) {                            \
    return record(#name, detail::map(#name, x),                                \
                  wrt(x, [](const Var<T>& g, const Var<T>& y) { gradient; })); \
  }                                                                            \
  XTAPE_FOR_REALS(name)
/// Defines the operation `name` by an expression of operations on x.
#define XTAPE_UNARY_AS(name, ...)                                         \
  template <class T> Var<T> name(const Var<T>& x) { return __VA_ARGS__; } \
  XTAPE_FOR_REALS(name)
/// XTAPE_UNARY with the gradient by_slopes().
#define XTAPE_UNARY_BY_SLOPES(name)                                                              \
  template <class T> Var<T> name(const Var<T>& x) { return detail::by_slopes(#name, #name, x); } \
  XTAPE_FOR_REALS(name)

namespace xtape::detail {

/// Returns f(x), computed by kernels and not recorded.
template <class T> Result<T> map(kernels::Unary f, const Var<T>& x, kernels::Parameters p = {}) {
  Result<T> y(x.shape());
  parallel_for(static_cast<kernels::Index>(y.size()),
               [&](kernels::Index begin, kernels::Index end) {
                 kernels::unary(f, end - begin, x.data() + begin, y.data() + begin, p);
               });
  return y;
}

/// Returns whether a pullback would be kept. Most multiplications happen inside backward, where none is, and
/// capturing operands would be half of the cost of a small one.
template <class T> bool recorded(const Var<T>& a, const Var<T>& b) {
  const Var<T>& tracked = a.tracked() ? a : b;
  return tracked.tracked() && tracked.node_ref().state->recording();
}

/// Returns g times the slope at x, a constant. The slopes are never all in memory.
template <class T>
Var<T> times_slope(const Var<T>& g, kernels::Unary slope, const Var<T>& x, kernels::Parameters p) {
  using kernels::Index;
  constexpr Index kTogether = 2048;
  if (recorded(g, g)) return g * Var<T>(map(slope, x, p).pointer(), {});
  Result<T> y(x.shape());
  parallel_for(static_cast<Index>(y.size()), [&](Index begin, Index end) {
    for (Index i = begin; i < end; i += kTogether) {
      const Index n = std::min(kTogether, end - i);
      T* to = y.data() + i;
      kernels::unary(slope, n, x.data() + i, to, p);
      kernels::binary(kernels::Binary::multiply, n, g.data() + i, to, to);
    }
  });
  return {std::move(y.pointer()), {}};
}

/// The pullback of a second derivative, which is recorded as a value alone.
template <class T> struct NoThird {
  const char* op;
  Var<T> operator()(const Var<T>&) const {
    fail<TapeError>(op,
                    "no third derivative: a gradient of its second derivative is wanted, expected "
                    "the first or second order; write it with exp and tanh");
  }
};

/// Records op(x) = f(x) with f's slopes for its gradient. Value, slope and slope's slope are operations, each with
/// the next for its gradient; a third derivative is refused. The only slope of a row is a constant: such a function
/// is linear in pieces.
template <class T>
Var<T> by_slopes(const char* op, kernels::Unary f, const Var<T>& x, kernels::Parameters p = {}) {
  return record(op, map(f, x, p), wrt(x, [op, x, slope = f.slope(), p](const Var<T>& g) {
                  if (!slope.has_slope() || !recorded(x, g)) return times_slope(g, slope, x, p);
                  const auto second = [op, x, f = slope.slope(), p](const Var<T>& h) {
                    return h * record(op, map(f, x, p), wrt(x, NoThird<T>{op}));
                  };
                  return g * record(op, map(slope, x, p), wrt(x, second));
                }));
}

}  // namespace xtape::detail
