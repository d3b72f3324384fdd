#include "kernels/reduce.hpp"

#include <limits>

namespace xtape::kernels {
namespace {

template <class T>
struct Sum {
  using Acc = double;
  static constexpr Acc start = 0;
  static Acc step(Acc a, T x) { return a + static_cast<double>(x); }
  static Acc merge(Acc a, Acc b) { return a + b; }
};
template <class T>
struct SumOfSquares {
  using Acc = double;
  static constexpr Acc start = 0;
  static Acc step(Acc a, T x) { return a + static_cast<double>(x) * static_cast<double>(x); }
  static Acc merge(Acc a, Acc b) { return a + b; }
};
template <class T>
struct Max {
  using Acc = T;
  static constexpr Acc start = -std::numeric_limits<T>::infinity();
  static Acc step(Acc a, T x) { return x > a || x != x ? x : a; }
  static Acc merge(Acc a, Acc b) { return step(a, b); }
};
template <class T>
struct Min {
  using Acc = T;
  static constexpr Acc start = std::numeric_limits<T>::infinity();
  static Acc step(Acc a, T x) { return x < a || x != x ? x : a; }
  static Acc merge(Acc a, Acc b) { return step(a, b); }
};

constexpr Index kLanes = 8;     // independent accumulators hide the latency of an addition
constexpr Index kColumns = 64;  // columns reduced together, so that memory is read along rows

template <class Op, class T>
typename Op::Acc row(const Loop<1>& reduced, const T* x) {
  using Acc = typename Op::Acc;
  if (reduced.rank == 0) return Op::step(Op::start, *x);
  Acc total = Op::start;
  const Index n = reduced.dim[0];
  const Index s = reduced.stride[0][0];
  for_each_outer(reduced, 1, [&](const Index(&at)[1]) {
    const T* p = x + at[0];
    Index i = 0;
    if (s == 1 && n >= kLanes) {
      Acc lane[kLanes];
      for (Index k = 0; k < kLanes; ++k) lane[k] = Op::start;
      for (; i + kLanes <= n; i += kLanes) {
        for (Index k = 0; k < kLanes; ++k) lane[k] = Op::step(lane[k], p[i + k]);
      }
      for (Index k = 0; k < kLanes; ++k) total = Op::merge(total, lane[k]);
    }
    for (; i < n; ++i) total = Op::step(total, p[i * s]);
  });
  return total;
}

template <class Op, class T>
void run(const Loop<1>& kept, const Loop<1>& reduced, const T* x, T* y) {
  using Acc = typename Op::Acc;
  if (reduced.size() == 0) {
    const Index n = kept.size();
    for (Index i = 0; i < n; ++i) y[i] = static_cast<T>(Op::start);
    return;
  }
  const bool by_columns =
      kept.rank > 0 && kept.stride[0][0] == 1 && reduced.rank > 0 && reduced.stride[0][0] != 1;
  if (by_columns) {
    const Index n = kept.dim[0];
    for_each_outer(kept, 1, [&](const Index(&at)[1]) {
      for (Index j0 = 0; j0 < n; j0 += kColumns) {
        const Index width = n - j0 < kColumns ? n - j0 : kColumns;
        Acc acc[kColumns];
        for (Index j = 0; j < width; ++j) acc[j] = Op::start;
        for_each_outer(reduced, 0, [&](const Index(&r)[1]) {
          const T* p = x + at[0] + j0 + r[0];
          for (Index j = 0; j < width; ++j) acc[j] = Op::step(acc[j], p[j]);
        });
        for (Index j = 0; j < width; ++j) *y++ = static_cast<T>(acc[j]);
      }
    });
    return;
  }
  for_each_outer(kept, 0,
                 [&](const Index(&at)[1]) { *y++ = static_cast<T>(row<Op>(reduced, x + at[0])); });
}

}  // namespace

template <class T>
void reduce(Reduce op, const Loop<1>& kept, const Loop<1>& reduced, const T* x, T* y) {
  switch (op) {
    case Reduce::sum: return run<Sum<T>>(kept, reduced, x, y);
    case Reduce::sum_of_squares: return run<SumOfSquares<T>>(kept, reduced, x, y);
    case Reduce::max: return run<Max<T>>(kept, reduced, x, y);
    case Reduce::min: return run<Min<T>>(kept, reduced, x, y);
  }
}

template <class T>
void arg_extreme(bool largest, Index outer, Index length, Index inner, const T* x,
                 std::int64_t* y) {
  for (Index o = 0; o < outer; ++o) {
    for (Index i = 0; i < inner; ++i) {
      const T* p = x + o * length * inner + i;
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

#define XTAPE_INSTANTIATE(T)                                                  \
  template void reduce(Reduce, const Loop<1>&, const Loop<1>&, const T*, T*); \
  template void arg_extreme(bool, Index, Index, Index, const T*, std::int64_t*);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::kernels
