#include "kernels/optimizers.hpp"

#include <cmath>

namespace xtape::kernels {

template <class T>
void sgd(Index n, T lr, T momentum, bool nesterov, T decay, T scale, const T* g, T* m,
         const T* from, T* to) {
  for (Index i = 0; i < n; ++i) {
    const T step = -lr * (g[i] * scale);
    T by = step;
    if (m != nullptr) {
      m[i] = momentum * m[i] + step;
      by = nesterov ? momentum * m[i] + step : m[i];
    }
    to[i] = from[i] + (by - decay * from[i]);
  }
}

template <class T>
void adam(Index n, T rate, T gain_1, T gain_2, T epsilon, T decay, T scale, const T* g, T* m, T* v,
          const T* from, T* to) {
  for (Index i = 0; i < n; ++i) {
    const T gi = g[i] * scale;
    m[i] += (gi - m[i]) * gain_1;
    v[i] += (gi * gi - v[i]) * gain_2;
    to[i] = from[i] - (rate * m[i] / (std::sqrt(v[i]) + epsilon) + decay * from[i]);
  }
}

#define XTAPE_INSTANTIATE(T)                                              \
  template void sgd(Index, T, T, bool, T, T, const T*, T*, const T*, T*); \
  template void adam(Index, T, T, T, T, T, T, const T*, T*, T*, const T*, T*);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::kernels
