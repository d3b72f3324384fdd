#pragma once
// Updates of the optimizers, in one pass over memory. `from` and `to` may be the same array. The
// weights are first multiplied by `keep`, the gradients by `scale`.

#include "kernels/loop.hpp"

namespace xtape::kernels {

template <class T>
void sgd(Index n, T lr, T momentum, bool nesterov, T keep, T scale, const T* g, T* m, const T* from,
         T* to);

// `rate` already holds the bias corrections.
template <class T>
void adam(Index n, T rate, T beta_1, T beta_2, T epsilon, T keep, T scale, const T* g, T* m, T* v,
          const T* from, T* to);

}  // namespace xtape::kernels
