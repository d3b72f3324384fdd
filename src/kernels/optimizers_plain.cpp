#include "kernels/optimizers_plain.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace xtape::kernels {

template <class T> double sum_of_squares(Index n, const T* x) {
  // Sixteen accumulators hide the latency of an addition.
  constexpr Index kSums = 16;
  double sums[kSums] = {};
  Index i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (Index k = 0; k < kSums; ++k) {
      const auto v = static_cast<double>(x[i + k]);
      sums[k] += v * v;
    }
  }
  for (Index k = 0; i < n; ++i, ++k)
    sums[k] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

template <class T> double largest_magnitude(Index n, const T* x) {
  // Without their signs, the bits of numbers are ordered as the numbers are. Those of NaN are the largest.
  using Bits = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  Bits most = 0;
  for (Index i = 0; i < n; ++i) {
    most = std::max<Bits>(most, std::bit_cast<Bits>(x[i]) & std::numeric_limits<Bits>::max());
  }
  return static_cast<double>(std::bit_cast<T>(most));
}

template <class T> void scale_add(Index n, T scale, const T* x, const T* add, T* y) {
  for (Index i = 0; i < n; ++i) y[i] = add == nullptr ? x[i] * scale : x[i] * scale + add[i];
}

template <class T> void scale_clamp(Index n, T scale, T limit, const T* x, T* y) {
  for (Index i = 0; i < n; ++i) y[i] = std::clamp(x[i] * scale, -limit, limit);
}

template <class T> void lerp(Index n, T gain, const T* x, T* average) {
  for (Index i = 0; i < n; ++i) average[i] += (x[i] - average[i]) * gain;
}

template <class T>
void amsgrad(Index n, T rate, T gain_1, T gain_2, T epsilon, T decay, T scale, const T* g, T* m,
             T* v, T* largest, const T* from, T* to) {
  for (Index i = 0; i < n; ++i) {
    const T gi = g[i] * scale;
    m[i] += (gi - m[i]) * gain_1;
    v[i] += (gi * gi - v[i]) * gain_2;
    largest[i] = std::max(largest[i], v[i]);
    to[i] = from[i] - (rate * m[i] / (std::sqrt(largest[i]) + epsilon) + decay * from[i]);
  }
}

template <class T>
void adamax(Index n, T rate, T gain_1, T beta_2, T epsilon, T decay, T scale, const T* g, T* m,
            T* u, const T* from, T* to) {
  for (Index i = 0; i < n; ++i) {
    const T gi = g[i] * scale;
    m[i] += (gi - m[i]) * gain_1;
    u[i] = std::max(beta_2 * u[i], std::abs(gi));
    to[i] = from[i] - (rate * m[i] / (u[i] + epsilon) + decay * from[i]);
  }
}

template <class T>
void nadam(Index n, T by_m, T by_g, T by_v, T gain_1, T gain_2, T epsilon, T decay, T scale,
           const T* g, T* m, T* v, const T* from, T* to) {
  for (Index i = 0; i < n; ++i) {
    const T gi = g[i] * scale;
    m[i] += (gi - m[i]) * gain_1;
    v[i] += (gi * gi - v[i]) * gain_2;
    const T step = (by_m * m[i] + by_g * gi) / (std::sqrt(v[i] * by_v) + epsilon);
    to[i] = from[i] - (step + decay * from[i]);
  }
}

template <class T>
void lamb(Index n, T rate, T by_m, T by_v, T gain_1, T gain_2, T epsilon, T decay, T scale,
          const T* g, T* m, T* v, const T* from, T* to) {
  const auto step = [&](Index i) { return by_m * m[i] / (std::sqrt(v[i] * by_v) + epsilon); };
  double weights = 0, steps = 0;
  for (Index i = 0; i < n; ++i) {
    const T gi = g[i] * scale;
    m[i] += (gi - m[i]) * gain_1;
    v[i] += (gi * gi - v[i]) * gain_2;
    const double w = from[i] - decay * from[i];
    const double u = step(i);
    weights += w * w;
    steps += u * u;
  }
  const double ratio = weights > 0 && steps > 0 ? std::sqrt(weights) / std::sqrt(steps) : 1.0;
  const T by = rate * static_cast<T>(ratio);
  for (Index i = 0; i < n; ++i) to[i] = from[i] - (by * step(i) + decay * from[i]);
}

template <class T>
void lion(Index n, T lr, T gain_1, T gain_2, T decay, T scale, const T* g, T* m, const T* from,
          T* to) {
  for (Index i = 0; i < n; ++i) {
    const T gi = g[i] * scale;
    const T c = m[i] + (gi - m[i]) * gain_1;
    const T sign = static_cast<T>(c > 0) - static_cast<T>(c < 0);
    m[i] += (gi - m[i]) * gain_2;
    to[i] = from[i] - (lr * (std::isnan(c) ? c : sign) + decay * from[i]);
  }
}

template <class T>
void adagrad(Index n, T lr, T epsilon, T decay, T scale, const T* g, T* a, const T* from, T* to) {
  for (Index i = 0; i < n; ++i) {
    const T gi = g[i] * scale;
    // A sum beyond the largest number stays finite, so that the weight still moves.
    a[i] = std::min(a[i] + gi * gi, std::numeric_limits<T>::max());
    to[i] = from[i] - (lr * gi / std::sqrt(a[i] + epsilon) + decay * from[i]);
  }
}

template <class T>
void adadelta(Index n, T lr, T gain, T epsilon, T decay, T scale, const T* g, T* a, T* b,
              const T* from, T* to) {
  for (Index i = 0; i < n; ++i) {
    const T gi = g[i] * scale;
    a[i] += (gi * gi - a[i]) * gain;
    const T d = std::sqrt(b[i] + epsilon) * gi / std::sqrt(a[i] + epsilon);
    b[i] += (d * d - b[i]) * gain;
    to[i] = from[i] - (lr * d + decay * from[i]);
  }
}

template <class T>
void rmsprop(Index n, T lr, T gain, T momentum, T epsilon, T decay, T scale, const T* g, T* v, T* m,
             T* a, const T* from, T* to) {
  for (Index i = 0; i < n; ++i) {
    const T gi = g[i] * scale;
    v[i] += (gi * gi - v[i]) * gain;
    T spread = v[i];
    if (a != nullptr) {
      a[i] += (gi - a[i]) * gain;
      // Only rounding makes this negative.
      spread = std::max(v[i] - a[i] * a[i], T(0));
    }
    T step = lr * gi / std::sqrt(spread + epsilon);
    if (m != nullptr) step = m[i] = momentum * m[i] + step;
    to[i] = from[i] - (step + decay * from[i]);
  }
}

namespace {

/// Updates the weights; v(i) estimates the mean square of the gradient of element i.
template <class T, class Estimate>
void adafactor_update(Index n, const AdafactorOptions<T>& o, const T* g, Estimate v, const T* from,
                      T* to) {
  if (n == 0) return;
  const auto count = static_cast<double>(n);
  double weights = 0, steps = 0;
  for (Index i = 0; i < n; ++i) {
    const double w = from[i] - o.decay * from[i];
    const double gi = g[i] * o.scale;
    weights += w * w;
    steps += gi * gi / v(i);
  }
  const double alpha = std::max(o.epsilon_2, std::sqrt(weights / count)) * o.step;
  const double by = alpha / std::max(1.0, std::sqrt(steps / count) / o.clip_threshold);
  for (Index i = 0; i < n; ++i) {
    const double u = g[i] * o.scale / std::sqrt(v(i));
    to[i] = from[i] - (static_cast<T>(by * u) + o.decay * from[i]);
  }
}

}  // namespace

template <class T>
void adafactor(Index n, const AdafactorOptions<T>& o, const T* g, T* v, const T* from, T* to) {
  for (Index i = 0; i < n; ++i) {
    const double gi = g[i] * o.scale;
    v[i] += static_cast<T>((gi * gi + o.epsilon_1 - v[i]) * o.gain);
  }
  adafactor_update(
      n, o, g, [v](Index i) { return static_cast<double>(v[i]); }, from, to);
}

template <class T>
void adafactor(Index batch, Index rows, Index columns, const AdafactorOptions<T>& o, const T* g,
               T* r, T* c, const T* from, T* to) {
  const auto square = [&](Index b, Index row, Index column) {
    const double gi = g[(b * rows + row) * columns + column] * o.scale;
    return gi * gi + o.epsilon_1;
  };
  const auto update_mean = [&](T& mean, double sum, Index count) {
    mean += static_cast<T>((sum / static_cast<double>(count) - mean) * o.gain);
  };
  for (Index b = 0; b < batch; ++b) {
    for (Index row = 0; row < rows; ++row) {
      double sum = 0;
      for (Index column = 0; column < columns; ++column) sum += square(b, row, column);
      update_mean(r[b * rows + row], sum, columns);
    }
    for (Index column = 0; column < columns; ++column) {
      double sum = 0;
      for (Index row = 0; row < rows; ++row) sum += square(b, row, column);
      update_mean(c[b * columns + column], sum, rows);
    }
  }
  // Elements come in order, so the mean over a matrix's rows is computed once per matrix.
  const auto estimate = [=, known = Index{-1}, mean = 0.0](Index i) mutable {
    const Index row = i / columns;  // of all batches
    const Index b = row / rows;
    if (b != known) {
      known = b;
      mean = 0;
      for (Index k = 0; k < rows; ++k) mean += static_cast<double>(r[b * rows + k]);
      mean /= static_cast<double>(rows);
    }
    return static_cast<double>(r[row]) / mean * static_cast<double>(c[b * columns + i % columns]);
  };
  adafactor_update(batch * rows * columns, o, g, estimate, from, to);
}

#define XTAPE_INSTANTIATE(T)                                                                 \
  template double sum_of_squares(Index, const T*);                                           \
  template double largest_magnitude(Index, const T*);                                        \
  template void scale_add(Index, T, const T*, const T*, T*);                                 \
  template void scale_clamp(Index, T, T, const T*, T*);                                      \
  template void lerp(Index, T, const T*, T*);                                                \
  template void amsgrad(Index, T, T, T, T, T, T, const T*, T*, T*, T*, const T*, T*);        \
  template void adamax(Index, T, T, T, T, T, T, const T*, T*, T*, const T*, T*);             \
  template void nadam(Index, T, T, T, T, T, T, T, T, const T*, T*, T*, const T*, T*);        \
  template void lamb(Index, T, T, T, T, T, T, T, T, const T*, T*, T*, const T*, T*);         \
  template void lion(Index, T, T, T, T, T, const T*, T*, const T*, T*);                      \
  template void adagrad(Index, T, T, T, T, const T*, T*, const T*, T*);                      \
  template void adadelta(Index, T, T, T, T, T, const T*, T*, T*, const T*, T*);              \
  template void rmsprop(Index, T, T, T, T, T, T, const T*, T*, T*, T*, const T*, T*);        \
  template void adafactor(Index, const AdafactorOptions<T>&, const T*, T*, const T*, T*);    \
  template void adafactor(Index, Index, Index, const AdafactorOptions<T>&, const T*, T*, T*, \
                          const T*, T*);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)

}  // namespace xtape::kernels
