#include "kernels/neural.hpp"

#include <cmath>

namespace xtape::kernels {

template <class T>
void cross_entropy(Index rows, Index n, const T* x, const std::int64_t* labels, T* loss, T* lse) {
  for (Index r = 0; r < rows; ++r, x += n) {
    if (labels[r] < 0) {
      loss[r] = T(0);
      lse[r] = T(0);
      continue;
    }
    T top = x[0];
    for (Index i = 1; i < n; ++i) top = x[i] > top || x[i] != x[i] ? x[i] : top;
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += static_cast<double>(std::exp(x[i] - top));
    lse[r] = top + static_cast<T>(std::log(sum));
    loss[r] = lse[r] - x[labels[r]];
  }
}

template <class T>
void cross_entropy_gradient(Index rows, Index n, const T* x, const std::int64_t* labels,
                            const T* lse, const T* g, T* dx) {
  for (Index r = 0; r < rows; ++r, x += n, dx += n) {
    if (labels[r] < 0) {
      for (Index i = 0; i < n; ++i) dx[i] = T(0);
      continue;
    }
    for (Index i = 0; i < n; ++i) dx[i] = g[r] * std::exp(x[i] - lse[r]);
    dx[labels[r]] -= g[r];
  }
}

#define XTAPE_INSTANTIATE(T)                                                                  \
  template void cross_entropy(Index, Index, const T*, const std::int64_t*, T*, T*);           \
  template void cross_entropy_gradient(Index, Index, const T*, const std::int64_t*, const T*, \
                                       const T*, T*);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::kernels
