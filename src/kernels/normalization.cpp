#include "kernels/neural.hpp"

#include <cmath>

namespace xtape::kernels {

template <class T>
void layer_norm(Index rows, Index n, double epsilon, const T* x, const T* gamma, const T* beta,
                T* y, double* mean, double* rstd) {
  for (Index r = 0; r < rows; ++r, x += n, y += n) {
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += static_cast<double>(x[i]);
    const double m = sum / static_cast<double>(n);
    double squares = 0;
    for (Index i = 0; i < n; ++i) {
      const double d = static_cast<double>(x[i]) - m;
      squares += d * d;
    }
    const double s = 1 / std::sqrt(squares / static_cast<double>(n) + epsilon);
    mean[r] = m;
    rstd[r] = s;
    for (Index i = 0; i < n; ++i) {
      const double hat = (static_cast<double>(x[i]) - m) * s;
      const double scaled = gamma == nullptr ? hat : hat * static_cast<double>(gamma[i]);
      y[i] = static_cast<T>(beta == nullptr ? scaled : scaled + static_cast<double>(beta[i]));
    }
  }
}

template <class T>
void layer_norm_gradient(Index rows, Index n, const T* x, const T* gamma, const double* mean,
                         const double* rstd, const T* g, T* dx) {
  for (Index r = 0; r < rows; ++r, x += n, g += n, dx += n) {
    double sum = 0;
    double sum_hat = 0;
    for (Index i = 0; i < n; ++i) {
      const double hat = (static_cast<double>(x[i]) - mean[r]) * rstd[r];
      const double d =
          static_cast<double>(g[i]) * (gamma == nullptr ? 1.0 : static_cast<double>(gamma[i]));
      sum += d;
      sum_hat += d * hat;
    }
    sum /= static_cast<double>(n);
    sum_hat /= static_cast<double>(n);
    for (Index i = 0; i < n; ++i) {
      const double hat = (static_cast<double>(x[i]) - mean[r]) * rstd[r];
      const double d =
          static_cast<double>(g[i]) * (gamma == nullptr ? 1.0 : static_cast<double>(gamma[i]));
      dx[i] = static_cast<T>(rstd[r] * (d - sum - hat * sum_hat));
    }
  }
}

template <class T>
void layer_norm_parameters(Index rows, Index n, const T* x, const double* mean, const double* rstd,
                           const T* g, double* dgamma, double* dbeta) {
  for (Index r = 0; r < rows; ++r, x += n, g += n) {
    for (Index i = 0; i < n; ++i) {
      const double d = static_cast<double>(g[i]);
      dgamma[i] += d * (static_cast<double>(x[i]) - mean[r]) * rstd[r];
      dbeta[i] += d;
    }
  }
}

#define XTAPE_INSTANTIATE(T)                                                                \
  template void layer_norm(Index, Index, double, const T*, const T*, const T*, T*, double*, \
                           double*);                                                        \
  template void layer_norm_gradient(Index, Index, const T*, const T*, const double*,        \
                                    const double*, const T*, T*);                           \
  template void layer_norm_parameters(Index, Index, const T*, const double*, const double*, \
                                      const T*, double*, double*);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::kernels
