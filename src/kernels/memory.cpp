#include "kernels/memory.hpp"

#include "kernels/doubles.hpp"
#include "kernels/transpose.hpp"

#include <cstring>

namespace xtape::kernels {
namespace {

constexpr Index kTile = 16;  // floats of a cache line
constexpr Index kLines = 4;  // neighbouring cache lines, which the processor fetches together

/// Stores to[i * to_row + j] = from[i + j * from_column].
template <class T, class A>
void transpose_tile(Index rows, Index columns, const T* from, Index from_column, T* to,
                    Index to_row) {
  Index whole_rows = 0;
  Index whole_columns = 0;
  if constexpr (sizeof(T) > 1) {
    using U = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    constexpr Index kSize = Square<U, A>::kSize;
    whole_rows = rows / kSize * kSize;
    whole_columns = columns / kSize * kSize;
    for (Index i = 0; i < whole_rows; i += kSize) {
      for (Index j = 0; j < whole_columns; j += kSize) {
        Square<U, A>::transpose(reinterpret_cast<const U*>(from + i + j * from_column), from_column,
                                reinterpret_cast<U*>(to + i * to_row + j), to_row);
      }
    }
  }
  for (Index i = 0; i < rows; ++i) {
    for (Index j = i < whole_rows ? whole_columns : 0; j < columns; ++j) {
      to[i * to_row + j] = from[i + j * from_column];
    }
  }
}

/// Calls f(rows, columns, from, from_column, to, to_row) for every tile of the two innermost loops, which
/// are a transpose. A tile of both sides stays in L1.
template <class T, class F>
void for_each_tile(const Loop<2>& loop, const T* source, T* target, F f) {
  const Index n = loop.dim[0];
  const Index m = loop.dim[1];
  const Index s = loop.stride[0][0];
  const Index u = loop.stride[1][1];
  for_each_outer(loop, 2, [&](const Index(&at)[2]) {
    const T* from = source + at[0];
    T* to = target + at[1];
    for (Index i = 0; i < m; i += kLines * kTile) {
      const Index rows = min(kLines * kTile, m - i);
      for (Index j = 0; j < n; j += kTile) {
        f(rows, min(kTile, n - j), from + i + j * s, s, to + i * u + j, u);
      }
    }
  });
}

/// Returns whether the two innermost loops transpose a matrix that is worth tiles.
bool is_transpose(const Loop<2>& loop) {
  return loop.rank >= 2 && loop.stride[0][1] == 1 && loop.stride[1][0] == 1 && loop.dim[0] >= 4 &&
         loop.dim[1] >= 4;
}

/// Calls f(source, target) for the first elements of every innermost loop.
template <class T, class F>
[[gnu::always_inline]] inline void for_each_row(const Loop<2>& loop, const T* source, T* target,
                                                F f) {
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

/// Copies n contiguous elements: by memcpy if they are many, else inline, which saves the call.
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

/// Adds n contiguous elements to others.
template <class T, class A>
[[gnu::always_inline]] inline void add_row(Index n, const T* from, T* to) {
  for_vectors(n, static_cast<Index>(Vec<T, A>::size), [&](Index i, Index count, auto part) {
    store_part<T, A>(load_part<T, A>(to + i, count, part) + load_part<T, A>(from + i, count, part),
                     to + i, count, part);
  });
}

/// Returns the loop with at least one dimension, and with strides for two.
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
  const Loop<2> loop = with_strides(given);
  const Index n = loop.dim[0];
  const Index s = loop.stride[0][0];
  const Index t = loop.stride[0][1];
  if (is_transpose(loop)) {
    for_each_tile(loop, source, target, transpose_tile<T, A>);
  } else if (s == 1 && t == 1) {
    for_each_row(loop, source, target, [=](const T* from, T* to) { copy_row<T, A>(n, from, to); });
  } else if (s == 0 && t == 1) {
    for_each_row(loop, source, target, [=](const T* from, T* to) {
      const T value = *from;
      for (Index i = 0; i < n; ++i) to[i] = value;
    });
  } else {
    for_each_row(loop, source, target, [=](const T* from, T* to) {
      for (Index i = 0; i < n; ++i) to[i * t] = from[i * s];
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
      edge = edge < 0 ? 0 : min(edge, columns);
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
