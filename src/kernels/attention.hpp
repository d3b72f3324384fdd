#pragma once
// Softmax-weighted sums of values, without a matrix of scores: keys are taken block by block, and the
// sums over a row are corrected as its maximum grows (Milakov and Gimelshein 2018; Dao et al. 2022).

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <array>
#include <cstdint>
#include <limits>

namespace xtape::kernels {

inline constexpr Index kFar = std::numeric_limits<Index>::max() / 4;

/// The heads of queries that share one head of keys and values, in one entry of the batch. Rows of
/// queries, keys and values are contiguous; head h of the group is h strides after the first.
template <class T>
struct AttentionHeads {
  Index group = 1;
  Index queries = 0, keys = 0;
  Index depth = 0, value_depth = 0;
  const T* q = nullptr;
  Index q_row = 0, q_head = 0;
  const T* k = nullptr;
  Index k_row = 0;
  const T* v = nullptr;
  Index v_row = 0;
  T scale = 1;  // of the products

  // Query i sees key j if first_key <= j < last_key and -behind <= j - i <= ahead and every array
  // that is given says so.
  Index first_key = 0, last_key = 0;
  Index behind = kFar, ahead = kFar;
  const bool* query_keep = nullptr;
  const bool* key_keep = nullptr;
  const bool* mask = nullptr;
  Index mask_head = 0, mask_row = 0, mask_column = 0;

  // Added to the scaled products: an array, and -slope * |i + position - j|.
  const T* bias = nullptr;
  Index bias_head = 0, bias_row = 0, bias_column = 0;
  const T* slopes = nullptr;  // one per head of the group
  Index position = 0;

  // Dropout of the probabilities, as kernels::dropout does it to the array of all of them.
  double rate = 0;
  std::uint64_t seed = 0, index = 0;
  Index first_element = 0;  // of the group's first head; heads follow each other
};

/// Has a row that is needed soon brought into the second cache: of rows far apart the processor would not
/// guess which. Few at a time, between other work, or that waits for them.
template <class T>
[[gnu::always_inline]] inline void fetch_row(const T* x, Index n) {
  constexpr Index kLine = 64 / static_cast<Index>(sizeof(T));
  for (Index j = 0; j < n; j += kLine) __builtin_prefetch(x + j, 0, 2);
}

/// Rows of contiguous elements, `row` apart.
template <class T>
struct Rows {
  const T* data;
  Index rows, n, row;
};

/// What is needed after this: brought into the second cache part by part, as next() is called between
/// other work. All at once would have that work wait, and of rows far apart the processor would not guess
/// which come next.
template <class T>
struct Prefetch {
  static constexpr int kMost = 8;
  std::array<Rows<T>, kMost> parts;
  int count = 0, done = 0;

  void add(const Rows<T>& rows) { parts[static_cast<std::size_t>(count++)] = rows; }
  void next() {
    if (done == count) return;
    const Rows<T>& p = parts[static_cast<std::size_t>(done++)];
    for (Index i = 0; i < p.rows; ++i) fetch_row(p.data + i * p.row, p.n);
  }
};

template <class T>
struct AttentionForward {
  T* o = nullptr;
  Index o_row = 0, o_head = 0;
  T* stats = nullptr;   // per head and query: where the exponential is 1, and the factor after it
  T* scores = nullptr;  // probabilities before dropout (group, queries, keys), or null
  Index begin = 0, end = 0;  // the queries to do
};

template <class T>
struct AttentionBackward {
  const T* o = nullptr;
  const T* g = nullptr;  // gradient of o, with its strides
  Index o_row = 0, o_head = 0;
  const T* stats = nullptr;
  const T* scores = nullptr;  // with their gradient, or both null
  const T* g_scores = nullptr;
  T* delta = nullptr;  // working memory, one per head and query
  // With the strides of what they are gradients of.
  T* dq = nullptr;
  T* dk = nullptr;
  T* dv = nullptr;
  T* dbias = nullptr;  // added to; or null
};

/// Depths that the kernels take.
inline bool attention_fits(Index depth, Index value_depth) {
  return depth >= 1 && value_depth >= 1 && depth <= 256 && value_depth <= 256;
}

template <class T, class A>
struct AttentionKernels {
  static void forward(const AttentionHeads<T>& heads, const AttentionForward<T>& to,
                      Prefetch<T>& prefetch);
  static void backward(const AttentionHeads<T>& heads, const AttentionBackward<T>& to,
                       Prefetch<T>& prefetch);
};

}  // namespace xtape::kernels
