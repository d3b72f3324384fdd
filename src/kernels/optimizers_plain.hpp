#pragma once
// Loops of training beyond the updates of optimizers.hpp, whose conventions hold here too: the
// weights first lose the fraction `decay`, gradients are multiplied by `scale`, `from` and `to` may be
// the same array, and factors near 1 are given by their distance from 1, named gain.

#include "kernels/loop.hpp"

namespace xtape::kernels {

// Sum of squares, in double.
template <class T>
double sum_of_squares(Index n, const T* x);

// y = x * scale (+ add, unless null).
template <class T>
void scale_add(Index n, T scale, const T* x, const T* add, T* y);

// x * scale, limited to [-limit, limit]; NaN stays.
template <class T>
void scale_clamp(Index n, T scale, T limit, const T* x, T* y);

// average += (x - average) * gain
template <class T>
void lerp(Index n, T gain, const T* x, T* average);

// Adam with the largest v so far; see adam().
template <class T>
void amsgrad(Index n, T rate, T gain_1, T gain_2, T epsilon, T decay, T scale, const T* g, T* m,
             T* v, T* largest, const T* from, T* to);

// `rate` holds the bias correction of m.
template <class T>
void adamax(Index n, T rate, T gain_1, T beta_2, T epsilon, T decay, T scale, const T* g, T* m,
            T* u, const T* from, T* to);

// by_m and by_g are what m and g are multiplied by, with the rate; by_v divides v.
template <class T>
void nadam(Index n, T by_m, T by_g, T by_v, T gain_1, T gain_2, T epsilon, T decay, T scale,
           const T* g, T* m, T* v, const T* from, T* to);

// by_m and by_v are 1 / (1 - beta^t). Two passes: the norms come from the first.
template <class T>
void lamb(Index n, T rate, T by_m, T by_v, T gain_1, T gain_2, T epsilon, T decay, T scale,
          const T* g, T* m, T* v, const T* from, T* to);

template <class T>
void lion(Index n, T lr, T gain_1, T gain_2, T decay, T scale, const T* g, T* m, const T* from,
          T* to);

template <class T>
void adagrad(Index n, T lr, T epsilon, T decay, T scale, const T* g, T* a, const T* from, T* to);

template <class T>
void adadelta(Index n, T lr, T gain, T epsilon, T decay, T scale, const T* g, T* a, T* b,
              const T* from, T* to);

// m null: no momentum; a null: not centered.
template <class T>
void rmsprop(Index n, T lr, T gain, T momentum, T epsilon, T decay, T scale, const T* g, T* v, T* m,
             T* a, const T* from, T* to);

// What both forms of Adafactor are told: step = min(lr, 1 / sqrt(t)), gain = 1 - beta.
template <class T>
struct AdafactorOptions {
  double step, gain, epsilon_1, epsilon_2, clip_threshold;
  T decay, scale;
};
template <class T>
void adafactor(Index n, const AdafactorOptions<T>& o, const T* g, T* v, const T* from, T* to);
// r is (batch, rows), c is (batch, columns).
template <class T>
void adafactor(Index batch, Index rows, Index columns, const AdafactorOptions<T>& o, const T* g,
               T* r, T* c, const T* from, T* to);

}  // namespace xtape::kernels
