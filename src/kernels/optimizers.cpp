#include "kernels/optimizers.hpp"

#include "kernels/lanes.hpp"

namespace xtape::kernels {

template <class T, class A>
void Updates<T, A>::sgd(Index n, T lr, T momentum, bool nesterov, T decay, T scale, const T* g,
                        T* m, const T* from, T* to) {
  using V = Vec<T, A>;
  const V rate(-lr), keep(momentum), fade(decay), factor(scale);
  for_vectors(n, static_cast<Index>(V::size), [&](Index i, Index count, auto part) {
    const V step = rate * (load_part<T, A>(g + i, count, part) * factor);
    V by = step;
    if (m != nullptr) {
      const V moved = xsimd::fma(keep, load_part<T, A>(m + i, count, part), step);
      store_part<T, A>(moved, m + i, count, part);
      by = nesterov ? xsimd::fma(keep, moved, step) : moved;
    }
    const V weight = load_part<T, A>(from + i, count, part);
    store_part<T, A>(weight + xsimd::fnma(fade, weight, by), to + i, count, part);
  });
}

template <class T, class A>
void Updates<T, A>::adam(Index n, T rate, T gain_1, T gain_2, T epsilon, T decay, T scale,
                         const T* g, T* m, T* v, const T* from, T* to) {
  using V = Vec<T, A>;
  const V rates(rate), gains_1(gain_1), gains_2(gain_2), small(epsilon), fade(decay), factor(scale);
  for_vectors(n, static_cast<Index>(V::size), [&](Index i, Index count, auto part) {
    const V gradient = load_part<T, A>(g + i, count, part) * factor;
    V first = load_part<T, A>(m + i, count, part);
    V second = load_part<T, A>(v + i, count, part);
    first = xsimd::fma(gradient - first, gains_1, first);
    second = xsimd::fma(xsimd::fms(gradient, gradient, second), gains_2, second);
    const V weight = load_part<T, A>(from + i, count, part);
    const V by = xsimd::fma(fade, weight, rates * first / (xsimd::sqrt(second) + small));
    store_part<T, A>(first, m + i, count, part);
    store_part<T, A>(second, v + i, count, part);
    store_part<T, A>(weight - by, to + i, count, part);
  });
}

template struct Updates<float, XTAPE_ARCH>;
template struct Updates<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
