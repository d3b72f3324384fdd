#include "kernels/reduce.hpp"

#include "kernels/doubles.hpp"

#include <limits>

namespace xtape::kernels {
namespace {

// Reductions accumulate vectors of Acc: doubles for sums, elements for extremes.
template <class T, class A> struct Sum {
  using Acc = double;
  using V = Vec<double, A>;
  static constexpr Acc start = 0;
  template <class Part>
  [[gnu::always_inline]] static inline V load(const T* p, Index n, Part part) {
    return load_double_part<T, A>(p, n, part);  // 0 behind the end
  }
  [[gnu::always_inline]] static inline V merge(const V& a, const V& b) { return a + b; }
};
template <class T, class A> struct SumOfSquares : Sum<T, A> {
  using V = Vec<double, A>;
  template <class Part>
  [[gnu::always_inline]] static inline V load(const T* p, Index n, Part part) {
    const V v = load_double_part<T, A>(p, n, part);
    return v * v;
  }
};
template <class T, class A, bool Largest> struct Extreme {
  using Acc = T;
  using V = Vec<T, A>;
  static constexpr Acc start =
      Largest ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
  template <bool Whole>
  [[gnu::always_inline]] static inline V load(const T* p, Index n, std::bool_constant<Whole> part) {
    if constexpr (Whole) {
      return load_part<T, A>(p, n, part);
    } else {
      T all[V::size];
      for (std::size_t i = 0; i < V::size; ++i) all[i] = start;
      for (Index i = 0; i < n; ++i) all[i] = p[i];
      return V::load_unaligned(all);
    }
  }
  [[gnu::always_inline]] static inline V merge(const V& a, const V& b) {
    if constexpr (Largest) {
      return larger(b, a);
    } else {
      return smaller(b, a);
    }
  }
};

/// Returns the reduction of one set of elements.
template <class Op, class T, class A> typename Op::Acc row(const Loop<1>& reduced, const T* x) {
  using V = typename Op::V;
  constexpr Index kWidth = static_cast<Index>(V::size);
  constexpr Index kVectors = 4 * kParts<V>;  // four times 64 bytes hide the latency of an addition
  constexpr Index kBlock = kVectors * kWidth;
  V total[kParts<V>];
  for (V& part : total) part = V(Op::start);
  const Index n = reduced.rank == 0 ? 1 : reduced.dim[0];
  const Index s = reduced.rank == 0 ? 1 : reduced.stride[0][0];
  for_each_outer(reduced, 1, [&](const Index(&at)[1]) {
    const T* p = x + at[0];
    if (s != 1) {
      V first(Op::start);
      for (Index i = 0; i < n; ++i) {
        first = Op::merge(first, Op::load(p + i * s, 1, std::false_type{}));
      }
      total[0] = Op::merge(total[0], first);
      return;
    }
    Index i = 0;
    if (n >= kBlock) {
      constexpr std::true_type whole;
      V lane[kVectors];
      for (V& part : lane) part = V(Op::start);
      for (; i + kBlock <= n; i += kBlock) {
#pragma GCC unroll 16
        for (Index k = 0; k < kVectors; ++k) {
          lane[k] = Op::merge(lane[k], Op::load(p + i + k * kWidth, kWidth, whole));
        }
      }
      for (Index k = 0; k < kParts<V>; ++k) {
        const V* of = lane + k;
        constexpr Index kNext = kParts<V>;
        total[k] = Op::merge(total[k], Op::merge(Op::merge(of[0], of[kNext]),
                                                 Op::merge(of[2 * kNext], of[3 * kNext])));
      }
    }
    for_parts<V>(n - i, [&](auto which, Index j, Index count, auto part) {
      total[which] = Op::merge(total[which], Op::load(p + i + j, count, part));
    });
  });
  const auto merge = [](const V& a, const V& b) { return Op::merge(a, b); };
  return fold(fold_parts(total, merge), merge);
}

/// Stores n accumulators as elements of T.
template <class T, class A, class Acc, class Part>
[[gnu::always_inline]] inline void store_result(const Vec<Acc, A>& v, T* y, Index n, Part part) {
  if constexpr (std::is_same_v<Acc, T>) {
    store_part<T, A>(v, y, n, part);
  } else {
    store_double_part<T, A>(v, y, n, part);
  }
}

/// Merges rows of p, `step` apart, into `width` accumulators, which fill whole vectors.
template <class Op, class T>
inline void merge_rows(Index rows, Index width, Index step, const T* p, typename Op::Acc* acc) {
  using V = typename Op::V;
  constexpr Index kWidth = static_cast<Index>(V::size);
  Index i = 0;
  for (; i + 4 <= rows; i += 4, p += 4 * step) {
    for_vectors(width, kWidth, [&](Index j, Index count, auto part) {
      const V a = Op::merge(Op::load(p + j, count, part), Op::load(p + step + j, count, part));
      const V b = Op::merge(Op::load(p + 2 * step + j, count, part),
                            Op::load(p + 3 * step + j, count, part));
      Op::merge(V::load_aligned(acc + j), Op::merge(a, b)).store_aligned(acc + j);
    });
  }
  for (; i < rows; ++i, p += step) {
    for_vectors(width, kWidth, [&](Index j, Index count, auto part) {
      Op::merge(V::load_aligned(acc + j), Op::load(p + j, count, part)).store_aligned(acc + j);
    });
  }
}

/// Reduces columns that are contiguous in x. Memory is read along rows, and the accumulators stay in L1.
template <class Op, class T, class A>
void columns(const Loop<1>& kept, const Loop<1>& reduced, const T* x, T* y) {
  using V = typename Op::V;
  using Acc = typename Op::Acc;
  constexpr Index kWidth = static_cast<Index>(V::size);
  constexpr Index kColumns = 512;
  const Index n = kept.dim[0];
  const Index rows = reduced.dim[0];
  const Index step = reduced.stride[0][0];
  for_each_outer(kept, 1, [&](const Index(&at)[1]) {
    for (Index j0 = 0; j0 < n; j0 += kColumns) {
      const Index width = min(kColumns, n - j0);
      alignas(64) Acc acc[kColumns];
      for (Index j = 0; j < width; j += kWidth) V(Op::start).store_aligned(acc + j);
      for_each_outer(reduced, 1, [&](const Index(&r)[1]) {
        merge_rows<Op>(rows, width, step, x + at[0] + j0 + r[0], acc);
      });
      for_vectors(width, kWidth, [&](Index j, Index count, auto part) {
        store_result<T, A, Acc>(V::load_aligned(acc + j), y + j, count, part);
      });
      y += width;
    }
  });
}

template <class Op, class T, class A>
void run(const Loop<1>& kept, const Loop<1>& reduced, const T* x, T* y) {
  if (reduced.size() == 0) {
    const Index n = kept.size();
    for (Index i = 0; i < n; ++i) y[i] = static_cast<T>(Op::start);
  } else if (kept.rank > 0 && kept.stride[0][0] == 1 && reduced.rank > 0 &&
             reduced.stride[0][0] != 1) {
    columns<Op, T, A>(kept, reduced, x, y);
  } else {
    for_each_outer(kept, 0, [&](const Index(&at)[1]) {
      *y++ = static_cast<T>(row<Op, T, A>(reduced, x + at[0]));
    });
  }
}

/// Returns the index of the first NaN of n contiguous elements, or else of their first extreme. It finds the
/// value first, then the index.
template <class T, class A, bool Largest> Index find_extreme(Index n, const T* x) {
  using V = Vec<T, A>;
  Loop<1> all;
  all.push(n, {1});
  const T extreme = row<Extreme<T, A, Largest>, T, A>(all, x);
  constexpr Index kWidth = static_cast<Index>(V::size);
  Index i = 0;
  if (extreme == extreme) {
    while (i + kWidth <= n && !xsimd::any(V::load_unaligned(x + i) == V(extreme))) i += kWidth;
    while (x[i] != extreme) ++i;
  } else {
    while (x[i] == x[i]) ++i;
  }
  return i;
}

}  // namespace

template <class T, class A>
void Reductions<T, A>::reduce(Reduce op, const Loop<1>& kept, const Loop<1>& reduced, const T* x,
                              T* y) {
  switch (op) {
    case Reduce::sum: return run<Sum<T, A>, T, A>(kept, reduced, x, y);
    case Reduce::sum_of_squares: return run<SumOfSquares<T, A>, T, A>(kept, reduced, x, y);
    case Reduce::max: return run<Extreme<T, A, true>, T, A>(kept, reduced, x, y);
    case Reduce::min: return run<Extreme<T, A, false>, T, A>(kept, reduced, x, y);
  }
}

template <class T, class A>
void Reductions<T, A>::add_rows(Index rows, Index n, Index step, const T* x, double* sums) {
  merge_rows<Sum<T, A>>(rows, n, step, x, sums);
}

template <class T, class A>
void Reductions<T, A>::arg_extreme(bool largest, Index outer, Index length, Index inner, const T* x,
                                   std::int64_t* y) {
  for (Index o = 0; o < outer; ++o) {
    for (Index i = 0; i < inner; ++i) {
      const T* p = x + o * length * inner + i;
      if (inner == 1) {
        y[o] = largest ? find_extreme<T, A, true>(length, p) : find_extreme<T, A, false>(length, p);
        continue;
      }
      Index best = 0;
      for (Index k = 1; k < length; ++k) {
        const T candidate = p[k * inner];
        const T present = p[best * inner];
        if (present != present) break;
        if (candidate != candidate || (largest ? candidate > present : candidate < present)) {
          best = k;
        }
      }
      y[o * inner + i] = best;
    }
  }
}

template struct Reductions<float, XTAPE_ARCH>;
template struct Reductions<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
