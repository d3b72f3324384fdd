#include "kernels/softmax.hpp"

#include "kernels/doubles.hpp"
#include "kernels/vector_math.hpp"

namespace xtape::kernels {
namespace {

constexpr double kLowest = -__builtin_inf();

/// Returns which of the elements i ... i + n - 1 of a row take part: all.
template <class T, class A> struct Everything {
  [[gnu::always_inline]] inline Mask<T, A> operator()(Index, Index n) const {
    return first_lanes(n);
  }
  /// Returns the mask m with m[l] = l < n.
  [[gnu::always_inline]] static inline Mask<T, A> first_lanes(Index n) {
    using V = Vec<T, A>;
    alignas(64) static constexpr auto kCount = [] {
      struct Table {
        T at[V::size];
      } table{};
      for (std::size_t i = 0; i < V::size; ++i) table.at[i] = static_cast<T>(i);
      return table;
    }();
    return V::load_aligned(kCount.at) < V(static_cast<T>(n));
  }
};
/// Returns which elements of a row take part: those whose bools, `step` apart, are true.
template <class T, class A> struct Chosen {
  const bool* mask;
  Index step;
  [[gnu::always_inline]] inline Mask<T, A> operator()(Index i, Index n) const {
    if (step == 1) return load_mask<T, A>(mask + i, n);
    bool some[Vec<T, A>::size];
    for (Index k = 0; k < n; ++k) some[k] = mask[(i + k) * step];
    return load_mask<T, A>(some, n);
  }
};

/// Pass 1 finds the maximum, pass 2 exponentials and their sum, pass 3 divides by the sum (or subtracts the
/// logarithm of the sum).
template <class T, class A, class Kept>
[[gnu::always_inline]] inline void row(bool log, Index n, const T* x, Kept kept, T* y) {
  using V = Vec<T, A>;
  using M = VectorMath<V>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  const V lowest(static_cast<T>(kLowest));
  const V zero(T(0));
  const auto take_part = [&](Index i, Index count, auto part) {
    if constexpr (std::is_same_v<Kept, Everything<T, A>> && decltype(part)::value) {
      return load_part<T, A>(x + i, count, part);
    } else {
      return xsimd::select(kept(i, count), load_part<T, A>(x + i, count, part), lowest);
    }
  };
  V tops[2] = {lowest, lowest};
  Index which = 0;
  for_vectors(n, kWidth, [&](Index i, Index count, auto part) {
    tops[which] = larger(take_part(i, count, part), tops[which]);
    which = 1 - which;
  });
  const T top = fold(larger(tops[0], tops[1]), [](const V& a, const V& b) { return larger(a, b); });
  if (top == static_cast<T>(kLowest)) {  // nothing takes part
    for_vectors(n, kWidth, [&](Index i, Index count, auto part) {
      store_part<T, A>(zero, y + i, count, part);
    });
    return;
  }
  SumInDouble<T, A> all;
  V last(T(0));  // the last, partial vector: a load right after a partial store would stall
  for_parts<V>(n, [&](auto nth, Index i, Index count, auto part) {
    // exp(-inf) = 0 for elements that take no part; NaN if the whole row becomes NaN.
    const V e = M::exp_flushed(take_part(i, count, part) - V(top));
    all.add(nth, e);
    if constexpr (!decltype(part)::value) {
      last = e;
    } else if (!log) {
      e.store_unaligned(y + i);
    }
  });
  const double sum = all.total();
  if (log) {
    const V shift(top + static_cast<T>(std::log(sum)));
    for_vectors(n, kWidth, [&](Index i, Index count, auto part) {
      const V v = load_part<T, A>(x + i, count, part) - shift;
      store_part<T, A>(xsimd::select(kept(i, count), v, lowest), y + i, count, part);
    });
  } else {
    const V scale(static_cast<T>(1 / sum));
    for_vectors(n, kWidth, [&](Index i, Index count, auto part) {
      V e = last;
      if constexpr (decltype(part)::value) e = V::load_unaligned(y + i);
      store_part<T, A>(e * scale, y + i, count, part);
    });
  }
}

}  // namespace

template <class T, class A>
void Softmax<T, A>::row(bool log, Index n, const T* x, const bool* mask, Index step, T* y) {
  if (mask == nullptr) {
    kernels::row<T, A>(log, n, x, Everything<T, A>{}, y);
  } else {
    kernels::row<T, A>(log, n, x, Chosen<T, A>{mask, step}, y);
  }
}

template <class T, class A>
void Softmax<T, A>::rows(bool log, Index rows, Index n, const T* x, T* y) {
  for (Index r = 0; r < rows; ++r) {
    kernels::row<T, A>(log, n, x + r * n, Everything<T, A>{}, y + r * n);
  }
}

template <class T, class A>
void Softmax<T, A>::gradient(Index rows, Index n, const T* y, const T* g, T* dx) {
  using V = Vec<T, A>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  const V zero(T(0));
  for (Index r = 0; r < rows; ++r, y += n, g += n, dx += n) {
    using D = Vec<double, A>;
    D sums[kParts<D>] = {};
    for_parts<D>(n, [&](auto which, Index i, Index count, auto part) {
      const D p = load_double_part<T, A>(y + i, count, part);
      const D d = load_double_part<T, A>(g + i, count, part);
      sums[which] += xsimd::select(p == D(0.0), p, p * d);
    });
    const V s(static_cast<T>(sum_parts(sums)));
    for_vectors(n, kWidth, [&](Index i, Index count, auto part) {
      const V p = load_part<T, A>(y + i, count, part);
      const V d = p * (load_part<T, A>(g + i, count, part) - s);
      store_part<T, A>(xsimd::select(p == zero, zero, d), dx + i, count, part);
    });
  }
}

template struct Softmax<float, XTAPE_ARCH>;
template struct Softmax<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
