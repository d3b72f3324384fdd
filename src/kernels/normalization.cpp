#include "kernels/normalization.hpp"

#include "kernels/doubles.hpp"

#include <cmath>

namespace xtape::kernels {
namespace {

/// Calls f(i, count, part) over the elements of a row, as many at a time as a vector has doubles.
template <class A, class F> [[gnu::always_inline]] inline void for_doubles(Index n, const F& f) {
  for_vectors(n, static_cast<Index>(Vec<double, A>::size), f);
}

/// Returns the sum of the parts of several sums, added in pairs.
template <int Sums, class D>
[[gnu::always_inline]] inline D merged(const D (&sum)[Sums * kParts<D>]) {
  constexpr int kNext = kParts<D>;
  const auto add = [](const D& a, const D& b) { return a + b; };
  D all[kNext];
  for (int k = 0; k < kNext; ++k) {
    all[k] = sum[k] + sum[k + kNext];
    if constexpr (Sums == 4) all[k] = all[k] + (sum[k + 2 * kNext] + sum[k + 3 * kNext]);
  }
  return fold_parts(all, add);
}

/// Returns a sum over n elements, in lanes: f(sum, i, count, part) returns a sum with a vector of elements added.
/// Four times eight lanes hide the latency of an addition.
template <class A, class F>
[[gnu::always_inline]] inline Vec<double, A> lanes_summed(Index n, const F& f) {
  using D = Vec<double, A>;
  constexpr Index kWidth = static_cast<Index>(D::size);
  constexpr Index kVectors = 4 * kParts<D>;
  D sum[kVectors];
  for (D& lanes : sum) lanes = D(0.0);
  constexpr std::true_type whole;
  Index i = 0;
  for (; i + kVectors * kWidth <= n; i += kVectors * kWidth) {
#pragma GCC unroll 16
    for (Index k = 0; k < kVectors; ++k) sum[k] = f(sum[k], i + k * kWidth, kWidth, whole);
  }
  for_parts<D>(n - i, [&](auto which, Index j, Index count, auto part) {
    sum[which] = f(sum[which], i + j, count, part);
  });
  return merged<4>(sum);
}
/// Returns the sum of all lanes of lanes_summed().
template <class A, class F> [[gnu::always_inline]] inline double sum_over(Index n, const F& f) {
  return sum_lanes(lanes_summed<A>(n, f));
}

/// Returns r with r[l] = l < n ? value[l] : 0.
template <class A, class Part>
[[gnu::always_inline]] inline Vec<double, A> only_first(const Vec<double, A>& value, Index n,
                                                        Part) {
  if constexpr (Part::value) {
    return value;
  } else {
    return where_bits<double, A>((std::uint64_t{1} << n) - 1, value);
  }
}

/// Rows that are computed together, so that the latencies of their sums, roots and quotients overlap.
constexpr Index kTogether = 8;

/// One number per row of those computed together.
template <class A> struct RowNumbers {
  using D = Vec<double, A>;
  static constexpr Index kWidth = static_cast<Index>(D::size);
  alignas(64) double of[kTogether];

  double operator[](Index k) const { return of[k]; }
  /// Stores of[k] = f(sum of the lanes of parts[k]), for whole vectors of rows at once.
  template <class F>
  [[gnu::always_inline]] inline void each_sum(D (&parts)[kTogether], const F& f) {
    for (Index k = 0; k < kTogether; k += kWidth) f(sums_of_lanes(parts + k)).store_aligned(of + k);
  }
};

/// Values that one pass over the rows computes and the next one reads: doubles in a buffer that stays in
/// L1. `Keeps` is false for rows that do not fit; get() then computes the value again.
constexpr Index kRoom = 2048;
template <class A, bool Keeps> struct Kept {
  using D = Vec<double, A>;
  alignas(64) double of[kRoom];
  Index row;

  explicit Kept(Index n) : row(whole_vectors(n)) {}
  static Index whole_vectors(Index n) { return round_up(n, static_cast<Index>(D::size)); }
  static bool fits(Index n) { return whole_vectors(n) <= kRoom; }
  Index rows() const { return min(kTogether, kRoom / row); }

  [[gnu::always_inline]] inline D keep(Index k, Index i, const D& x) {
    x.store_aligned(of + k * row + i);
    return x;
  }
  template <class F> [[gnu::always_inline]] inline D get(Index k, Index i, const F&) const {
    return D::load_aligned(of + k * row + i);
  }
};
template <class A> struct Kept<A, false> {
  using D = Vec<double, A>;

  explicit Kept(Index) {}
  static Index rows() { return 1; }
  [[gnu::always_inline]] inline D keep(Index, Index, const D& x) { return x; }
  template <class F> [[gnu::always_inline]] inline D get(Index, Index, const F& again) const {
    return again();
  }
};

template <class A, bool Keeps, class T>
void layer_rows(Index rows, Index n, double epsilon, const T* x, const T* gamma, const T* beta,
                T* y, double* mean, double* rstd) {
  using D = Vec<double, A>;
  const D count_of_all(static_cast<double>(n));
  Kept<A, Keeps> centred(n);
  const Index together = centred.rows();
  for (Index r = 0; r < rows; r += together, x += together * n, y += together * n) {
    const Index taken = min(together, rows - r);
    const auto element = [&](Index k, Index i, Index count, auto part) {
      return load_double_part<T, A>(x + k * n + i, count, part);
    };
    RowNumbers<A> m;
    RowNumbers<A> s;
    D parts[kTogether];
    for (Index k = taken; k < kTogether; ++k) parts[k] = D(0.0);
    for (Index k = 0; k < taken; ++k) {
      parts[k] = lanes_summed<A>(n, [&](const D& sum, Index i, Index count, auto part) {
        return sum + element(k, i, count, part);
      });
    }
    m.each_sum(parts, [&](const D& sum) { return sum / count_of_all; });
    for (Index k = 0; k < taken; ++k) {
      const D middle(m[k]);
      parts[k] = lanes_summed<A>(n, [&](const D& sum, Index i, Index count, auto part) {
        const D d =
            centred.keep(k, i, only_first<A>(element(k, i, count, part) - middle, count, part));
        return xsimd::fma(d, d, sum);
      });
    }
    s.each_sum(parts, [&](const D& squares) {
      return D(1.0) / xsimd::sqrt(squares / count_of_all + D(epsilon));
    });
    for (Index k = 0; k < taken; ++k) {
      mean[r + k] = m[k];
      rstd[r + k] = s[k];
    }
    for_doubles<A>(n, [&](Index i, Index count, auto part) {
      const D factor = gamma == nullptr ? D(1.0) : load_double_part<T, A>(gamma + i, count, part);
      const D shift = beta == nullptr ? D(0.0) : load_double_part<T, A>(beta + i, count, part);
      for (Index k = 0; k < taken; ++k) {
        const D d = centred.get(k, i, [&] { return element(k, i, count, part) - D(m[k]); });
        store_double_part<T, A>(xsimd::fma(d * D(s[k]), factor, shift), y + k * n + i, count, part);
      }
    });
  }
}

template <class A, bool Keeps, class T>
void layer_rows_gradient(Index rows, Index n, const T* x, const T* gamma, const double* mean,
                         const double* rstd, const T* g, T* dx) {
  using D = Vec<double, A>;
  const D count_of_all(static_cast<double>(n));
  Kept<A, Keeps> normal(n);
  Kept<A, Keeps> scaled(n);
  const Index together = normal.rows();
  const auto factor = [&](Index i, Index count, auto part) {
    return gamma == nullptr ? D(1.0) : load_double_part<T, A>(gamma + i, count, part);
  };
  for (Index r = 0; r < rows; r += together) {
    const Index taken = min(together, rows - r);
    const Index at = r * n;
    const auto normalized = [&](Index k, Index i, Index count, auto part) {
      return (load_double_part<T, A>(x + at + k * n + i, count, part) - D(mean[r + k])) *
             D(rstd[r + k]);
    };
    const auto incoming = [&](Index k, Index i, Index count, auto part) {
      return load_double_part<T, A>(g + at + k * n + i, count, part);
    };
    D sums[kTogether];
    D sums_hat[kTogether];
    for (Index k = taken; k < kTogether; ++k) sums[k] = sums_hat[k] = D(0.0);
    for (Index k = 0; k < taken; ++k) {
      D sum[2 * kParts<D>];
      D sum_hat[2 * kParts<D>];
      for (int j = 0; j < 2 * kParts<D>; ++j) sum[j] = sum_hat[j] = D(0.0);
      for_parts<D, 2>(n, [&](auto which, Index i, Index count, auto part) {
        const D d = scaled.keep(k, i, incoming(k, i, count, part) * factor(i, count, part));
        sum[which] += d;  // 0 behind the end
        const D hat = normal.keep(k, i, normalized(k, i, count, part));
        sum_hat[which] = xsimd::fma(d, hat, sum_hat[which]);
      });
      sums[k] = merged<2>(sum);
      sums_hat[k] = merged<2>(sum_hat);
    }
    RowNumbers<A> m;
    RowNumbers<A> m_hat;
    m.each_sum(sums, [&](const D& all) { return all / count_of_all; });
    m_hat.each_sum(sums_hat, [&](const D& all) { return all / count_of_all; });
    for_doubles<A>(n, [&](Index i, Index count, auto part) {
      const D by = factor(i, count, part);
      for (Index k = 0; k < taken; ++k) {
        const D hat = normal.get(k, i, [&] { return normalized(k, i, count, part); });
        const D d = scaled.get(k, i, [&] { return incoming(k, i, count, part) * by; });
        const D centred = xsimd::fnma(hat, D(m_hat[k]), d - D(m[k]));
        store_double_part<T, A>(D(rstd[r + k]) * centred, dx + at + k * n + i, count, part);
      }
    });
  }
}

}  // namespace

template <class T, class A>
void Normalization<T, A>::layer(Index rows, Index n, double epsilon, const T* x, const T* gamma,
                                const T* beta, T* y, double* mean, double* rstd) {
  Kept<A, true>::fits(n) ? layer_rows<A, true>(rows, n, epsilon, x, gamma, beta, y, mean, rstd)
                         : layer_rows<A, false>(rows, n, epsilon, x, gamma, beta, y, mean, rstd);
}

template <class T, class A>
void Normalization<T, A>::layer_gradient(Index rows, Index n, const T* x, const T* gamma,
                                         const double* mean, const double* rstd, const T* g,
                                         T* dx) {
  Kept<A, true>::fits(n) ? layer_rows_gradient<A, true>(rows, n, x, gamma, mean, rstd, g, dx)
                         : layer_rows_gradient<A, false>(rows, n, x, gamma, mean, rstd, g, dx);
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
        gammas = xsimd::fma(d * (v - D(mean[k])), D(rstd[k]), gammas);
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
    const double squares = sum_over<A>(n, [&](const D& sum, Index i, Index count, auto part) {
      const D v = load_double_part<T, A>(x + i, count, part);
      return xsimd::fma(v, v, sum);
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
    const double sum = sum_over<A>(n, [&](const D& before, Index i, Index count, auto part) {
      return xsimd::fma(incoming(i, count, part), normal(i, count, part), before);
    });
    const D mean(sum / static_cast<double>(n));
    for_doubles<A>(n, [&](Index i, Index count, auto part) {
      const D v = s * xsimd::fnma(normal(i, count, part), mean, incoming(i, count, part));
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
