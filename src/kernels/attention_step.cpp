#include "kernels/attention_step.hpp"

#include "kernels/attention_rows.hpp"
#include "kernels/round.hpp"

namespace xtape::kernels {
namespace {

/// Returns v, rounded if Rounds.
template <bool Rounds, class V> [[gnu::always_inline]] inline V operand(const V& v) {
  if constexpr (Rounds) {
    return rounded(v);
  } else {
    return v;
  }
}

constexpr int kTogether = 4;  // heads

/// Stores scores[h * pitch] = q_h k_h for kTogether heads h. Their queries are `pitch` apart, their keys `step`.
template <class T, class A, bool RoundsCache>
[[gnu::always_inline]] inline void dots(const T* q, const T* k, Index step, Index depth, T* scores,
                                        Index pitch) {
  using V = Vec<T, A>;
  V sum[kTogether];
#pragma GCC unroll 4
  for (V& s : sum) s = V(T(0));
  for_vectors(depth, static_cast<Index>(V::size), [&](Index i, Index count, auto part) {
#pragma GCC unroll 4
    for (int h = 0; h < kTogether; ++h) {
      const V key = operand<RoundsCache>(load_part<T, A>(k + h * step + i, count, part));
      sum[h] = xsimd::fma(load_part<T, A>(q + h * pitch + i, count, part), key, sum[h]);
    }
  });
  alignas(64) T found[V::size];
  FourRows<V>::fold(sum, [](const V& a, const V& b) { return a + b; }).store_aligned(found);
#pragma GCC unroll 4
  for (int h = 0; h < kTogether; ++h) scores[h * pitch] = found[FourRows<V>::lane(h)];
}

/// The operands and results of weighted_sum().
template <class T> struct WeightedValues {
  Index n = 0;  // elements of a value, and of a sum
  Index first = 0, last = 0;
  const T* weights = nullptr;  // of a head; those of the next one are `pitch` further
  Index pitch = 0;
  Index step = 0;  // from a value to that of the next head
  T* sums = nullptr;
};

/// Stores sums[i] = sum of weights[j] * value(j)[i] for each of Heads heads. Takes groups of Vectors vectors from element
/// `from` on, and returns the first element that is left. Keys are added in order; value(j) is null for a hidden key.
/// Several sums at once hide the latency of the multiply-adds.
template <class A, bool Rounds, bool RoundsCache, int Heads, int Vectors, class T, class Value>
[[gnu::always_inline]] inline Index weighted_sum(Index from, const WeightedValues<T>& p,
                                                 const Value& value) {
  using V = Vec<T, A>;
  constexpr Index kWidth = static_cast<Index>(V::size);
  for (; from + Vectors * kWidth <= p.n; from += Vectors * kWidth) {
    V sum[Heads][Vectors];
#pragma GCC unroll 4
    for (int h = 0; h < Heads; ++h) {
#pragma GCC unroll 4
      for (int i = 0; i < Vectors; ++i) sum[h][i] = V(T(0));
    }
    for (Index j = p.first; j < p.last; ++j) {
      const T* const v = value(j);
      if (v == nullptr) continue;
#pragma GCC unroll 4
      for (int h = 0; h < Heads; ++h) {
        const V by = operand<Rounds>(V(p.weights[h * p.pitch + j]));
#pragma GCC unroll 4
        for (int i = 0; i < Vectors; ++i) {
          const V x = V::load_unaligned(v + h * p.step + from + i * kWidth);
          sum[h][i] = xsimd::fma(by, operand<RoundsCache>(x), sum[h][i]);
        }
      }
    }
#pragma GCC unroll 4
    for (int h = 0; h < Heads; ++h) {
#pragma GCC unroll 4
      for (int i = 0; i < Vectors; ++i) {
        sum[h][i].store_unaligned(p.sums + h * p.n + from + i * kWidth);
      }
    }
  }
  return from;
}

/// Stores the sums of Heads heads.
template <class A, bool Rounds, bool RoundsCache, int Heads, class T, class Value>
[[gnu::always_inline]] inline void weighted_sums(const WeightedValues<T>& p, const Value& value) {
  using V = Vec<T, A>;
  Index i = 0;
  if constexpr (Heads == 1) i = weighted_sum<A, Rounds, RoundsCache, 1, 4>(i, p, value);
  i = weighted_sum<A, Rounds, RoundsCache, Heads, 2>(i, p, value);
  i = weighted_sum<A, Rounds, RoundsCache, Heads, 1>(i, p, value);
  const Index rest = p.n - i;
  for (Index h = 0; rest > 0 && h < Heads; ++h) {
    V sum(T(0));
    for (Index j = p.first; j < p.last; ++j) {
      if (const T* const v = value(j)) {
        sum = xsimd::fma(operand<Rounds>(V(p.weights[h * p.pitch + j])),
                         operand<RoundsCache>(load_first<T, A>(v + h * p.step + i, rest)), sum);
      }
    }
    store_first<T, A>(sum, p.sums + h * p.n + i, rest);
  }
}

/// Stores probabilities into x[lo] ... x[end - 1], whole vectors of products; zeros if all are masked.
template <class T, class A> void softmax(T* x, Index lo, Index end, T factor) {
  using V = Vec<T, A>;
  // The maximum may miss a NaN. The exponentials do not, also where all other keys are masked.
  const T top = max_of_row<T, A>(x, lo, end);
  T shift = top == kMinusInfinity<T> ? T(0) : top * factor;
  if (shift > kLargeExponent<T> || shift < -kLargeExponent<T>) {
    for (Index j = lo; j < end; ++j) x[j] -= top;
    shift = T(0);
  }
  const T sum = exponentials<T, A>(x, lo, end, factor, shift);
  const V by(sum == T(0) ? T(0) : T(1) / sum);
  for (Index j = lo; j < end; j += Tile<T, A>::kWidth) {
    const V y = sum == T(0) ? V(T(0)) : V::load_aligned(x + j) * by;
    y.store_aligned(x + j);
  }
}

template <class T, class A, bool Rounds, bool RoundsCache>
void attend_row(const AttentionStep<T>& p, Index row, T* work) {
  const Index pitch = attention_step_pitch(p);
  const Index group = p.heads / p.key_heads;
  // Four heads share one key head, or have adjacent ones.
  const bool together = group == 1 || group % kTogether == 0;
  T* o = p.o + row * p.heads * p.value_depth;
  T* scores = p.scores == nullptr ? nullptr : p.scores + row * p.heads * p.keys;
  for (Index i = 0; scores != nullptr && i < p.heads * p.keys; ++i) scores[i] = T(0);
  if (p.first >= p.last || (p.query_keep != nullptr && !p.query_keep[row])) {
    for (Index i = 0; i < p.heads * p.value_depth; ++i) o[i] = T(0);
    return;
  }

  constexpr Index kWidth = Tile<T, A>::kWidth;
  const Index lo = p.first / kLanes<T> * kLanes<T>;
  const Index end = round_up(p.last, kWidth);
  const bool* keep = p.key_keep == nullptr ? nullptr : p.key_keep + row * p.keys;
  const std::int32_t* slots = p.slots == nullptr ? nullptr : p.slots + row * p.capacity;
  const auto slot = [&](Index j) { return (slots == nullptr ? row : slots[j]) * p.capacity + j; };
  const auto visible = [&](Index j) {
    return j >= p.first && j < p.last && (keep == nullptr || keep[j]);
  };
  // Pass 1: scores, a few heads at a time, key by key.
  const T* q = p.q + row * p.heads * p.depth;
  for (Index j = lo; j < end; ++j) {
    if (visible(j)) continue;
    for (Index h = 0; h < p.heads; ++h) work[h * pitch + j] = kMinusInfinity<T>;
  }
  T* const queries = work + pitch - round_up(p.depth, 64);
  for (Index h = 0; h < p.heads; ++h) {
    for_vectors(p.depth, static_cast<Index>(Vec<T, A>::size), [&](Index i, Index count, auto part) {
      const auto x = load_part<T, A>(q + h * p.depth + i, count, part);
      store_part<T, A>(operand<Rounds>(x), queries + h * pitch + i, count, part);
    });
  }
  Index head = 0;
  if constexpr (kParts<Vec<T, A>> == 1) {
    for (; together && head + kTogether <= p.heads; head += kTogether) {
      const Index step = group == 1 ? p.depth : 0;
      for (Index j = p.first; j < p.last; ++j) {
        if (!visible(j)) continue;
        const T* k = p.k + (slot(j) * p.key_heads + head / group) * p.depth;
        dots<T, A, RoundsCache>(queries + head * pitch, k, step, p.depth, work + head * pitch + j,
                                pitch);
      }
    }
  }
  for (; head < p.heads; ++head) {
    for (Index j = p.first; j < p.last; ++j) {
      if (!visible(j)) continue;
      const T* k = p.k + (slot(j) * p.key_heads + head / group) * p.depth;
      work[head * pitch + j] = dot<T, A>(queries + head * pitch, k, p.depth,
                                         [](const auto& v) { return operand<RoundsCache>(v); });
    }
  }
  // Pass 2: probabilities.
  for (Index h = 0; h < p.heads; ++h) {
    softmax<T, A>(work + h * pitch, lo, end, p.scale * Exponential<T, A>::kUnit);
  }
  // Pass 3: o = sum of probability * v, a few heads at a time, key by key.
  for (Index h = 0; h < p.heads;) {
    const WeightedValues<T> values{.n = p.value_depth,
                                   .first = p.first,
                                   .last = p.last,
                                   .weights = work + h * pitch,
                                   .pitch = pitch,
                                   .step = group == 1 ? p.value_depth : 0,
                                   .sums = o + h * p.value_depth};
    const auto value = [&](Index j) {
      return visible(j) ? p.v + (slot(j) * p.key_heads + h / group) * p.value_depth : nullptr;
    };
    if (together && h + kTogether <= p.heads) {
      weighted_sums<A, Rounds, RoundsCache, kTogether>(values, value);
      h += kTogether;
    } else {
      weighted_sums<A, Rounds, RoundsCache, 1>(values, value);
      ++h;
    }
  }
  if (scores == nullptr) return;
  for (Index h = 0; h < p.heads; ++h) {
    for (Index j = p.first; j < p.last; ++j) scores[h * p.keys + j] = work[h * pitch + j];
  }
}

}  // namespace

template <class T, class A>
void AttentionStepKernels<T, A>::row(const AttentionStep<T>& p, Index row, T* work) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (p.rounded && p.cache_rounded) return attend_row<T, A, true, false>(p, row, work);
    if (p.rounded) return attend_row<T, A, true, true>(p, row, work);
  }
  attend_row<T, A, false, false>(p, row, work);
}

template <class T, class A> void AttentionStepKernels<T, A>::round(Index n, const T* x, T* y) {
  if constexpr (sizeof(T) == sizeof(float)) {
    for_vectors(n, static_cast<Index>(Vec<T, A>::size), [&](Index i, Index count, auto part) {
      store_part<T, A>(rounded(load_part<T, A>(x + i, count, part)), y + i, count, part);
    });
  } else {
    for (Index i = 0; i < n; ++i) y[i] = x[i];
  }
}

template struct AttentionStepKernels<float, XTAPE_ARCH>;
template struct AttentionStepKernels<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
