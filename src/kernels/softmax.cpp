#include "kernels/neural.hpp"

#include <cmath>
#include <limits>

namespace xtape::kernels {

template <class T>
void softmax_row(bool log, Index n, const T* x, const bool* mask, Index step, T* y) {
  const T lowest = -std::numeric_limits<T>::infinity();
  const auto kept = [=](Index i) { return mask == nullptr || mask[i * step]; };
  T top = lowest;
  bool any = false;
  for (Index i = 0; i < n; ++i) {
    if (!kept(i)) continue;
    any = true;
    if (x[i] > top || x[i] != x[i]) top = x[i];
  }
  if (!any || top == lowest) {
    for (Index i = 0; i < n; ++i) y[i] = T(0);
    return;
  }
  double sum = 0;
  for (Index i = 0; i < n; ++i) {
    y[i] = kept(i) ? std::exp(x[i] - top) : T(0);
    sum += static_cast<double>(y[i]);
  }
  if (log) {
    const T shift = top + static_cast<T>(std::log(sum));
    for (Index i = 0; i < n; ++i) y[i] = kept(i) ? x[i] - shift : lowest;
  } else {
    const T scale = static_cast<T>(1 / sum);
    for (Index i = 0; i < n; ++i) y[i] *= scale;
  }
}

template <class T>
void softmax_gradient(Index rows, Index n, const T* y, const T* g, T* dx) {
  for (Index r = 0; r < rows; ++r, y += n, g += n, dx += n) {
    double dot = 0;
    for (Index i = 0; i < n; ++i) {
      dot += y[i] == T(0) ? 0.0 : static_cast<double>(y[i]) * static_cast<double>(g[i]);
    }
    const T s = static_cast<T>(dot);
    for (Index i = 0; i < n; ++i) dx[i] = y[i] == T(0) ? T(0) : y[i] * (g[i] - s);
  }
}

#define XTAPE_INSTANTIATE(T)                                                \
  template void softmax_row(bool, Index, const T*, const bool*, Index, T*); \
  template void softmax_gradient(Index, Index, const T*, const T*, T*);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::kernels
