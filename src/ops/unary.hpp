#pragma once
// The common forms of an operation with one operand.

#include "kernels/elementwise.hpp"
#include "threads/loops.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/tape/record.hpp>

#include <algorithm>

namespace xtape::detail {

template <class T>
Result<T> map(kernels::Unary kind, const Var<T>& x, kernels::Parameters p = {}) {
  Result<T> y(x.shape());
  const T* from = x.data();
  T* to = y.data();
  parallel_for(static_cast<kernels::Index>(y.size()),
               [=](kernels::Index begin, kernels::Index end) {
                 kernels::unary(kind, end - begin, from + begin, to + begin, p);
               });
  return y;
}

/// Whether a pullback would be kept. Most multiplications happen inside backward, where none is, and
/// capturing operands would be half of the cost of a small one.
template <class T>
bool recorded(const Var<T>& a, const Var<T>& b) {
  const Var<T>& tracked = a.tracked() ? a : b;
  return tracked.tracked() && tracked.node_ref().state->recording();
}

/// g times the slope at x, a constant. The slopes are never all in memory.
template <class T>
Var<T> times_slope(const Var<T>& g, kernels::Unary slope, const Var<T>& x, kernels::Parameters p) {
  using kernels::Index;
  constexpr Index kTogether = 2048;
  if (recorded(g, g)) return g * Var<T>(map(slope, x, p).pointer(), {});
  Result<T> y(x.shape());
  const T* at = x.data();
  const T* by = g.data();
  T* to = y.data();
  parallel_for(static_cast<Index>(y.size()), [=](Index begin, Index end) {
    for (Index i = begin; i < end; i += kTogether) {
      const Index n = std::min(kTogether, end - i);
      kernels::unary(slope, n, at + i, to + i, p);
      kernels::binary(kernels::Binary::multiply, n, by + i, to + i, to + i);
    }
  });
  return {std::move(y.pointer()), {}};
}

/// A function whose slope is constant in pieces: the slope has no derivative of its own.
template <class T>
Var<T> piecewise(const char* op, kernels::Unary value, kernels::Unary slope, const Var<T>& x,
                 kernels::Parameters p = {}) {
  return record(op, map(value, x, p),
                wrt(x, [x, slope, p](const Var<T>& g) { return times_slope(g, slope, x, p); }));
}

/// The same where the slope is that at the result, too: so that the operand need not be kept.
template <class T>
Var<T> piecewise_by_result(const char* op, kernels::Unary value, kernels::Unary slope,
                           const Var<T>& x, kernels::Parameters p = {}) {
  return record(op, map(value, x, p), wrt(x, [slope, p](const Var<T>& g, const Var<T>& y) {
                  return times_slope(g, slope, y, p);
                }));
}

/// A smooth function given by kernels for itself and its first two derivatives. Each is an operation
/// whose gradient is the next; a third derivative is refused.
template <class T>
Var<T> smooth(const char* op, kernels::Unary value, kernels::Unary slope, kernels::Unary slope2,
              const Var<T>& x, kernels::Parameters p = {}) {
  return record(op, map(value, x, p), wrt(x, [op, x, slope, slope2, p](const Var<T>& g) {
                  if (!recorded(x, g)) return times_slope(g, slope, x, p);
                  const Var<T> first =
                      record(op, map(slope, x, p), wrt(x, [op, x, slope2, p](const Var<T>& h) {
                               return h * record(op, map(slope2, x, p), wrt(x, NoGradient{op}));
                             }));
                  return g * first;
                }));
}

}  // namespace xtape::detail
