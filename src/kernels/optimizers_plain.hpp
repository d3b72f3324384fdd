#pragma once
// Updates of the rarer optimizers, and loops over gradients, as plain code that is compiled once. The
// conventions of optimizers.hpp hold.

#include "kernels/loop.hpp"

namespace xtape::kernels {

/// Returns the sum of squares, in double.
template <class T> double sum_of_squares(Index n, const T* x);

/// Returns the largest |x[i]|, or NaN if any x[i] is NaN.
template <class T> double largest_magnitude(Index n, const T* x);

/// Stores y = x * scale (+ add, unless null).
template <class T> void scale_add(Index n, T scale, const T* x, const T* add, T* y);

/// Stores y = clamp(x * scale, -limit, limit); NaN stays.
template <class T> void scale_clamp(Index n, T scale, T limit, const T* x, T* y);

/// Updates average += (x - average) * gain.
template <class T> void lerp(Index n, T gain, const T* x, T* average);

/// Updates by Adam with the running maximum of v; see adam().
template <class T>
void amsgrad(Index n, T rate, T gain_1, T gain_2, T epsilon, T decay, T scale, const T* g, T* m,
             T* v, T* largest, const T* from, T* to);

/// Updates by Adamax. `rate` includes the bias correction of m.
template <class T>
void adamax(Index n, T rate, T gain_1, T beta_2, T epsilon, T decay, T scale, const T* g, T* m,
            T* u, const T* from, T* to);

/// Updates by Nadam: step = (by_m * m + by_g * g) / (sqrt(v * by_v) + epsilon).
template <class T>
void nadam(Index n, T by_m, T by_g, T by_v, T gain_1, T gain_2, T epsilon, T decay, T scale,
           const T* g, T* m, T* v, const T* from, T* to);

/// Updates by LAMB, in two passes: the first computes the norms. by_m and by_v are 1 / (1 - beta^t).
template <class T>
void lamb(Index n, T rate, T by_m, T by_v, T gain_1, T gain_2, T epsilon, T decay, T scale,
          const T* g, T* m, T* v, const T* from, T* to);

/// Updates by Lion.
template <class T>
void lion(Index n, T lr, T gain_1, T gain_2, T decay, T scale, const T* g, T* m, const T* from,
          T* to);

/// Updates by Adagrad.
template <class T>
void adagrad(Index n, T lr, T epsilon, T decay, T scale, const T* g, T* a, const T* from, T* to);

/// Updates by Adadelta.
template <class T>
void adadelta(Index n, T lr, T gain, T epsilon, T decay, T scale, const T* g, T* a, T* b,
              const T* from, T* to);

/// Updates by RMSprop; without momentum if m is null, not centered if a is null.
template <class T>
void rmsprop(Index n, T lr, T gain, T momentum, T epsilon, T decay, T scale, const T* g, T* v, T* m,
             T* a, const T* from, T* to);

/// Options of both forms of Adafactor: step = min(lr, 1 / sqrt(t)), gain = 1 - beta.
template <class T> struct AdafactorOptions {
  double step, gain, epsilon_1, epsilon_2, clip_threshold;
  T decay, scale;
};
/// Updates a vector by Adafactor.
template <class T>
void adafactor(Index n, const AdafactorOptions<T>& o, const T* g, T* v, const T* from, T* to);
/// Updates a matrix, or a batch of them, by Adafactor with factored v: r is (batch, rows), c (batch, columns).
template <class T>
void adafactor(Index batch, Index rows, Index columns, const AdafactorOptions<T>& o, const T* g,
               T* r, T* c, const T* from, T* to);

}  // namespace xtape::kernels
