#include "kernels/elementwise.hpp"

#include "kernels/lanes.hpp"

#include <cmath>

namespace xtape::kernels {
namespace {

/// An operand of the innermost loop: consecutive elements, or one element for all.
template <class T, class A> struct Consecutive {
  const T* p;
  template <class Part>
  [[gnu::always_inline]] inline Vec<T, A> at(Index i, Index n, Part part) const {
    return load_part<T, A>(p + i, n, part);
  }
};
template <class T, class A> struct Same {
  Vec<T, A> value;
  template <class Part> [[gnu::always_inline]] inline Vec<T, A> at(Index, Index, Part) const {
    return value;
  }
};

template <class A, class T, class Left, class Right, class F>
[[gnu::always_inline]] inline void row(Index n, const Left& a, const Right& b, T* y, F f) {
  for_vectors(n, static_cast<Index>(Vec<T, A>::size), [&](Index i, Index count, auto part) {
    store_part<T, A>(f(a.at(i, count, part), b.at(i, count, part)), y + i, count, part);
  });
}

/// y = f(a, b). The innermost loop has a form for each operand that is contiguous or constant.
template <class A, class T, class F>
void zip(const Loop<3>& given, const T* a, const T* b, T* y, F f) {
  using V = Vec<T, A>;
  Loop<3> loop = given;
  while (loop.rank < 2) {
    loop.dim[loop.rank] = 1;
    for (Index& s : loop.stride[loop.rank]) s = 0;
    ++loop.rank;
  }
  const Index n = loop.dim[0];
  const Index* s = loop.stride[0];
  const Index* t = loop.stride[1];
  const bool scalar_a = s[0] == 0;
  const bool scalar_b = s[1] == 0;
  for_each_outer(loop, 2, [&](const Index(&at)[3]) {
    const T* u = a + at[0];
    const T* v = b + at[1];
    T* w = y + at[2];
    for (Index k = 0; k < loop.dim[1]; ++k, u += t[0], v += t[1], w += t[2]) {
      if ((s[2] == 1 || n == 1) && (s[0] == 1 || scalar_a) && (s[1] == 1 || scalar_b)) {
        if (!scalar_a && !scalar_b) {
          row<A>(n, Consecutive<T, A>{u}, Consecutive<T, A>{v}, w, f);
        } else if (scalar_b && !scalar_a) {
          row<A>(n, Consecutive<T, A>{u}, Same<T, A>{V(*v)}, w, f);
        } else if (scalar_a && !scalar_b) {
          row<A>(n, Same<T, A>{V(*u)}, Consecutive<T, A>{v}, w, f);
        } else {
          row<A>(n, Same<T, A>{V(*u)}, Same<T, A>{V(*v)}, w, f);
        }
      } else {
        for (Index i = 0; i < n; ++i) {
          const V r = f(V(u[i * s[0]]), V(v[i * s[1]]));
          store_first<T, A>(r, w + i * s[2], 1);
        }
      }
    }
  });
}

template <class T, class A>
[[gnu::always_inline]] inline Vec<T, A> power(const Vec<T, A>& a, const Vec<T, A>& b) {
  alignas(64) T x[Vec<T, A>::size];
  alignas(64) T e[Vec<T, A>::size];
  a.store_aligned(x);
  b.store_aligned(e);
  for (std::size_t i = 0; i < Vec<T, A>::size; ++i) {
    x[i] = static_cast<T>(std::pow(static_cast<double>(x[i]), static_cast<double>(e[i])));
  }
  return Vec<T, A>::load_aligned(x);
}

}  // namespace

template <class T, class A>
void Elementwise<T, A>::binary(Binary op, const Loop<3>& loop, const T* a, const T* b, T* y) {
  using V = Vec<T, A>;
  using xsimd::select;
  const V zero(T(0)), one(T(1));
  switch (op) {
    case Binary::add: return zip<A>(loop, a, b, y, [](V u, V v) { return u + v; });
    case Binary::subtract: return zip<A>(loop, a, b, y, [](V u, V v) { return u - v; });
    case Binary::multiply: return zip<A>(loop, a, b, y, [](V u, V v) { return u * v; });
    case Binary::divide: return zip<A>(loop, a, b, y, [](V u, V v) { return u / v; });
    case Binary::power: return zip<A>(loop, a, b, y, [](V u, V v) { return power<T, A>(u, v); });
    // NaN passes from either side, as in NumPy.
    case Binary::maximum: return zip<A>(loop, a, b, y, [](V u, V v) { return larger(u, v); });
    case Binary::minimum: return zip<A>(loop, a, b, y, [](V u, V v) { return smaller(u, v); });
    case Binary::less:
      return zip<A>(loop, a, b, y, [=](V u, V v) { return select(u < v, one, zero); });
    case Binary::less_equal:
      return zip<A>(loop, a, b, y, [=](V u, V v) { return select(u <= v, one, zero); });
    case Binary::equal:
      return zip<A>(loop, a, b, y, [=](V u, V v) { return select(u == v, one, zero); });
  }
}

template <class T, class A>
void Elementwise<T, A>::select(const Loop<4>& loop, const bool* condition, const T* a, const T* b,
                               T* y) {
  using V = Vec<T, A>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  if (loop.rank == 0) {
    *y = *condition ? *a : *b;
    return;
  }
  const Index n = loop.dim[0];
  const Index* s = loop.stride[0];
  const auto fits = [](Index stride) { return stride == 0 || stride == 1; };
  const bool vectors = s[3] == 1 && fits(s[0]) && fits(s[1]) && fits(s[2]);
  for_each_outer(loop, 1, [&](const Index(&at)[4]) {
    const bool* c = condition + at[0];
    const T* u = a + at[1];
    const T* v = b + at[2];
    T* w = y + at[3];
    if (!vectors) {
      for (Index i = 0; i < n; ++i) w[i * s[3]] = c[i * s[0]] ? u[i * s[1]] : v[i * s[2]];
    } else if (s[0] == 0) {
      const T* chosen = *c ? u : v;
      const Index step = *c ? s[1] : s[2];
      for (Index i = 0; i < n; ++i) w[i] = chosen[i * step];
    } else {
      for_vectors(n, kWidth, [&](Index i, Index count, auto part) {
        const V left = s[1] == 0 ? V(*u) : load_part<T, A>(u + i, count, part);
        const V right = s[2] == 0 ? V(*v) : load_part<T, A>(v + i, count, part);
        const auto mask = load_mask<T, A>(c + i, count);
        store_part<T, A>(xsimd::select(mask, left, right), w + i, count, part);
      });
    }
  });
}

template <class T, class A> void Elementwise<T, A>::fill(Index n, T value, T* y) {
  using V = Vec<T, A>;
  for_vectors(n, static_cast<Index>(V::size), [&](Index i, Index count, auto part) {
    store_part<T, A>(V(value), y + i, count, part);
  });
}

template <class T, class A> void Elementwise<T, A>::add_to(Index n, const T* x, T* y) {
  for_vectors(n, static_cast<Index>(Vec<T, A>::size), [&](Index i, Index count, auto part) {
    store_part<T, A>(load_part<T, A>(y + i, count, part) + load_part<T, A>(x + i, count, part),
                     y + i, count, part);
  });
}

template <class T, class A> void Elementwise<T, A>::scale(Index n, T factor, const T* x, T* y) {
  using V = Vec<T, A>;
  for_vectors(n, static_cast<Index>(V::size), [&](Index i, Index count, auto part) {
    store_part<T, A>(load_part<T, A>(x + i, count, part) * V(factor), y + i, count, part);
  });
}

template <class T, class A> Index Elementwise<T, A>::first_non_finite(Index n, const T* x) {
  using V = Vec<T, A>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  constexpr Index kBlock = 4 * kWidth;
  Index i = 0;
  // x - x is 0 if x is finite, else NaN. A sum of such differences tells about all.
  for (; i + kBlock <= n; i += kBlock) {
    V sum(T(0));
    for (Index k = 0; k < kBlock; k += kWidth) {
      const V v = V::load_unaligned(x + i + k);
      sum += v - v;
    }
    if (!xsimd::all(a_number(sum))) break;
  }
  for (; i < n; ++i) {
    if (!(x[i] - x[i] == T(0))) return i;
  }
  return -1;
}

template struct Elementwise<float, XTAPE_ARCH>;
template struct Elementwise<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
