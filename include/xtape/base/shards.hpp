#pragma once
/// \file
/// Shards: the parts into which a batch is cut. Their gradients are added along a tree that depends on
/// their count alone, so the result does not depend on who computes them.

#include <cstddef>
#include <cstdint>

namespace xtape {

/// A range of the shards of every batch. Shard v of n examples has the examples from n v / count to
/// n (v + 1) / count; it is empty for some v if n is less than the count.
struct Shards {
  std::int64_t count = 1;  ///< shards of the batch
  std::int64_t begin = 0;  ///< the first shard of this rank
  std::int64_t end = 1;    ///< behind its last shard
};

/// A shard among those of an epoch.
struct ShardPlace {
  std::size_t batch = 0;     ///< counted from 0 in the epoch
  std::int64_t shard = 0;    ///< counted from 0 in the batch
  std::size_t examples = 0;  ///< 1 or more
};

namespace detail {
/// Returns n part / parts: the first of the elements of this part.
constexpr std::size_t first_of(std::int64_t part, std::int64_t parts, std::size_t n) {
  return n * static_cast<std::size_t>(part) / static_cast<std::size_t>(parts);
}
}  // namespace detail

}  // namespace xtape
