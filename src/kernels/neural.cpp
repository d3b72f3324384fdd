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

template <class T>
void rms_norm(Index rows, Index n, double epsilon, const T* x, const T* scale, T* y, double* rrms) {
  for (Index r = 0; r < rows; ++r, x += n, y += n) {
    double squares = 0;
    for (Index i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    rrms[r] = 1 / std::sqrt(squares / static_cast<double>(n) + epsilon);
    for (Index i = 0; i < n; ++i) {
      y[i] = static_cast<T>(static_cast<double>(x[i]) * rrms[r] * static_cast<double>(scale[i]));
    }
  }
}

template <class T>
void rms_norm_gradient(Index rows, Index n, const T* x, const T* scale, const double* rrms,
                       const T* g, T* dx) {
  for (Index r = 0; r < rows; ++r, x += n, g += n, dx += n) {
    double sum_hat = 0;
    for (Index i = 0; i < n; ++i) {
      sum_hat += static_cast<double>(g[i]) * static_cast<double>(scale[i]) *
                 static_cast<double>(x[i]) * rrms[r];
    }
    sum_hat /= static_cast<double>(n);
    for (Index i = 0; i < n; ++i) {
      const double d = static_cast<double>(g[i]) * static_cast<double>(scale[i]);
      dx[i] = static_cast<T>(rrms[r] * (d - static_cast<double>(x[i]) * rrms[r] * sum_hat));
    }
  }
}

template <class T>
void rms_norm_parameters(Index rows, Index n, const T* x, const double* rrms, const T* g,
                         double* dscale) {
  for (Index r = 0; r < rows; ++r, x += n, g += n) {
    for (Index i = 0; i < n; ++i) {
      dscale[i] += static_cast<double>(g[i]) * static_cast<double>(x[i]) * rrms[r];
    }
  }
}

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

void philox(const std::uint32_t (&counter)[4], const std::uint32_t (&key)[2],
            std::uint32_t (&out)[4]) {
  // Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 2.2 and table 2.
  std::uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  std::uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * c2;
    c0 = static_cast<std::uint32_t>(p1 >> 32U) ^ c1 ^ k0;
    c1 = static_cast<std::uint32_t>(p1);
    c2 = static_cast<std::uint32_t>(p0 >> 32U) ^ c3 ^ k1;
    c3 = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

template <class T>
void dropout(Index first, Index n, double rate, std::uint64_t seed, std::uint64_t index, const T* x,
             T* y) {
  const T scale = rate < 1 ? static_cast<T>(1 / (1 - rate)) : T(0);
  // 24 bits decide, so that float and double draw the same mask.
  const auto limit = static_cast<std::uint32_t>(std::ceil(rate * 16777216.0));
  const std::uint32_t key[2] = {static_cast<std::uint32_t>(seed),
                                static_cast<std::uint32_t>(seed >> 32U)};
  std::uint32_t words[4] = {};
  Index block = -1;
  for (Index i = 0; i < n; ++i) {
    const Index at = first + i;
    if (at / 4 != block) {
      block = at / 4;
      const auto b = static_cast<std::uint64_t>(block);
      philox({static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(b >> 32U),
              static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32U)},
             key, words);
    }
    y[i] = words[at % 4] >> 8U >= limit ? x[i] * scale : T(0);
  }
}

#define XTAPE_INSTANTIATE(T)                                                                      \
  template void softmax_row(bool, Index, const T*, const bool*, Index, T*);                       \
  template void softmax_gradient(Index, Index, const T*, const T*, T*);                           \
  template void layer_norm(Index, Index, double, const T*, const T*, const T*, T*, double*,       \
                           double*);                                                              \
  template void layer_norm_gradient(Index, Index, const T*, const T*, const double*,              \
                                    const double*, const T*, T*);                                 \
  template void layer_norm_parameters(Index, Index, const T*, const double*, const double*,       \
                                      const T*, double*, double*);                                \
  template void rms_norm(Index, Index, double, const T*, const T*, T*, double*);                  \
  template void rms_norm_gradient(Index, Index, const T*, const T*, const double*, const T*, T*); \
  template void rms_norm_parameters(Index, Index, const T*, const double*, const T*, double*);    \
  template void cross_entropy(Index, Index, const T*, const std::int64_t*, T*, T*);               \
  template void cross_entropy_gradient(Index, Index, const T*, const std::int64_t*, const T*,     \
                                       const T*, T*);                                             \
  template void dropout(Index, Index, double, std::uint64_t, std::uint64_t, const T*, T*);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::kernels
