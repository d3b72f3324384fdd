#include "kernels/lanes.hpp"
#include "kernels/neural.hpp"

#include <cmath>

namespace xtape::kernels {
namespace {

/// f(i, n, part) over the elements of a row, as many at a time as a vector has doubles.
template <class A, class F>
[[gnu::always_inline]] inline void for_doubles(Index n, const F& f) {
  for_vectors(n, static_cast<Index>(Vec<double, A>::size), f);
}

/// The same with one of four accumulators in turn, which are added in the end; f gives what is added.
template <class A, class F>
[[gnu::always_inline]] inline double sum_over(Index n, const F& f) {
  using D = Vec<double, A>;
  constexpr Index kWidth = static_cast<Index>(D::size);
  D sum[4] = {D(0.0), D(0.0), D(0.0), D(0.0)};
  constexpr std::true_type whole;
  Index i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
#pragma GCC unroll 4
    for (Index k = 0; k < 4; ++k) sum[k] += f(i + k * kWidth, kWidth, whole);
  }
  for_vectors(n - i, kWidth,
              [&](Index j, Index count, auto part) { sum[0] += f(i + j, count, part); });
  return sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/// `value` in the lanes that hold elements, 0 in those behind the end.
template <class A, class Part>
[[gnu::always_inline]] inline Vec<double, A> only_first(const Vec<double, A>& value, Index n,
                                                        Part) {
  if constexpr (Part::value) {
    return value;
  } else {
    return where_bits<double, A>((std::uint64_t{1} << n) - 1, value);
  }
}

/// Rows taken together, so that none waits for the sum, the root or the quotient of the one before.
constexpr Index kTogether = 8;

/// A number for each of them; all of them at once, in whole vectors, by f.
template <class A>
struct RowNumbers {
  using D = Vec<double, A>;
  alignas(64) double of[kTogether] = {};

  double& operator[](Index k) { return of[k]; }
  template <class F>
  [[gnu::always_inline]] inline void each(const F& f) {
    for (Index k = 0; k < kTogether; k += static_cast<Index>(D::size)) {
      f(D::load_aligned(of + k)).store_aligned(of + k);
    }
  }
};

}  // namespace

template <class T, class A>
void Normalization<T, A>::layer(Index rows, Index n, double epsilon, const T* x, const T* gamma,
                                const T* beta, T* y, double* mean, double* rstd) {
  using D = Vec<double, A>;
  for (Index r = 0; r < rows; r += kTogether) {
    const Index last = r + kTogether < rows ? r + kTogether : rows;
    RowNumbers<A> m;
    RowNumbers<A> s;
    for (Index k = r; k < last; ++k) {
      m[k - r] = sum_over<A>(n, [&](Index i, Index count, auto part) {
        return load_double_part<T, A>(x + k * n + i, count, part);
      });
    }
    m.each([&](const D& sum) { return sum / D(static_cast<double>(n)); });
    for (Index k = r; k < last; ++k) {
      const D centre(m[k - r]);
      s[k - r] = sum_over<A>(n, [&](Index i, Index count, auto part) {
        const D d =
            only_first<A>(load_double_part<T, A>(x + k * n + i, count, part) - centre, count, part);
        return d * d;
      });
    }
    s.each([&](const D& squares) {
      return D(1.0) / xsimd::sqrt(squares / D(static_cast<double>(n)) + D(epsilon));
    });
    for (Index k = r; k < last; ++k) {
      mean[k] = m[k - r];
      rstd[k] = s[k - r];
    }
    for_doubles<A>(n, [&](Index i, Index count, auto part) {
      const D factor = gamma == nullptr ? D(1.0) : load_double_part<T, A>(gamma + i, count, part);
      const D shift = beta == nullptr ? D(0.0) : load_double_part<T, A>(beta + i, count, part);
      for (Index k = r; k < last; ++k) {
        const D centred = load_double_part<T, A>(x + k * n + i, count, part) - D(m[k - r]);
        store_double_part<T, A>(centred * D(s[k - r]) * factor + shift, y + k * n + i, count, part);
      }
    });
  }
}

template <class T, class A>
void Normalization<T, A>::layer_gradient(Index rows, Index n, const T* x, const T* gamma,
                                         const double* mean, const double* rstd, const T* g,
                                         T* dx) {
  using D = Vec<double, A>;
  const auto normal = [&](Index k, Index i, Index count, auto part) {
    return (load_double_part<T, A>(x + k * n + i, count, part) - D(mean[k])) * D(rstd[k]);
  };
  const auto factor = [&](Index i, Index count, auto part) {
    return gamma == nullptr ? D(1.0) : load_double_part<T, A>(gamma + i, count, part);
  };
  const auto incoming = [&](Index k, Index i, Index count, auto part) {
    return load_double_part<T, A>(g + k * n + i, count, part);
  };
  for (Index r = 0; r < rows; r += kTogether) {
    const Index last = r + kTogether < rows ? r + kTogether : rows;
    RowNumbers<A> sum;
    RowNumbers<A> sum_hat;
    for (Index k = r; k < last; ++k) {
      D sums[2] = {D(0.0), D(0.0)};
      D sums_hat[2] = {D(0.0), D(0.0)};
      Index which = 0;
      for_doubles<A>(n, [&](Index i, Index count, auto part) {
        const D d = incoming(k, i, count, part) * factor(i, count, part);  // 0 behind the end
        sums[which] += d;
        sums_hat[which] += d * normal(k, i, count, part);
        which = 1 - which;
      });
      sum[k - r] = sum_lanes(sums[0] + sums[1]);
      sum_hat[k - r] = sum_lanes(sums_hat[0] + sums_hat[1]);
    }
    sum.each([&](const D& all) { return all / D(static_cast<double>(n)); });
    sum_hat.each([&](const D& all) { return all / D(static_cast<double>(n)); });
    for_doubles<A>(n, [&](Index i, Index count, auto part) {
      const D by = factor(i, count, part);
      for (Index k = r; k < last; ++k) {
        const D v = D(rstd[k]) * (incoming(k, i, count, part) * by - D(sum[k - r]) -
                                  normal(k, i, count, part) * D(sum_hat[k - r]));
        store_double_part<T, A>(v, dx + k * n + i, count, part);
      }
    });
  }
}

template <class T, class A>
void Normalization<T, A>::layer_parameters(Index rows, Index n, Index step, const T* x,
                                           const double* mean, const double* rstd, const T* g,
                                           double* dgamma, double* dbeta) {
  using D = Vec<double, A>;
  constexpr Index kSummed = 4;  // rows
  for (Index r = 0; r < rows; r += kSummed) {
    const Index last = r + kSummed < rows ? r + kSummed : rows;
    for_doubles<A>(n, [&](Index i, Index count, auto part) {
      D gammas = load_double_part<double, A>(dgamma + i, count, part);
      D betas = load_double_part<double, A>(dbeta + i, count, part);
      for (Index k = r; k < last; ++k) {
        const D d = load_double_part<T, A>(g + k * step + i, count, part);
        const D v = load_double_part<T, A>(x + k * step + i, count, part);
        gammas += d * (v - D(mean[k])) * D(rstd[k]);
        betas += d;
      }
      store_double_part<double, A>(gammas, dgamma + i, count, part);
      store_double_part<double, A>(betas, dbeta + i, count, part);
    });
  }
}

template <class T, class A>
void Normalization<T, A>::rms(Index rows, Index n, double epsilon, const T* x, const T* scale, T* y,
                              double* rrms) {
  using D = Vec<double, A>;
  for (Index r = 0; r < rows; ++r, x += n, y += n) {
    const double squares = sum_over<A>(n, [&](Index i, Index count, auto part) {
      const D v = load_double_part<T, A>(x + i, count, part);
      return v * v;
    });
    rrms[r] = 1 / std::sqrt(squares / static_cast<double>(n) + epsilon);
    const D s(rrms[r]);
    for_doubles<A>(n, [&](Index i, Index count, auto part) {
      const D v = load_double_part<T, A>(x + i, count, part) * s;
      store_double_part<T, A>(v * load_double_part<T, A>(scale + i, count, part), y + i, count,
                              part);
    });
  }
}

template <class T, class A>
void Normalization<T, A>::rms_gradient(Index rows, Index n, const T* x, const T* scale,
                                       const double* rrms, const T* g, T* dx) {
  using D = Vec<double, A>;
  for (Index r = 0; r < rows; ++r, x += n, g += n, dx += n) {
    const D s(rrms[r]);
    const auto incoming = [&](Index i, Index count, auto part) {
      return load_double_part<T, A>(g + i, count, part) *
             load_double_part<T, A>(scale + i, count, part);
    };
    const auto normal = [&](Index i, Index count, auto part) {
      return load_double_part<T, A>(x + i, count, part) * s;
    };
    const double sum = sum_over<A>(n, [&](Index i, Index count, auto part) {
      return incoming(i, count, part) * normal(i, count, part);
    });
    const D mean(sum / static_cast<double>(n));
    for_doubles<A>(n, [&](Index i, Index count, auto part) {
      const D v = s * (incoming(i, count, part) - normal(i, count, part) * mean);
      store_double_part<T, A>(v, dx + i, count, part);
    });
  }
}

template <class T, class A>
void Normalization<T, A>::rms_parameters(Index rows, Index n, Index step, const T* x,
                                         const double* rrms, const T* g, double* dscale) {
  using D = Vec<double, A>;
  for (Index r = 0; r < rows; ++r, x += step, g += step) {
    const D s(rrms[r]);
    for_doubles<A>(n, [&](Index i, Index count, auto part) {
      const D v =
          load_double_part<T, A>(g + i, count, part) * load_double_part<T, A>(x + i, count, part);
      store_double_part<double, A>(
          xsimd::fma(v, s, load_double_part<double, A>(dscale + i, count, part)), dscale + i, count,
          part);
    });
  }
}

template struct Normalization<float, XTAPE_ARCH>;
template struct Normalization<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
