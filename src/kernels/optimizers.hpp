#pragma once
// Updates of the common optimizers, in one pass over memory. `from` and `to` may be the same array. The
// weights first lose the fraction `decay`; the gradients are multiplied by `scale`. Factors near 1 are
// passed as 1 - factor, named gain, because a float factor would lose digits.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

namespace xtape::kernels {

/// Specialized per element type and instruction set (`A`, a tag of isa.hpp); the functions below choose.
template <class T, class A> struct Updates {
  static void sgd(Index n, T lr, T momentum, bool nesterov, T decay, T scale, const T* g, T* m,
                  const T* from, T* to);
  static void adam(Index n, T rate, T gain_1, T gain_2, T epsilon, T decay, T scale, const T* g,
                   T* m, T* v, const T* from, T* to);
};

/// Updates by momentum: m = momentum * m - lr * g, to = from + m; m may be null.
XTAPE_KERNEL(sgd, Updates, sgd)

/// Updates by Adam. `rate` includes the bias corrections; gain_1 = 1 - beta_1, gain_2 = 1 - beta_2.
XTAPE_KERNEL(adam, Updates, adam)

}  // namespace xtape::kernels
