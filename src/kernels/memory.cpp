#include "kernels/memory.hpp"

#include <cstring>

namespace xtape::kernels {
namespace {

constexpr Index kTile = 16;

// Two innermost loops whose strides cross (a transpose) are walked in tiles, so that both sides
// stay in the cache.
template <class T>
bool crossing(const Loop<2>& loop) {
  return loop.rank >= 2 && loop.stride[0][1] == 1 && loop.stride[1][0] == 1 &&
         loop.dim[0] >= kTile && loop.dim[1] >= kTile;
}

template <class T, class F>
void walk(const Loop<2>& loop, const T* source, T* target, F f) {
  if (loop.rank == 0) {
    f(*source, *target);
    return;
  }
  const Index n = loop.dim[0];
  const Index s = loop.stride[0][0];
  const Index t = loop.stride[0][1];
  if (crossing<T>(loop)) {
    const Index m = loop.dim[1];
    const Index u = loop.stride[1][1];
    for_each_outer(loop, 2, [&](const Index(&at)[2]) {
      const T* from = source + at[0];
      T* to = target + at[1];
      for (Index i0 = 0; i0 < m; i0 += kTile) {
        const Index i1 = i0 + kTile < m ? i0 + kTile : m;
        for (Index j0 = 0; j0 < n; j0 += kTile) {
          const Index j1 = j0 + kTile < n ? j0 + kTile : n;
          for (Index i = i0; i < i1; ++i) {
            for (Index j = j0; j < j1; ++j) f(from[i + j * s], to[i * u + j]);
          }
        }
      }
    });
    return;
  }
  for_each_outer(loop, 1, [&](const Index(&at)[2]) {
    const T* from = source + at[0];
    T* to = target + at[1];
    if (s == 1 && t == 1) {
      for (Index i = 0; i < n; ++i) f(from[i], to[i]);
    } else {
      for (Index i = 0; i < n; ++i) f(from[i * s], to[i * t]);
    }
  });
}

}  // namespace

template <class T>
void copy(const Loop<2>& loop, const T* source, T* target) {
  walk(loop, source, target, [](const T& a, T& b) { b = a; });
}

template <class T>
void copy_add(const Loop<2>& loop, const T* source, T* target) {
  walk(loop, source, target, [](const T& a, T& b) { b += a; });
}

template <class T>
void gather(Index outer, Index length, Index inner, const std::int64_t* ids, Index count,
            const T* x, T* y) {
  if (inner == 0) return;  // the arrays may have no address
  for (Index o = 0; o < outer; ++o) {
    for (Index k = 0; k < count; ++k) {
      std::memcpy(y + (o * count + k) * inner, x + (o * length + ids[k]) * inner,
                  static_cast<std::size_t>(inner) * sizeof(T));
    }
  }
}

template <class T>
void scatter_add(Index outer, Index length, Index inner, const std::int64_t* ids, Index count,
                 const T* g, T* x) {
  for (Index o = 0; o < outer; ++o) {
    for (Index k = 0; k < count; ++k) {
      const T* from = g + (o * count + k) * inner;
      T* to = x + (o * length + ids[k]) * inner;
      for (Index i = 0; i < inner; ++i) to[i] += from[i];
    }
  }
}

template <class T>
void cumsum(Index outer, Index length, Index inner, bool reverse, const T* x, T* y) {
  for (Index o = 0; o < outer; ++o) {
    for (Index i = 0; i < inner; ++i) {
      double sum = 0;
      for (Index k = 0; k < length; ++k) {
        const Index at = (o * length + (reverse ? length - 1 - k : k)) * inner + i;
        sum += static_cast<double>(x[at]);
        y[at] = static_cast<T>(sum);
      }
    }
  }
}

template <class T>
void triangle(Index batch, Index rows, Index columns, Index diagonal, bool upper, const T* x,
              T* y) {
  for (Index b = 0; b < batch; ++b) {
    for (Index r = 0; r < rows; ++r) {
      for (Index c = 0; c < columns; ++c, ++x, ++y) {
        const bool keep = upper ? c - r >= diagonal : c - r <= diagonal;
        *y = keep ? *x : T(0);
      }
    }
  }
}

template void copy(const Loop<2>&, const bool*, bool*);
template void copy(const Loop<2>&, const std::int64_t*, std::int64_t*);
#define XTAPE_INSTANTIATE(T)                                                                \
  template void copy(const Loop<2>&, const T*, T*);                                         \
  template void copy_add(const Loop<2>&, const T*, T*);                                     \
  template void gather(Index, Index, Index, const std::int64_t*, Index, const T*, T*);      \
  template void scatter_add(Index, Index, Index, const std::int64_t*, Index, const T*, T*); \
  template void cumsum(Index, Index, Index, bool, const T*, T*);                            \
  template void triangle(Index, Index, Index, Index, bool, const T*, T*);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::kernels
