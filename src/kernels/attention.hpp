#pragma once
// Fused attention: softmax-weighted sums of values without a matrix of scores (Milakov and Gimelshein 2018,
// "Online normalizer calculation for softmax"; Dao et al. 2022, "FlashAttention").
//
//   forward:  m = -inf, l = 0, o = 0 for every query
//     for each block of keys, for each tile of queries:
//       pass 1   x = scale q k^T + bias, -inf where masked              scores of the tile
//       pass 2   m' = max(m, max x), e = exp(x - m'), r = exp(m - m')   running maximum, rescaling
//       pass 3   l = r l + sum e, o = r o + dropout(e) v, m = m'        accumulation
//     pass 4   o = o / l, row_max = m, inverse_sum = 1 / l
//
//   backward:  dq = dk = dv = 0, given g = do
//     pass 0   delta = sum(o g) for every query
//     for each block of keys, for each chunk of queries:
//       pass 1   x as above, de = g v^T
//       pass 2   e = exp(x - row_max) inverse_sum, dx = e (dropout(de) - delta)
//       pass 3   dq += scale dx k
//       pass 4   dk += scale dx^T q, dv += dropout(e)^T g
//
// The backward has keys outside and queries inside: dk and dv of a block are complete after its loop. It
// needs row_max and inverse_sum rather than m + log l, because the same shift then cancels exactly.

#include "kernels/gemm.hpp"
#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <array>
#include <cstdint>
#include <limits>

namespace xtape::kernels {

inline constexpr Index kNoBand = std::numeric_limits<Index>::max() / 4;

/// The heads of queries that share one head of keys and values, in one entry of the batch. Rows of queries,
/// keys and values are contiguous. Head h of the group begins h * q_head elements after the first.
template <class T> struct AttentionHeads {
  Index group = 1;
  Index queries = 0, keys = 0;
  Index depth = 0, value_depth = 0;
  const T* q = nullptr;
  Index q_row = 0, q_head = 0;
  const T* k = nullptr;
  Index k_row = 0;
  const T* v = nullptr;
  Index v_row = 0;
  T scale = 1;  // factor of q k^T

  // Kernels of products whose operands are rounded; null for plain products.
  const GemmTable<T>* rounded = nullptr;

  // Query i sees key j if first_key <= j < last_key, -behind <= j - i <= ahead, and every array that is
  // not null is true.
  Index first_key = 0, last_key = 0;
  Index behind = kNoBand, ahead = kNoBand;
  const bool* query_keep = nullptr;
  const bool* key_keep = nullptr;
  const bool* mask = nullptr;
  Index mask_head = 0, mask_row = 0, mask_column = 0;

  // Added to scale q k^T: an array, and -slope * |i + position - j|.
  const T* bias = nullptr;
  Index bias_head = 0, bias_row = 0, bias_column = 0;
  const T* slopes = nullptr;  // one per head of the group
  Index position = 0;

  // Dropout of the probabilities, with the bits of kernels::dropout for the array (heads, queries, keys).
  double rate = 0;
  std::uint64_t seed = 0, index = 0;
  Index first_element = 0;  // position of the group's first head in that array
};

/// Prefetches a row into L2. The hardware prefetcher cannot predict distant rows. Callers spread the calls
/// between other work, because a full queue of prefetches stalls.
template <class T> [[gnu::always_inline]] inline void prefetch_row(const T* x, Index n) {
  constexpr Index kLine = 64 / static_cast<Index>(sizeof(T));
  for (Index j = 0; j < n; j += kLine) __builtin_prefetch(x + j, 0, 2);
}

/// Rows of n contiguous elements, `row` apart.
template <class T> struct Rows {
  const T* data;
  Index rows, n, row;
};

/// The arrays that the next task will touch. The kernels call it between their passes, and every call
/// prefetches one array.
template <class T> struct Prefetch {
  static constexpr int kMost = 8;
  std::array<Rows<T>, kMost> parts;
  int count = 0, done = 0;

  void add(const Rows<T>& rows) { parts[static_cast<std::size_t>(count++)] = rows; }
  void operator()() {
    if (done == count) return;
    const Rows<T>& p = parts[static_cast<std::size_t>(done++)];
    for (Index i = 0; i < p.rows; ++i) prefetch_row(p.data + i * p.row, p.n);
  }
};

template <class T> struct AttentionForward {
  T* o = nullptr;
  Index o_row = 0, o_head = 0;
  // One number per head and query, for the backward. row_max is in units of the kernels' exponential.
  T* row_max = nullptr;
  T* inverse_sum = nullptr;
  T* scores = nullptr;       // probabilities before dropout (group, queries, keys), or null
  Index begin = 0, end = 0;  // the queries to compute
};

template <class T> struct AttentionBackward {
  const T* o = nullptr;
  const T* g = nullptr;  // gradient of o, with its strides
  Index o_row = 0, o_head = 0;
  const T* row_max = nullptr;  // from the forward
  const T* inverse_sum = nullptr;
  const T* scores = nullptr;  // probabilities and their gradient, or both null
  const T* g_scores = nullptr;
  T* delta = nullptr;  // working memory, one number per head and query
  // Gradients, with the strides of q, k, v and bias.
  T* dq = nullptr;
  T* dk = nullptr;
  T* dv = nullptr;
  T* dbias = nullptr;  // added to; or null
};

/// Returns whether the kernels take heads of these depths.
inline bool attention_fits(Index depth, Index value_depth) {
  return depth >= 1 && value_depth >= 1 && depth <= 256 && value_depth <= 256;
}

template <class T, class A> struct AttentionKernels {
  /// Computes o, row_max, inverse_sum and scores of the queries begin ... end - 1.
  static void forward(const AttentionHeads<T>& heads, const AttentionForward<T>& to,
                      Prefetch<T>& prefetch);
  /// Computes dq, dk and dv, and adds to dbias.
  static void backward(const AttentionHeads<T>& heads, const AttentionBackward<T>& to,
                       Prefetch<T>& prefetch);
};

}  // namespace xtape::kernels
