#pragma once
// Attention of one query per row to the keys and values of a cache, in their place. Packing them would not
// pay, because few queries use each key.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <cstdint>

namespace xtape::kernels {

/// Queries are (rows, heads, depth); keys and values are (slots, capacity, key heads, depth). Position j of
/// row r is in slot slots[r * capacity + j], or in slot r if slots is null.
template <class T> struct AttentionStep {
  Index heads = 0, key_heads = 0, depth = 0, value_depth = 0;
  Index capacity = 0, keys = 0;  // positions of a slot, and how many of them are in use
  const T* q = nullptr;
  const T* k = nullptr;
  const T* v = nullptr;
  const std::int32_t* slots = nullptr;
  const bool* query_keep = nullptr;  // (rows), or null
  const bool* key_keep = nullptr;    // (rows, keys), or null
  Index first = 0, last = 0;         // keys first ... last - 1 are visible if key_keep is true
  T scale = 1;                       // factor of q k^T
  bool rounded = false;              // operands of products become bfloat16; sums are as without
  bool cache_rounded = false;        // keys and values are rounded already
  T* o = nullptr;                    // (rows, heads, value_depth)
  T* scores = nullptr;               // probabilities (rows, heads, keys), or null
};

/// An exponent that is a rounded product is wrong by up to this times the unit roundoff. Beyond it, products
/// are subtracted before they are scaled.
template <class T>
inline constexpr T kLargeExponent = static_cast<T>(sizeof(T) == 4 ? 0x1p24 : 0x1p50);

/// Returns the elements of working memory per head, whole cache lines: scores, and its query.
template <class T> constexpr Index attention_step_pitch(const AttentionStep<T>& p) {
  return (p.keys + 63) / 64 * 64 + (p.depth + 63) / 64 * 64;
}

template <class T, class A> struct AttentionStepKernels {
  /// Computes one row. `work` has heads * attention_step_pitch() elements, aligned to 64 bytes.
  static void row(const AttentionStep<T>& p, Index row, T* work);
  /// Stores y = x of n elements, floats rounded to bfloat16.
  static void round(Index n, const T* x, T* y);
};

/// Stores keys or values for `cache_rounded`.
XTAPE_KERNEL(round_for_cache, AttentionStepKernels, round)

}  // namespace xtape::kernels
