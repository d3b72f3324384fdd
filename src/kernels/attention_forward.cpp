#include "kernels/attention_few.hpp"

namespace xtape::kernels {
namespace {

constexpr Index kBlock = 128;     // keys at a time, at most
constexpr Index kBudget = 16384;  // elements of keys and values at a time: about the first cache

template <class T, class A>
struct Workspace {
  using Size = Tile<T, A>;
  using V = Vec<T, A>;
  static constexpr Index kWidth = Size::kWidth;

  alignas(64) T keys[kBudget];
  alignas(64) T values[kBudget];
  Right<T> rows_of_values;
  alignas(64) T x[Size::kRows * kBlock];
  RowDropout<A> drop;
  alignas(64) T correction[round_up(Size::kRows, kWidth)];
  T sums[Size::kRows];
  const FewKeys<T, A> few;

  explicit Workspace(const AttentionHeads<T>& p) : few(p) {}

  static Index block(const AttentionHeads<T>& p) {
    const Index widest = greater(p.depth, round_up(p.value_depth, kWidth));
    return keys_of_block<T, A>(kBlock, kBudget, widest);
  }

  void pack_keys(const AttentionHeads<T>& p, Index j0, Index n) {
    GemmKernels<T, A>::pack(p.depth, n, 0, n, p.k + j0 * p.k_row, 1, p.k_row, keys);
  }

  /// Products of `rows` queries from i on with the keys lo ... hi of a block of n.
  void products(const AttentionHeads<T>& p, Index head, Index i, Index rows, Index n, Index lo,
                Index hi) {
    times<T, A, true>(rows, p.depth, p.q + head * p.q_head + i * p.q_row, p.q_row, 1,
                      {keys, p.depth, n}, 0, lo, hi, Accumulate::overwrite, x, kBlock);
  }

  /// Makes them ready for the exponential.
  void prepare(const AttentionHeads<T>& p, Index head, Index i, Index rows, Index j0, Index lo,
               Index hi) {
    for (Index r = 0; r < rows; ++r) {
      prepare_row<T, A>(p, head, i + r, j0, lo, round_up(hi, kWidth), x + r * kBlock);
    }
  }

  static void scale_row(T* o, Index n, T by) {
    Index j = 0;
    for (; j + kWidth <= n; j += kWidth) {
      (V::load_unaligned(o + j) * V(by)).store_unaligned(o + j);
    }
    using Narrow = typename Half<T, A>::V;
    if (n - j == static_cast<Index>(Narrow::size)) {
      (Narrow::load_unaligned(o + j) * Narrow(by)).store_unaligned(o + j);
    } else if (j < n) {
      store_first<T, A>(load_first<T, A>(o + j, n - j) * V(by), o + j, n - j);
    }
  }

  /// The rows become exponentials, after dropout if there is any; stats get where the exponential is 1 by
  /// now, `correction` the exponent of what sums so far are to be multiplied by.
  void exponentials_of_rows(const AttentionHeads<T>& p, Index head, Index i, Index rows, Index j0,
                            Index lo, Index end, T* stats) {
    const T unit = exponent_factor<T, A>(p);
    for (Index r = 0; r < rows; ++r) {
      T* row = x + r * kBlock;
      const T before = stats[2 * r];
      const T top = largest<T, A>(row, lo, end) * unit;
      const T shift = top > before ? top : before;
      sums[r] = exponentials<T, A>(row, lo, end, unit, shift == kMinusInfinity<T> ? T(0) : shift);
      correction[r] = shift == before ? T(0) : before - shift;
      stats[2 * r] = shift;
      if (p.rate > 0) {
        drop.draw(p, head, i + r, j0, lo, end);
        const V scale(dropout_scale(p));
        for (Index j = lo; j < end; j += kWidth) {
          (where_bits<T, A>(drop.at(j - lo), V::load_aligned(row + j)) * scale)
              .store_aligned(row + j);
        }
      }
    }
  }

  void correct_rows(const AttentionHeads<T>& p, Index rows, T* stats, T* o, Index o_row) {
    for (Index r = 0; r < rows; r += kWidth) {
      Exponential<T, A>::of(V::load_aligned(correction + r)).store_aligned(correction + r);
    }
    for (Index r = 0; r < rows; ++r) {
      if (correction[r] != T(1)) scale_row(o + r * o_row, p.value_depth, correction[r]);
      stats[2 * r + 1] *= correction[r];
    }
  }

  /// One tile of queries against one block of keys.
  void tile(const AttentionHeads<T>& p, const AttentionForward<T>& to, Index head, Index i,
            Index rows, Index j0, Index n) {
    const auto [lo, hi] = seen_of_block<T, A>(p, i, i + rows, j0, n);
    if (lo >= hi) return;
    const bool first = sees_first(p, i, i + rows, j0);
    T* stats = to.stats + 2 * (head * p.queries + i);
    T* o = to.o + head * to.o_head + i * to.o_row;
    products(p, head, i, rows, n, lo, hi);
    if (few) {
      few.exponentials(p, head, i, rows, hi, x, kBlock, stats, drop);
    } else {
      prepare(p, head, i, rows, j0, lo, hi);
      exponentials_of_rows(p, head, i, rows, j0, lo, round_up(hi, kWidth), stats);
      if (!first) correct_rows(p, rows, stats, o, to.o_row);
      for (Index r = 0; r < rows; ++r) stats[2 * r + 1] += sums[r];
    }
    times<T, A>(rows, hi - lo, x + lo, kBlock, 1, rows_of_values, lo, 0, p.value_depth,
                first ? Accumulate::overwrite : Accumulate::add, o, to.o_row);
  }

  /// Divides by the sums, once they are complete.
  static void finish(const AttentionHeads<T>& p, const AttentionForward<T>& to, Index head,
                     Index i) {
    T* stats = to.stats + 2 * (head * p.queries + i);
    T* o = to.o + head * to.o_head + i * to.o_row;
    if (stats[0] == kMinusInfinity<T>) stats[0] = T(0);  // nothing was seen
    if (stats[1] == T(0)) {
      for (Index j = 0; j < p.value_depth; ++j) o[j] = T(0);
      return;
    }
    stats[1] = T(1) / stats[1];
    scale_row(o, p.value_depth, stats[1]);
  }

  /// The probabilities themselves, by a second pass over the products.
  void write_scores(const AttentionHeads<T>& p, const AttentionForward<T>& to, Index head, Index i,
                    Index rows, Index j0, Index n) {
    const auto [lo, hi] = seen_of_block<T, A>(p, i, i + rows, j0, n);
    if (lo < hi) {
      products(p, head, i, rows, n, lo, hi);
      prepare(p, head, i, rows, j0, lo, hi);
    }
    const T unit = exponent_factor<T, A>(p);
    for (Index r = 0; r < rows; ++r) {
      const T* stats = to.stats + 2 * (head * p.queries + i + r);
      T* row = x + r * kBlock;
      T* scores = to.scores + (head * p.queries + i + r) * p.keys + j0;
      for (Index j = 0; j < n; ++j) scores[j] = T(0);
      if (lo >= hi) continue;
      static_cast<void>(exponentials<T, A>(row, lo, round_up(hi, kWidth), unit, stats[0]));
      for (Index j = lo; j < hi; ++j) scores[j] = row[j] * stats[1];
    }
  }
};

}  // namespace

template <class T, class A>
void AttentionKernels<T, A>::forward(const AttentionHeads<T>& p, const AttentionForward<T>& to,
                                     Prefetch<T>& prefetch) {
  Workspace<T, A> w(p);
  const Index high = Tile<T, A>::kRows;
  const Index block = w.block(p);
  for (Index head = 0; head < p.group; ++head) {
    for (Index i = to.begin; i < to.end; ++i) {
      to.stats[2 * (head * p.queries + i)] = kMinusInfinity<T>;
      to.stats[2 * (head * p.queries + i) + 1] = T(0);
    }
  }
  const Seen all = seen_by(p, to.begin, to.end);
  const auto each_tile = [&](const auto& body) {
    for (Index head = 0; head < p.group; ++head) {
      for (Index i = to.begin; i < to.end; i += high) body(head, i, lesser(high, to.end - i));
    }
  };
  for (Index j0 = 0; j0 < p.keys; j0 += block) {
    const Index n = lesser(block, p.keys - j0);
    if (all.last <= j0 || all.first >= j0 + n) continue;
    prefetch.next();
    w.pack_keys(p, j0, n);
    prefetch.next();
    w.rows_of_values = rows_as_right<T, A>(n, p.value_depth, p.v + j0 * p.v_row, p.v_row, w.values);
    // The next block is fetched meanwhile.
    Index fetched = j0 + n;
    const Index next = lesser(p.keys, fetched + block);
    const Index share = block / greater(1, p.group * (to.end - to.begin) / high) + 1;
    each_tile([&](Index head, Index i, Index rows) {
      for (const Index end = lesser(next, fetched + share); fetched < end; ++fetched) {
        fetch_row(p.k + fetched * p.k_row, p.depth);
        fetch_row(p.v + fetched * p.v_row, p.value_depth);
      }
      prefetch.next();
      w.tile(p, to, head, i, rows, j0, n);
    });
  }
  for (Index head = 0; head < p.group; ++head) {
    for (Index i = to.begin; i < to.end; ++i) w.finish(p, to, head, i);
  }
  if (to.scores == nullptr) return;
  for (Index j0 = 0; j0 < p.keys; j0 += block) {
    const Index n = lesser(block, p.keys - j0);
    w.pack_keys(p, j0, n);
    each_tile(
        [&](Index head, Index i, Index rows) { w.write_scores(p, to, head, i, rows, j0, n); });
  }
}

#define XTAPE_INSTANTIATE(T)                              \
  template void AttentionKernels<T, XTAPE_ARCH>::forward( \
      const AttentionHeads<T>&, const AttentionForward<T>&, Prefetch<T>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::kernels
