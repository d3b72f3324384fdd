#include "kernels/memory.hpp"

#include "kernels/transpose.hpp"

#include <cstring>

namespace xtape::kernels {
namespace {

constexpr Index kTile = 16;  // a line of the cache, of floats
constexpr Index kLines = 4;  // neighbours, which the processor fetches together

constexpr Index smaller(Index a, Index b) { return a < b ? a : b; }

/// A part of a transpose: to[i * to_row + j] = from[i + j * from_column].
template <class T, class A>
void turn(Index rows, Index columns, const T* from, Index from_column, T* to, Index to_row) {
  if constexpr (sizeof(T) == 1) {
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < columns; ++j) to[i * to_row + j] = from[i + j * from_column];
    }
  } else {
    using U = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    constexpr Index kSize = Square<U, A>::kSize;
    const Index whole_rows = rows / kSize * kSize;
    const Index whole_columns = columns / kSize * kSize;
    for (Index i = 0; i < whole_rows; i += kSize) {
      for (Index j = 0; j < whole_columns; j += kSize) {
        Square<U, A>::turn(reinterpret_cast<const U*>(from + i + j * from_column), from_column,
                           reinterpret_cast<U*>(to + i * to_row + j), to_row);
      }
      for (Index k = i; k < i + kSize; ++k) {
        for (Index j = whole_columns; j < columns; ++j) {
          to[k * to_row + j] = from[k + j * from_column];
        }
      }
    }
    for (Index i = whole_rows; i < rows; ++i) {
      for (Index j = 0; j < columns; ++j) to[i * to_row + j] = from[i + j * from_column];
    }
  }
}

/// Two innermost loops whose strides cross (a transpose) are walked in tiles, so that both sides stay
/// in the cache; f(rows, columns, from, its column stride, to, its row stride) does one.
template <class T, class F>
void walk_tiles(const Loop<2>& loop, const T* source, T* target, F f) {
  const Index n = loop.dim[0];
  const Index m = loop.dim[1];
  const Index s = loop.stride[0][0];
  const Index u = loop.stride[1][1];
  for_each_outer(loop, 2, [&](const Index(&at)[2]) {
    const T* from = source + at[0];
    T* to = target + at[1];
    for (Index i = 0; i < m; i += kLines * kTile) {
      const Index rows = smaller(kLines * kTile, m - i);
      for (Index j = 0; j < n; j += kTile) {
        f(rows, smaller(kTile, n - j), from + i + j * s, s, to + i * u + j, u);
      }
    }
  });
}

template <class T>
bool crossing(const Loop<2>& loop) {
  return loop.rank >= 2 && loop.stride[0][1] == 1 && loop.stride[1][0] == 1 && loop.dim[0] >= 4 &&
         loop.dim[1] >= 4;
}

/// f(source, its stride, target, its stride) for every innermost loop.
template <class T, class F>
[[gnu::always_inline]] inline void walk_rows(const Loop<2>& loop, const T* source, T* target, F f) {
  const Index repeat = loop.rank > 1 ? loop.dim[1] : 1;
  for_each_outer(loop, 2, [&](const Index(&at)[2]) {
    const T* from = source + at[0];
    T* to = target + at[1];
    for (Index k = 0; k < repeat; ++k) {
      f(from, to);
      from += loop.stride[1][0];
      to += loop.stride[1][1];
    }
  });
}

/// Copies n consecutive elements, for few of which a call would be slow.
template <class T, class A>
[[gnu::always_inline]] inline void copy_row(Index n, const T* from, T* to) {
  constexpr Index kFew = 1024;
  constexpr std::size_t kBytes = sizeof(Vec<float, A>);
  constexpr Index kWidth = static_cast<Index>(kBytes / sizeof(T));
  if (n > kFew) {
    std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
    return;
  }
  Index i = 0;
  for (; i + kWidth <= n; i += kWidth) __builtin_memcpy(to + i, from + i, kBytes);
#pragma GCC unroll 8
  for (Index half = kWidth / 2; half > 0; half /= 2) {
    if (i + half > n) continue;
    __builtin_memcpy(to + i, from + i, static_cast<std::size_t>(half) * sizeof(T));
    i += half;
  }
}

template <class T, class A>
[[gnu::always_inline]] inline void add_row(Index n, const T* from, T* to) {
  for_vectors(n, static_cast<Index>(Vec<T, A>::size), [&](Index i, Index count, auto part) {
    store_part<T, A>(load_part<T, A>(to + i, count, part) + load_part<T, A>(from + i, count, part),
                     to + i, count, part);
  });
}

/// A loop over nothing but one element has one dimension all the same.
template <class T>
Loop<2> with_strides(const Loop<2>& given) {
  Loop<2> loop = given;
  if (loop.rank == 0) loop.dim[0] = 1;
  if (loop.rank == 0) loop.stride[0][0] = loop.stride[0][1] = 1;
  if (loop.rank < 2) loop.stride[1][0] = loop.stride[1][1] = 0;
  if (loop.rank == 0) loop.rank = 1;
  return loop;
}

}  // namespace

template <class T, class A>
void Memory<T, A>::copy(const Loop<2>& given, const T* source, T* target) {
  const Loop<2> loop = with_strides<T>(given);
  const Index n = loop.dim[0];
  const Index s = loop.stride[0][0];
  const Index t = loop.stride[0][1];
  if (crossing<T>(loop)) {
    walk_tiles(loop, source, target,
               [](Index rows, Index columns, const T* from, Index column, T* to, Index row) {
                 turn<T, A>(rows, columns, from, column, to, row);
               });
  } else if (s == 1 && t == 1) {
    walk_rows(loop, source, target, [=](const T* from, T* to) { copy_row<T, A>(n, from, to); });
  } else if (s == 0 && t == 1) {
    walk_rows(loop, source, target, [=](const T* from, T* to) {
      const T value = *from;
      for (Index i = 0; i < n; ++i) to[i] = value;
    });
  } else {
    walk_rows(loop, source, target, [=](const T* from, T* to) {
      for (Index i = 0; i < n; ++i) to[i * t] = from[i * s];
    });
  }
}

template <class T, class A>
void Arithmetic<T, A>::copy_add(const Loop<2>& given, const T* source, T* target) {
  const Loop<2> loop = with_strides<T>(given);
  const Index n = loop.dim[0];
  const Index s = loop.stride[0][0];
  const Index t = loop.stride[0][1];
  if (crossing<T>(loop)) {
    walk_tiles(loop, source, target,
               [](Index rows, Index columns, const T* from, Index column, T* to, Index row) {
                 for (Index i = 0; i < rows; ++i) {
                   for (Index j = 0; j < columns; ++j) to[i * row + j] += from[i + j * column];
                 }
               });
  } else if (s == 1 && t == 1) {
    walk_rows(loop, source, target, [=](const T* from, T* to) { add_row<T, A>(n, from, to); });
  } else {
    walk_rows(loop, source, target, [=](const T* from, T* to) {
      for (Index i = 0; i < n; ++i) to[i * t] += from[i * s];
    });
  }
}

template <class T, class A>
void Arithmetic<T, A>::gather(Index outer, Index length, Index inner, const std::int64_t* ids,
                              Index count, const T* x, T* y) {
  if (inner == 0) return;  // the arrays may have no address
  for (Index o = 0; o < outer; ++o) {
    const T* from = x + o * length * inner;
    T* to = y + o * count * inner;
    if (inner == 1) {
      for (Index k = 0; k < count; ++k) to[k] = from[ids[k]];
    } else {
      for (Index k = 0; k < count; ++k) {
        copy_row<T, A>(inner, from + ids[k] * inner, to + k * inner);
      }
    }
  }
}

template <class T, class A>
void Arithmetic<T, A>::scatter_add(Index outer, Index length, Index inner, const std::int64_t* ids,
                                   Index count, const T* g, T* x) {
  for (Index o = 0; o < outer; ++o) {
    const T* from = g + o * count * inner;
    T* to = x + o * length * inner;
    if (inner == 1) {
      for (Index k = 0; k < count; ++k) to[ids[k]] += from[k];
    } else {
      for (Index k = 0; k < count; ++k) {
        add_row<T, A>(inner, from + k * inner, to + ids[k] * inner);
      }
    }
  }
}

template <class T, class A>
void Arithmetic<T, A>::cumsum(Index outer, Index length, Index inner, bool reverse, const T* x,
                              T* y) {
  constexpr Index kWidth = static_cast<Index>(Vec<double, A>::size);
  for (Index o = 0; o < outer; ++o, x += length * inner, y += length * inner) {
    if (inner < kWidth) {
      for (Index i = 0; i < inner; ++i) {
        double sum = 0;
        for (Index k = 0; k < length; ++k) {
          const Index at = (reverse ? length - 1 - k : k) * inner + i;
          sum += static_cast<double>(x[at]);
          y[at] = static_cast<T>(sum);
        }
      }
      continue;
    }
    const Index first = reverse ? (length - 1) * inner : 0;
    const Index step = reverse ? -inner : inner;
    for_vectors(inner, kWidth, [&](Index i, Index count, auto part) {
      Vec<double, A> sum(0.0);
      for (Index k = 0, at = first + i; k < length; ++k, at += step) {
        sum += load_double_part<T, A>(x + at, count, part);
        store_double_part<T, A>(sum, y + at, count, part);
      }
    });
  }
}

template <class T, class A>
void Arithmetic<T, A>::triangle(Index batch, Index rows, Index columns, Index diagonal, bool upper,
                                const T* x, T* y) {
  const std::size_t width = static_cast<std::size_t>(columns) * sizeof(T);
  if (width == 0) return;  // the arrays may have no address
  for (Index b = 0; b < batch; ++b) {
    for (Index r = 0; r < rows; ++r, x += columns, y += columns) {
      // The first element above the diagonal (lower), or on it (upper).
      Index edge = r + diagonal + (upper ? 0 : 1);
      edge = edge < 0 ? 0 : smaller(edge, columns);
      const auto bytes = static_cast<std::size_t>(edge) * sizeof(T);
      if (upper) {
        std::memset(y, 0, bytes);
        std::memcpy(y + edge, x + edge, width - bytes);
      } else {
        std::memcpy(y, x, bytes);
        std::memset(y + edge, 0, width - bytes);
      }
    }
  }
}

template struct Memory<float, XTAPE_ARCH>;
template struct Memory<double, XTAPE_ARCH>;
template struct Memory<bool, XTAPE_ARCH>;
template struct Memory<std::int64_t, XTAPE_ARCH>;
template struct Arithmetic<float, XTAPE_ARCH>;
template struct Arithmetic<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
