#pragma once
// Attention of one query per row to keys and values where a cache holds them: nothing is packed or
// copied, for each key is used by few queries.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <cstdint>

namespace xtape::kernels {

/// Queries (rows, heads, depth); keys and values (slots, capacity, key heads, depth), position j of row
/// r being in slot slots[r * capacity + j], or r where there is no such array.
template <class T>
struct AttentionStep {
  Index heads = 0, key_heads = 0, depth = 0, value_depth = 0;
  Index capacity = 0, keys = 0;  // positions there is room for, and that are held
  const T* q = nullptr;
  const T* k = nullptr;
  const T* v = nullptr;
  const std::int32_t* slots = nullptr;
  const bool* query_keep = nullptr;  // (rows), or null
  const bool* key_keep = nullptr;    // (rows, keys), or null
  Index first = 0, last = 0;         // of the keys, which are seen if key_keep says so too
  T scale = 1;                       // of the products
  T* o = nullptr;                    // (rows, heads, value_depth)
  T* scores = nullptr;               // probabilities (rows, heads, keys), or null
};

/// Elements of 64-byte aligned working memory for one row.
template <class T>
constexpr Index attention_step_pitch(const AttentionStep<T>& p) {
  return (p.keys + 63) / 64 * 64;
}

template <class T, class A>
struct AttentionStepKernels {
  /// One row; `work` has heads * attention_step_pitch() elements.
  static void row(const AttentionStep<T>& p, Index row, T* work);
};

}  // namespace xtape::kernels
