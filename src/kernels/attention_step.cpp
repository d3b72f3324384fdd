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

/// Adds y += factor * x.
template <class T, class A, bool Rounds>
[[gnu::always_inline]] inline void add_scaled(T factor, const T* x, T* y, Index n) {
  using V = Vec<T, A>;
  const V by = operand<Rounds>(V(factor));
  for_vectors(n, static_cast<Index>(V::size), [&](Index i, Index count, auto part) {
    const V sum = xsimd::fma(by, operand<Rounds>(load_part<T, A>(x + i, count, part)),
                             load_part<T, A>(y + i, count, part));
    store_part<T, A>(sum, y + i, count, part);
  });
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

template <class T, class A, bool Rounds>
void attend_row(const AttentionStep<T>& p, Index row, T* work) {
  const Index pitch = attention_step_pitch(p);
  const Index group = p.heads / p.key_heads;
  T* o = p.o + row * p.heads * p.value_depth;
  T* scores = p.scores == nullptr ? nullptr : p.scores + row * p.heads * p.keys;
  for (Index i = 0; i < p.heads * p.value_depth; ++i) o[i] = T(0);
  for (Index i = 0; scores != nullptr && i < p.heads * p.keys; ++i) scores[i] = T(0);
  if (p.first >= p.last || (p.query_keep != nullptr && !p.query_keep[row])) return;

  constexpr Index kWidth = Tile<T, A>::kWidth;
  const Index lo = p.first / kLanes<T> * kLanes<T>;
  const Index end = round_up(p.last, kWidth);
  const bool* keep = p.key_keep == nullptr ? nullptr : p.key_keep + row * p.keys;
  const std::int32_t* slots = p.slots == nullptr ? nullptr : p.slots + row * p.capacity;
  const auto slot = [&](Index j) { return (slots == nullptr ? row : slots[j]) * p.capacity + j; };
  const auto visible = [&](Index j) {
    return j >= p.first && j < p.last && (keep == nullptr || keep[j]);
  };
  // Pass 1: scores of all heads, key by key.
  const T* q = p.q + row * p.heads * p.depth;
  for (Index j = lo; j < end; ++j) {
    if (!visible(j)) {
      for (Index h = 0; h < p.heads; ++h) work[h * pitch + j] = kMinusInfinity<T>;
      continue;
    }
    const T* k = p.k + slot(j) * p.key_heads * p.depth;
    for (Index g = 0; g < p.key_heads; ++g) {
      for (Index h = g * group; h < (g + 1) * group; ++h) {
        work[h * pitch + j] = dot<T, A>(q + h * p.depth, k + g * p.depth, p.depth,
                                        [](const auto& v) { return operand<Rounds>(v); });
      }
    }
  }
  // Pass 2: probabilities.
  for (Index h = 0; h < p.heads; ++h) {
    softmax<T, A>(work + h * pitch, lo, end, p.scale * Exponential<T, A>::kUnit);
  }
  // Pass 3: o += probability * v, key by key.
  for (Index j = p.first; j < p.last; ++j) {
    if (!visible(j)) continue;
    const T* v = p.v + slot(j) * p.key_heads * p.value_depth;
    for (Index g = 0; g < p.key_heads; ++g) {
      for (Index h = g * group; h < (g + 1) * group; ++h) {
        add_scaled<T, A, Rounds>(work[h * pitch + j], v + g * p.value_depth, o + h * p.value_depth,
                                 p.value_depth);
      }
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
    if (p.rounded) return attend_row<T, A, true>(p, row, work);
  }
  attend_row<T, A, false>(p, row, work);
}

template struct AttentionStepKernels<float, XTAPE_ARCH>;
template struct AttentionStepKernels<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
