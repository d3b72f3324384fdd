#pragma once
// The common forms of an operation with one operand.

#include "base/parallel_loop.hpp"
#include "kernels/elementwise.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/record.hpp>

namespace xtape::detail {

template <class T>
Result<T> map(kernels::Unary kind, const Var<T>& x, kernels::Parameters p = {}) {
  Result<T> y(x.shape());
  const T* from = x.data();
  T* to = y.data();
  parallel_elements(static_cast<kernels::Index>(y.size()),
                    [=](kernels::Index begin, kernels::Index end) {
                      kernels::unary(kind, end - begin, from + begin, to + begin, p);
                    });
  return y;
}

/// A function whose slope is constant in pieces: the slope has no derivative of its own.
template <class T>
Var<T> piecewise(const char* op, kernels::Unary value, kernels::Unary slope, const Var<T>& x,
                 kernels::Parameters p = {}) {
  return record(op, map(value, x, p), wrt(x, [x, slope, p](const Var<T>& g) {
                  return g * Var<T>(map(slope, x, p).pointer(), {});
                }));
}

/// A smooth function given by kernels for itself and its first two derivatives. Each is an operation
/// whose gradient is the next; a third derivative is refused.
template <class T>
Var<T> smooth(const char* op, kernels::Unary value, kernels::Unary slope, kernels::Unary slope2,
              const Var<T>& x, kernels::Parameters p = {}) {
  return record(op, map(value, x, p), wrt(x, [op, x, slope, slope2, p](const Var<T>& g) {
                  const Var<T> first =
                      record(op, map(slope, x, p), wrt(x, [op, x, slope2, p](const Var<T>& h) {
                               return h * record(op, map(slope2, x, p), wrt(x, NoGradient{op}));
                             }));
                  return g * first;
                }));
}

}  // namespace xtape::detail
