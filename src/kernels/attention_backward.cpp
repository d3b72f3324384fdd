#include "kernels/attention_short_rows.hpp"

namespace xtape::kernels {
namespace {

constexpr Index kBlock = 128;    // keys at a time, at most
constexpr Index kQueries = 48;   // queries at a time: a multiple of every Tile::kRows
constexpr Index kBudget = 8192;  // elements of keys, and of values, at a time

/// Stores zeros into rows of n elements, `row` apart.
template <class T> void clear_rows(Index rows, Index n, T* x, Index row) {
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < n; ++j) x[i * row + j] = T(0);
  }
}

/// Stores zeros into the gradients of keys and values first ... last - 1.
template <class T>
void clear_keys(const AttentionHeads<T>& p, const AttentionBackward<T>& to, Index first,
                Index last) {
  clear_rows(last - first, p.depth, to.dk + first * p.k_row, p.k_row);
  clear_rows(last - first, p.value_depth, to.dv + first * p.v_row, p.v_row);
}

template <class T, class A> struct Workspace {
  using Size = Tile<T, A>;
  using V = Vec<T, A>;
  static constexpr Index kWidth = Size::kWidth;
  static constexpr Index kWidest = 256;  // attention_fits()

  // Packed right sides: k^T and v^T of the block, k; q and g of the chunk, or its scores in add_across().
  alignas(64) T keys_across[kBudget];
  alignas(64) T values_across[kBudget];
  alignas(64) T keys[kBudget];
  alignas(64) T q[kQueries * kWidest];
  alignas(64) T g[kQueries * kWidest];
  // For rounded products: dk^T and dv^T of the block. Then a product transposes q instead of the longer scores.
  static constexpr Index kAcross =
      sizeof(T) == sizeof(float) ? kBudget : 1;  // doubles are never rounded
  alignas(64) T dk_across[kAcross];
  alignas(64) T dv_across[kAcross];
  alignas(64) T x[kQueries * kBlock];   // scores, then probabilities e after dropout
  alignas(64) T dx[kQueries * kBlock];  // de, then scale dx
  RowDropout<A> drop;
  RightSide<T> key_side;
  Index written = 0;  // dk and dv of the keys before this one hold sums already
  // Whether dk and dv are added up transposed. One chunk alone would not pay for it.
  const bool turns;
  const Index pitch;  // of dk_across and dv_across
  const ShortRows<T, A> short_rows;

  explicit Workspace(const AttentionHeads<T>& p)
      : turns(p.rounded != nullptr && p.queries > kQueries), pitch(block(p)), short_rows(p) {}

  static Index block(const AttentionHeads<T>& p) {
    return keys_per_block<T>(kBlock, kBudget, max(p.depth, p.value_depth));
  }

  /// Packs a block of keys and values.
  void pack_block(const AttentionHeads<T>& p, Index j0, Index n, Prefetch<T>& prefetch) {
    const T* k = p.k + j0 * p.k_row;
    pack_right<T, A>(p, p.depth, n, k, 1, p.k_row, keys_across);
    prefetch();
    pack_right<T, A>(p, p.value_depth, n, p.v + j0 * p.v_row, 1, p.v_row, values_across);
    key_side = right_side<T, A>(p, n, p.depth, k, p.k_row, keys);
    prefetch();
  }

  /// Pass 2 of one query: stores probabilities after dropout into row, which holds x, and scale dx into d_row,
  /// which holds de. Adds dx to dbias.
  void probabilities_of_row(const AttentionHeads<T>& p, const AttentionBackward<T>& to, Index head,
                            Index i, Index j0, Index lo, Index hi, T* row, T* d_row) {
    const Index end = round_up(hi, kWidth);
    const Index at = head * p.queries + i;
    const V shift(to.row_max[at]);
    const V over_sum(to.inverse_sum[at]);
    const V delta(to.delta[at]);
    const V unit(exponent_factor<T, A>(p));
    const V scale(to.dbias == nullptr ? p.scale : T(1));
    const bool drops = p.rate > 0;
    const V keep(dropout_scale(p));
    if (drops) drop.draw(p, head, i, j0, lo, end);
    const T* g_scores = to.g_scores == nullptr ? nullptr : to.g_scores + at * p.keys + j0;
    add_bias_and_mask<T, A>(p, head, i, j0, lo, end, row);
    for (Index j = lo; j < end; j += kWidth) {
      const V e =
          Exponential<T, A>::of(xsimd::fms(V::load_aligned(row + j), unit, shift)) * over_sum;
      V dj = V::load_aligned(d_row + j);
      V kept = e;
      if (drops) {
        kept = where_bits<T, A>(drop.at(j - lo), e * keep);
        dj = where_bits<T, A>(drop.at(j - lo), dj * keep);
      }
      if (g_scores != nullptr) {  // the gradient of the probabilities before dropout
        dj += j + kWidth <= hi ? V::load_unaligned(g_scores + j)
                               : load_first<T, A>(g_scores + j, hi - j);
      }
      const V slope = xsimd::select(e == V(T(0)), V(T(0)), e * (dj - delta));
      kept.store_aligned(row + j);
      (slope * scale).store_aligned(d_row + j);
    }
    if (to.dbias != nullptr) {
      T* bias = to.dbias + head * p.bias_head + i * p.bias_row + j0 * p.bias_column;
      for (Index j = lo; j < hi; ++j) bias[j * p.bias_column] += d_row[j];
      for (Index j = lo; j < end; ++j) d_row[j] *= p.scale;
    }
  }

  /// Pass 4 of rounded products: adds y^T x of `rows` rows to `across`, for keys lo ... hi - 1.
  void add_across(const AttentionHeads<T>& p, Index rows, Index lo, Index hi, const T* scores,
                  Index depth, const T* y, Index y_row, T* across) {
    T* const packed = q;  // which has kWidest >= kBlock columns
    p.rounded->pack(rows, hi - lo, 0, hi - lo, scores + lo, kBlock, 1, packed);
    p.rounded->multiply({depth, hi - lo, rows, y, 1, y_row, packed, 0, Accumulate::add, nullptr,
                         across + lo, pitch});
  }

  /// Stores n rows, the transpose of `across`.
  void store_across(Index n, Index depth, const T* across, T* to, Index row) const {
    for (Index j = 0; j < n; ++j) {
      for (Index d = 0; d < depth; ++d) to[j * row + d] = across[d * pitch + j];
    }
  }

  /// Begins a block of rounded products.
  void clear_across(const AttentionHeads<T>& p) {
    clear_rows(1, p.depth * pitch, dk_across, 0);
    clear_rows(1, p.value_depth * pitch, dv_across, 0);
  }

  /// Ends a block of rounded products: stores gradients of keys and values j0 ... j0 + n - 1.
  void store_block(const AttentionHeads<T>& p, const AttentionBackward<T>& to, Index j0, Index n) {
    clear_keys(p, to, written, j0);
    store_across(n, p.depth, dk_across, to.dk + j0 * p.k_row, p.k_row);
    store_across(n, p.value_depth, dv_across, to.dv + j0 * p.v_row, p.v_row);
    written = j0 + n;
  }

  /// Passes 1 to 4 of queries i ... i + rows - 1 of one head with one block of keys.
  void chunk(const AttentionHeads<T>& p, const AttentionBackward<T>& to, Index head, Index i,
             Index rows, Index j0, Index n, Prefetch<T>& prefetch) {
    const auto [lo, hi] = visible_columns<T, A>(p, i, i + rows, j0, n);
    if (lo >= hi) return;
    const T* from_q = p.q + head * p.q_head + i * p.q_row;
    const T* from_g = to.g + head * to.o_head + i * to.o_row;
    T* to_dq = to.dq + head * p.q_head + i * p.q_row;
    RightSide<T> q_side, g_side;
    if (!turns) {
      q_side = right_side<T, A>(p, rows, p.depth, from_q, p.q_row, q);
      g_side = right_side<T, A>(p, rows, p.value_depth, from_g, to.o_row, g);
    }
    // Pass 1: x = q k^T, de = g v^T.
    multiply_block<T, A, true>(p, rows, p.depth, from_q, p.q_row, 1, {keys_across, p.depth, n}, 0,
                               lo, hi, Accumulate::overwrite, x, kBlock);
    prefetch();
    multiply_block<T, A, true>(p, rows, p.value_depth, from_g, to.o_row, 1,
                               {values_across, p.value_depth, n}, 0, lo, hi, Accumulate::overwrite,
                               dx, kBlock);
    prefetch();
    // Pass 2: e and dx. Meanwhile the next queries are prefetched.
    const bool together = short_rows && to.g_scores == nullptr;
    const Index next = min(rows, p.queries - i - rows);
    const auto prefetch_query = [&](Index r) {
      if (r >= next) return;
      prefetch_row(from_q + (rows + r) * p.q_row, p.depth);
      prefetch_row(from_g + (rows + r) * to.o_row, p.value_depth);
      prefetch_row(to_dq + (rows + r) * p.q_row, p.depth);
    };
    for (Index r = 0; r < rows; ++r) {
      prefetch_query(r);
      if (together) continue;
      probabilities_of_row(p, to, head, i + r, j0, lo, hi, x + r * kBlock, dx + r * kBlock);
    }
    if (together) short_rows.gradients(p, to, head, i, rows, hi, x, dx, kBlock, drop);
    prefetch();
    // Pass 3: dq += scale dx k.
    multiply_block<T, A>(
        p, rows, hi - lo, dx + lo, kBlock, 1, key_side, lo, 0, p.depth,
        is_first_block(p, i, i + rows, j0) ? Accumulate::overwrite : Accumulate::add, to_dq,
        p.q_row);
    prefetch();
    // Pass 4: dk += scale dx^T q, dv += e^T g.
    if (turns) {
      add_across(p, rows, lo, hi, dx, p.depth, from_q, p.q_row, dk_across);
      prefetch();
      add_across(p, rows, lo, hi, x, p.value_depth, from_g, to.o_row, dv_across);
      return;
    }
    // The first chunk overwrites, which saves clearing dk and dv.
    clear_keys(p, to, written, j0 + lo);
    written = max(written, j0 + lo);
    const auto add_keys = [&](Index from, Index end, Accumulate accumulate) {
      if (from >= end) return;
      multiply_block<T, A>(p, end - from, rows, dx + from, 1, kBlock, q_side, 0, 0, p.depth,
                           accumulate, to.dk + (j0 + from) * p.k_row, p.k_row);
      prefetch();
      multiply_block<T, A>(p, end - from, rows, x + from, 1, kBlock, g_side, 0, 0, p.value_depth,
                           accumulate, to.dv + (j0 + from) * p.v_row, p.v_row);
    };
    const Index border = min(hi, written - j0);
    add_keys(lo, border, Accumulate::add);
    add_keys(border, hi, Accumulate::overwrite);
    written = max(written, j0 + hi);
  }
};

/// Pass 0: stores delta = sum(o g) = sum(e de) of every query, and the same sum over g_scores.
template <class T, class A>
void find_delta(const AttentionHeads<T>& p, const AttentionBackward<T>& to) {
  for (Index head = 0; head < p.group; ++head) {
    for (Index i = 0; i < p.queries; ++i) {
      const T* o = to.o + head * to.o_head + i * to.o_row;
      const T* g = to.g + head * to.o_head + i * to.o_row;
      const Index at = head * p.queries + i;
      T total = dot<T, A>(o, g, p.value_depth);
      if (to.g_scores != nullptr) {
        const T* y = to.scores + at * p.keys;
        const T* dy = to.g_scores + at * p.keys;
        for (Index k = 0; k < p.keys; ++k) total += y[k] == T(0) ? T(0) : y[k] * dy[k];
      }
      to.delta[at] = total;
    }
  }
}

}  // namespace

template <class T, class A>
void AttentionKernels<T, A>::backward(const AttentionHeads<T>& p, const AttentionBackward<T>& to,
                                      Prefetch<T>& prefetch) {
  const KernelsInUse<T> in_use(p.rounded);
  Workspace<T, A> w(p);
  const Index block = w.block(p);
  prefetch();
  find_delta<T, A>(p, to);
  const auto each_chunk = [&](const auto& body) {
    for (Index head = 0; head < p.group; ++head) {
      for (Index i = 0; i < p.queries; i += kQueries) {
        body(head, i, min(kQueries, p.queries - i));
      }
    }
  };
  const KeyRange all = visible_keys(p, 0, p.queries);
  for (Index j0 = 0; j0 < p.keys; j0 += block) {
    const Index n = min(block, p.keys - j0);
    if (all.last <= j0 || all.first >= j0 + n) continue;
    w.pack_block(p, j0, n, prefetch);
    if (w.turns) w.clear_across(p);
    each_chunk(
        [&](Index head, Index i, Index rows) { w.chunk(p, to, head, i, rows, j0, n, prefetch); });
    if (w.turns) w.store_block(p, to, j0, n);
  }
  each_chunk([&](Index head, Index i, Index rows) {
    const KeyRange keys = visible_keys(p, i, i + rows);
    if (keys.first < keys.last) return;
    clear_rows(rows, p.depth, to.dq + head * p.q_head + i * p.q_row, p.q_row);
  });
  clear_keys(p, to, w.written, p.keys);
}

template struct AttentionKernels<float, XTAPE_ARCH>;
template struct AttentionKernels<double, XTAPE_ARCH>;

}  // namespace xtape::kernels
