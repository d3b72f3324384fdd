#include "kernels/cross_entropy.hpp"

#include "kernels/doubles.hpp"
#include "kernels/vector_math.hpp"

namespace xtape::kernels {

template <class T, class A>
void CrossEntropy<T, A>::value(Index rows, Index n, const T* x, const std::int64_t* labels,
                               T smoothing, T* loss, T* lse) {
  using V = Vec<T, A>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  for (Index r = 0; r < rows; ++r, x += n) {
    if (labels[r] < 0) {
      loss[r] = T(0);
      lse[r] = T(0);
      continue;
    }
    // The maximum starts from the first element, so that no lane holds anything from behind the row.
    V tops[2] = {V(x[0]), V(x[0])};
    Index which = 0;
    const Index whole = n / kWidth * kWidth;
    for (Index i = 0; i < whole; i += kWidth, which = 1 - which) {
      tops[which] = larger(V::load_unaligned(x + i), tops[which]);
    }
    for (Index i = whole; i < n; ++i) tops[0] = larger(V(x[i]), tops[0]);
    const T top =
        fold(larger(tops[0], tops[1]), [](const V& a, const V& b) { return larger(a, b); });
    SumInDouble<T, A> sum;
    SumInDouble<T, A> logits;
    const auto add_up = [&](auto smoothed) {
      for_parts<V>(n, [&](auto nth, Index i, Index count, auto part) {
        const V v = load_part<T, A>(x + i, count, part);  // zeros behind the row
        V e = VectorMath<V>::exp_flushed(v - V(top));
        if constexpr (!decltype(part)::value) {
          e = where_bits<T, A>((std::uint64_t{1} << count) - 1, e);
        }
        sum.add(nth, e);
        if constexpr (decltype(smoothed)::value) logits.add(nth, v);
      });
    };
    if (smoothing == T(0)) {
      add_up(std::false_type{});
    } else {
      add_up(std::true_type{});
    }
    lse[r] = top + static_cast<T>(std::log(sum.total()));
    loss[r] = lse[r] - x[labels[r]];
    if (smoothing != T(0)) {
      const T mean = static_cast<T>(logits.total() / static_cast<double>(n));
      const T hard = smoothing == T(1) ? T(0) : (T(1) - smoothing) * loss[r];  // not 0 * infinity
      loss[r] = hard + smoothing * (lse[r] - mean);
    }
  }
}

template <class T, class A>
void CrossEntropy<T, A>::gradient(Index rows, Index n, const T* x, const std::int64_t* labels,
                                  T smoothing, const T* lse, const T* g, T* dx) {
  using V = Vec<T, A>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  for (Index r = 0; r < rows; ++r, x += n, dx += n) {
    if (labels[r] < 0) {
      for (Index i = 0; i < n; ++i) dx[i] = T(0);
      continue;
    }
    const V shift(lse[r]);
    const V factor(g[r]);
    const V spread(g[r] * (smoothing / static_cast<T>(n)));
    const auto store = [&](auto smoothed) {
      for_vectors(n, kWidth, [&](Index i, Index count, auto part) {
        V d = factor * VectorMath<V>::exp_flushed(load_part<T, A>(x + i, count, part) - shift);
        if constexpr (decltype(smoothed)::value) d = d - spread;
        store_part<T, A>(d, dx + i, count, part);
      });
    };
    if (smoothing == T(0)) {
      store(std::false_type{});
    } else {
      store(std::true_type{});
    }
    dx[labels[r]] -= g[r] * (T(1) - smoothing);
  }
}

template struct CrossEntropy<float, XTAPE_ARCH>;
template struct CrossEntropy<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
