#pragma once
// Attention of single positions to the slots of a cache, without copies: decoding step by step.

#include "ops/attention.hpp"

#include <xtape/layers/attention/key_value_cache.hpp>

namespace xtape::detail {

/// Returns whether attend_cached() serves the call: one query per row, without gradients, dropout,
/// biases or a mask for each pair. The scores of `a` are (batch, heads, queries, keys).
template <class T>
bool attends_cached(const Attention<T>& a, const Var<T>& query, const KeyValueCache<T>& cache);

/// Returns {output (batch, 1, heads, value_dim)} or {output, scores (batch, heads, 1, keys)} for projected
/// queries (batch, 1, heads, key_dim).
template <class T>
std::vector<Var<T>> attend_cached(const Attention<T>& a, const Var<T>& query,
                                  const KeyValueCache<T>& cache, bool with_scores);

}  // namespace xtape::detail
