#include "kernels/attention_short_rows.hpp"

namespace xtape::kernels {
namespace {

constexpr Index kBlock = 128;     // keys at a time, at most
constexpr Index kQueries = 48;    // queries at a time: a multiple of every Tile::kRows
constexpr Index kBudget = 16384;  // elements of keys, and of values, at a time: about L1

template <class T, class A> struct Workspace {
  using Size = Tile<T, A>;
  using V = Vec<T, A>;
  static constexpr Index kWidth = Size::kWidth;

  alignas(64) T keys[kBudget];
  alignas(64) T values[kBudget];
  RightSide<T> value_side;
  alignas(64) T x[kQueries * kBlock];  // scores of a tile with the block, then exponentials
  RowDropout<A> drop;
  alignas(64) T log_rescale[round_up(kQueries, kWidth)];  // m - m', then exp of it
  T sums[kQueries];                                       // of the block
  const ShortRows<T, A> short_rows;

  explicit Workspace(const AttentionHeads<T>& p) : short_rows(p) {}

  static Index block(const AttentionHeads<T>& p) {
    return keys_per_block<T>(kBlock, kBudget, max(p.depth, p.value_depth));
  }

  void pack_keys(const AttentionHeads<T>& p, Index j0, Index n) {
    pack_right<T, A>(p, p.depth, n, p.k + j0 * p.k_row, 1, p.k_row, keys);
  }

  /// Pass 1: stores x = q k^T of `rows` queries from i on with keys lo ... hi - 1 of the block of n.
  void scores(const AttentionHeads<T>& p, Index head, Index i, Index rows, Index n, Index lo,
              Index hi) {
    multiply_block<T, A, true>(p, rows, p.depth, p.q + head * p.q_head + i * p.q_row, p.q_row, 1,
                               {keys, p.depth, n}, 0, lo, hi, Accumulate::overwrite, x, kBlock);
  }

  /// Pass 1: adds biases and masks to x.
  void add_biases_and_masks(const AttentionHeads<T>& p, Index head, Index i, Index rows, Index j0,
                            Index lo, Index end) {
    for (Index r = 0; r < rows; ++r) {
      add_bias_and_mask<T, A>(p, head, i + r, j0, lo, end, x + r * kBlock);
    }
  }

  /// Stores o[j] = o[j] * by for n elements.
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

  /// Pass 2: stores e = exp(x - m') after dropout into x. row_max holds the running maximum m and becomes m';
  /// log_rescale becomes m - m', the logarithm of the rescaling factor; sums become sum(e) before dropout.
  void exponentials_of_rows(const AttentionHeads<T>& p, Index head, Index i, Index rows, Index j0,
                            Index lo, Index end, T* row_max) {
    const T unit = exponent_factor<T, A>(p);
    const auto new_maximum = [&](Index r, T top) {
      const T before = row_max[r];
      const T shift = top * unit > before ? top * unit : before;
      log_rescale[r] = shift == before ? T(0) : before - shift;
      row_max[r] = shift;
      return shift == kMinusInfinity<T> ? T(0) : shift;
    };
    // Rows end where they see no more keys; zeros follow.
    const auto end_of = [&](Index r, Index count) {
      const Index seen = visible_keys(p, i + r, i + r + count).last - j0;
      const Index at = max(lo + kWidth, min(end, round_up(seen, kWidth)));
      for (Index k = r; k < r + count; ++k) {
        for (Index j = at; j < end; j += kWidth) V(T(0)).store_aligned(x + k * kBlock + j);
      }
      return at;
    };
    Index r = 0;
    if constexpr (kParts<V> == 1) {
      for (; r + 4 <= rows; r += 4) {
        T* const row = x + r * kBlock;
        const Index last = end_of(r, 4);
        alignas(64) T found[V::size];
        maxima_of_four<T, A>(row, kBlock, lo, last).store_aligned(found);
        T shift[4];
        for (int k = 0; k < 4; ++k) shift[k] = new_maximum(r + k, found[FourRows<V>::lane(k)]);
        exponentials_of_four<T, A>(row, kBlock, lo, last, unit, shift).store_aligned(found);
        for (int k = 0; k < 4; ++k) sums[r + k] = found[FourRows<V>::lane(k)];
      }
    }
    for (; r < rows; ++r) {
      T* const row = x + r * kBlock;
      const Index last = end_of(r, 1);
      const T shift = new_maximum(r, max_of_row<T, A>(row, lo, last));
      sums[r] = exponentials<T, A>(row, lo, last, unit, shift);
    }
    if (p.rate == 0) return;
    const V scale(dropout_scale(p));
    for (r = 0; r < rows; ++r) {
      drop.draw(p, head, i + r, j0, lo, end);
      for (Index j = lo; j < end; j += kWidth) {
        T* const at = x + r * kBlock + j;
        (where_bits<T, A>(drop.at(j - lo), V::load_aligned(at)) * scale).store_aligned(at);
      }
    }
  }

  /// Pass 3: multiplies the sums l and outputs o of earlier blocks by r = exp(m - m').
  void rescale_rows(const AttentionHeads<T>& p, Index rows, T* sum, T* o, Index o_row) {
    for (Index r = 0; r < rows; r += kWidth) {
      Exponential<T, A>::of(V::load_aligned(log_rescale + r)).store_aligned(log_rescale + r);
    }
    for (Index r = 0; r < rows; ++r) {
      if (log_rescale[r] != T(1)) scale_row(o + r * o_row, p.value_depth, log_rescale[r]);
      sum[r] *= log_rescale[r];
    }
  }

  /// Passes 1 to 3 of one tile of queries with one block of keys.
  void tile(const AttentionHeads<T>& p, const AttentionForward<T>& to, Index head, Index i,
            Index rows, Index j0, Index n) {
    const auto [lo, hi] = visible_columns<T, A>(p, i, i + rows, j0, n);
    if (lo >= hi) return;
    const bool first = is_first_block(p, i, i + rows, j0);
    const Index at = head * p.queries + i;
    T* row_max = to.row_max + at;
    T* sum = to.inverse_sum + at;  // l, inverted by finish()
    T* o = to.o + head * to.o_head + i * to.o_row;
    scores(p, head, i, rows, n, lo, hi);
    if (short_rows) {
      short_rows.exponentials(p, head, i, rows, hi, x, kBlock, row_max, sum, drop);
    } else {
      add_biases_and_masks(p, head, i, rows, j0, lo, round_up(hi, kWidth));
      exponentials_of_rows(p, head, i, rows, j0, lo, round_up(hi, kWidth), row_max);
      if (!first) rescale_rows(p, rows, sum, o, to.o_row);
      for (Index r = 0; r < rows; ++r) sum[r] += sums[r];
    }
    // Pass 3: o += e v.
    multiply_block<T, A>(p, rows, hi - lo, x + lo, kBlock, 1, value_side, lo, 0, p.value_depth,
                         first ? Accumulate::overwrite : Accumulate::add, o, to.o_row);
  }

  /// Pass 4: divides o by the complete sum l.
  static void finish(const AttentionHeads<T>& p, const AttentionForward<T>& to, Index head,
                     Index i) {
    T& row_max = to.row_max[head * p.queries + i];
    T& sum = to.inverse_sum[head * p.queries + i];
    T* o = to.o + head * to.o_head + i * to.o_row;
    if (row_max == kMinusInfinity<T>) row_max = T(0);  // the query sees no key
    if (sum == T(0)) {
      for (Index j = 0; j < p.value_depth; ++j) o[j] = T(0);
      return;
    }
    sum = T(1) / sum;
    scale_row(o, p.value_depth, sum);
  }

  /// Stores the probabilities of one tile with one block, from scores that are computed again.
  void write_scores(const AttentionHeads<T>& p, const AttentionForward<T>& to, Index head, Index i,
                    Index rows, Index j0, Index n) {
    const auto [lo, hi] = visible_columns<T, A>(p, i, i + rows, j0, n);
    if (lo < hi) {
      scores(p, head, i, rows, n, lo, hi);
      add_biases_and_masks(p, head, i, rows, j0, lo, round_up(hi, kWidth));
    }
    const T unit = exponent_factor<T, A>(p);
    for (Index r = 0; r < rows; ++r) {
      const Index at = head * p.queries + i + r;
      T* row = x + r * kBlock;
      T* probabilities = to.scores + at * p.keys + j0;
      for (Index j = 0; j < n; ++j) probabilities[j] = T(0);
      if (lo >= hi) continue;
      static_cast<void>(exponentials<T, A>(row, lo, round_up(hi, kWidth), unit, to.row_max[at]));
      for (Index j = lo; j < hi; ++j) probabilities[j] = row[j] * to.inverse_sum[at];
    }
  }
};

}  // namespace

template <class T, class A>
void AttentionKernels<T, A>::forward(const AttentionHeads<T>& p, const AttentionForward<T>& to,
                                     Prefetch<T>& prefetch) {
  const KernelsInUse<T> in_use(p.rounded);
  Workspace<T, A> w(p);
  // Few keys, of which tiles of many queries would compute more that are masked.
  const bool few = p.rounded == nullptr && p.queries <= 4 * kQueries;
  const Index high = few ? Index{Tile<T, A>::kRows} : kQueries;
  const Index block = w.block(p);
  for (Index head = 0; head < p.group; ++head) {
    for (Index i = to.begin; i < to.end; ++i) {
      to.row_max[head * p.queries + i] = kMinusInfinity<T>;
      to.inverse_sum[head * p.queries + i] = T(0);
    }
  }
  const KeyRange all = visible_keys(p, to.begin, to.end);
  const auto each_tile = [&](const auto& body) {
    for (Index head = 0; head < p.group; ++head) {
      for (Index i = to.begin; i < to.end; i += high) body(head, i, min(high, to.end - i));
    }
  };
  for (Index j0 = 0; j0 < p.keys; j0 += block) {
    const Index n = min(block, p.keys - j0);
    if (all.last <= j0 || all.first >= j0 + n) continue;
    prefetch();
    w.pack_keys(p, j0, n);
    prefetch();
    w.value_side = right_side<T, A>(p, n, p.value_depth, p.v + j0 * p.v_row, p.v_row, w.values);
    // Every tile prefetches a share of the next block.
    Index key = j0 + n;
    const Index last_key = min(p.keys, key + block);
    const Index share = block / max(1, p.group * (to.end - to.begin) / high) + 1;
    const auto prefetch_keys = [&] {
      for (const Index end = min(last_key, key + share); key < end; ++key) {
        prefetch_row(p.k + key * p.k_row, p.depth);
        prefetch_row(p.v + key * p.v_row, p.value_depth);
      }
    };
    each_tile([&](Index head, Index i, Index rows) {
      prefetch_keys();
      prefetch();
      w.tile(p, to, head, i, rows, j0, n);
    });
  }
  for (Index head = 0; head < p.group; ++head) {
    for (Index i = to.begin; i < to.end; ++i) w.finish(p, to, head, i);
  }
  if (to.scores == nullptr) return;
  for (Index j0 = 0; j0 < p.keys; j0 += block) {
    const Index n = min(block, p.keys - j0);
    w.pack_keys(p, j0, n);
    each_tile(
        [&](Index head, Index i, Index rows) { w.write_scores(p, to, head, i, rows, j0, n); });
  }
}

template struct AttentionKernels<float, XTAPE_ARCH>;
template struct AttentionKernels<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
