#pragma once
// Where fused attention finds what it reads and writes: strides, and offsets of its parts.

#include "ops/attention.hpp"

#include <algorithm>
#include <vector>

namespace xtape::detail {

/// Strides of what broadcasts to the scores, its attended axes merged.
struct PairStrides {
  std::vector<Index> free;
  Index head = 0, row = 0, column = 0;
  bool merges = true;
};

inline PairStrides pairs_of(const Shape& shape, const Shape& scores, std::size_t attended) {
  const std::vector<Index> strides = broadcast_strides(shape, scores);
  const std::size_t first = scores.size() - 2 * attended;
  PairStrides p;
  p.free.assign(strides.begin(), strides.begin() + static_cast<std::ptrdiff_t>(first) - 1);
  p.head = strides[first - 1];
  p.row = strides[first + attended - 1];
  p.column = strides.back();
  for (std::size_t i = 0; i + 1 < attended; ++i) {
    for (const std::size_t at : {first + i, first + attended + i}) {
      p.merges = p.merges && strides[at] == strides[at + 1] * extent(scores, at + 1);
    }
  }
  return p;
}

/// Where everything is.
template <class T> struct AttentionGeometry {
  Index heads, key_heads, group, depth, value_depth;
  Index queries = 1, keys = 1;
  Index batches = 1;               // positions of the free axes together
  std::vector<Index> free_extent;  // the batch first
  std::vector<Index> q_free, k_free, v_free, o_free;
  Index q_row, k_row, v_row, o_row;

  AttentionGeometry(const Attention<T>& a, const Shape& q, const Shape& k, const Shape& v) {
    const std::size_t rank = q.size();
    heads = extent(q, rank - 2);
    key_heads = extent(k, rank - 2);
    group = heads / key_heads;
    depth = extent(q, rank - 1);
    value_depth = extent(v, rank - 1);
    Shape o = q;
    o.back() = v.back();
    const auto qs = strides_of(q), ks = strides_of(k), vs = strides_of(v), os = strides_of(o);
    for (std::size_t i = 0; i + 2 < rank; ++i) {
      if (std::find(a.axes.begin(), a.axes.end(), i) != a.axes.end()) {
        queries *= extent(q, i);
        keys *= extent(k, i);
        continue;
      }
      free_extent.push_back(extent(q, i));
      batches *= free_extent.back();
      q_free.push_back(qs[i]);
      k_free.push_back(ks[i]);
      v_free.push_back(vs[i]);
      o_free.push_back(os[i]);
    }
    const std::size_t last = a.axes.back();
    q_row = qs[last];
    k_row = ks[last];
    v_row = vs[last];
    o_row = os[last];
  }

  /// Where a pair is: an entry of the free axes with a head of keys and its group of heads of queries.
  struct Place {
    Index q = 0, k = 0, v = 0, o = 0;
  };
  [[nodiscard]] Place place(Index pair) const {
    const Index head = pair % key_heads;
    Index f = pair / key_heads;
    Place p{head * group * depth, head * depth, head * value_depth, head * group * value_depth};
    for (std::size_t i = free_extent.size(); i-- > 0;) {
      const Index digit = f % free_extent[i];
      f /= free_extent[i];
      p.q += digit * q_free[i];
      p.k += digit * k_free[i];
      p.v += digit * v_free[i];
      p.o += digit * o_free[i];
    }
    return p;
  }

  /// Offset of position f of the free axes in something with these strides.
  [[nodiscard]] Index offset(Index f, const std::vector<Index>& strides) const {
    Index at = 0;
    for (std::size_t i = free_extent.size(); i-- > 0;) {
      at += f % free_extent[i] * strides[i];
      f /= free_extent[i];
    }
    return at;
  }

  [[nodiscard]] double work() const {
    return static_cast<double>(batches * heads) * static_cast<double>(queries) *
           static_cast<double>(keys) * static_cast<double>(depth + value_depth);
  }
};

}  // namespace xtape::detail
