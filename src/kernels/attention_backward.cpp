#include "kernels/attention_few.hpp"

namespace xtape::kernels {
namespace {

constexpr Index kBlock = 128;   // keys at a time, at most
constexpr Index kQueries = 48;  // queries at a time: a multiple of every Tile::kRows
constexpr Index kBudget = 8192;

template <class T>
void clear_rows(Index rows, Index n, T* x, Index row) {
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < n; ++j) x[i * row + j] = T(0);
  }
}

/// The gradients of keys and values first ... last - 1.
template <class T>
void clear_keys(const AttentionHeads<T>& p, const AttentionBackward<T>& to, Index first,
                Index last) {
  clear_rows(last - first, p.depth, to.dk + first * p.k_row, p.k_row);
  clear_rows(last - first, p.value_depth, to.dv + first * p.v_row, p.v_row);
}

template <class T, class A>
struct Workspace {
  using Size = Tile<T, A>;
  using V = Vec<T, A>;
  using Gemm = GemmKernels<T, A>;
  static constexpr Index kWidth = Size::kWidth;
  static constexpr Index kWidest = 256;  // attention_fits()

  // The block of keys and values, by columns and by rows; the queries and gradients; and their
  // products, which become the probabilities and the gradients of the products.
  alignas(64) T keys_across[kBudget];
  alignas(64) T values_across[kBudget];
  alignas(64) T keys[kBudget];
  alignas(64) T q[kQueries * kWidest];
  alignas(64) T g[kQueries * kWidest];
  alignas(64) T probabilities[kQueries * kBlock];
  alignas(64) T slopes[kQueries * kBlock];
  RowDropout<A> drop;
  Right<T> rows_of_keys;
  Index written = 0;  // the gradients of so many keys hold sums already
  const FewKeys<T, A> few;

  explicit Workspace(const AttentionHeads<T>& p) : few(p) {}

  static Index block(const AttentionHeads<T>& p) {
    const Index widest = greater(round_up(p.depth, kWidth), p.value_depth);
    return keys_of_block<T, A>(kBlock, kBudget, widest);
  }

  void pack_block(const AttentionHeads<T>& p, Index j0, Index n, Prefetch<T>& prefetch) {
    const T* k = p.k + j0 * p.k_row;
    Gemm::pack(p.depth, n, 0, n, k, 1, p.k_row, keys_across);
    prefetch.next();
    Gemm::pack(p.value_depth, n, 0, n, p.v + j0 * p.v_row, 1, p.v_row, values_across);
    rows_of_keys = rows_as_right<T, A>(n, p.depth, k, p.k_row, keys);
    prefetch.next();
  }

  /// One row of products x and of gradients d of the probabilities, in place: x becomes the
  /// probabilities after dropout, d the gradient of the products with the keys.
  void row(const AttentionHeads<T>& p, const AttentionBackward<T>& to, Index head, Index i,
           Index j0, Index lo, Index hi, T* x, T* d) {
    const Index end = round_up(hi, kWidth);
    const Index at = head * p.queries + i;
    const V shift(to.stats[2 * at]);
    const V over_sum(to.stats[2 * at + 1]);
    const V delta(to.delta[at]);
    const V unit(exponent_factor<T, A>(p));
    const V scale(to.dbias == nullptr ? p.scale : T(1));
    const bool drops = p.rate > 0;
    const V keep(dropout_scale(p));
    if (drops) drop.draw(p, head, i, j0, lo, end);
    const T* more = to.g_scores == nullptr ? nullptr : to.g_scores + at * p.keys + j0;
    prepare_row<T, A>(p, head, i, j0, lo, end, x);
    for (Index j = lo; j < end; j += kWidth) {
      const V e = Exponential<T, A>::of(xsimd::fms(V::load_aligned(x + j), unit, shift)) * over_sum;
      V dj = V::load_aligned(d + j);
      V kept = e;
      if (drops) {
        kept = where_bits<T, A>(drop.at(j - lo), e * keep);
        dj = where_bits<T, A>(drop.at(j - lo), dj * keep);
      }
      if (more != nullptr) {  // the gradient of the scores did not come through dropout
        dj += j + kWidth <= hi ? V::load_unaligned(more + j) : load_first<T, A>(more + j, hi - j);
      }
      const V slope = xsimd::select(e == V(T(0)), V(T(0)), e * (dj - delta));
      kept.store_aligned(x + j);
      (slope * scale).store_aligned(d + j);
    }
    if (to.dbias != nullptr) {
      T* bias = to.dbias + head * p.bias_head + i * p.bias_row + j0 * p.bias_column;
      for (Index j = lo; j < hi; ++j) bias[j * p.bias_column] += d[j];
      for (Index j = lo; j < end; ++j) d[j] *= p.scale;
    }
  }

  /// The queries i ... i + rows - 1 of one head against the block.
  void queries(const AttentionHeads<T>& p, const AttentionBackward<T>& to, Index head, Index i,
               Index rows, Index j0, Index n, Prefetch<T>& prefetch) {
    const auto [lo, hi] = seen_of_block<T, A>(p, i, i + rows, j0, n);
    if (lo >= hi) return;
    const T* from_q = p.q + head * p.q_head + i * p.q_row;
    const T* from_g = to.g + head * to.o_head + i * to.o_row;
    T* to_dq = to.dq + head * p.q_head + i * p.q_row;
    const Right<T> rows_of_q = rows_as_right<T, A>(rows, p.depth, from_q, p.q_row, q);
    const Right<T> rows_of_g = rows_as_right<T, A>(rows, p.value_depth, from_g, to.o_row, g);
    times<T, A, true>(rows, p.depth, from_q, p.q_row, 1, {keys_across, p.depth, n}, 0, lo, hi,
                      Accumulate::overwrite, probabilities, kBlock);
    prefetch.next();
    times<T, A, true>(rows, p.value_depth, from_g, to.o_row, 1, {values_across, p.value_depth, n},
                      0, lo, hi, Accumulate::overwrite, slopes, kBlock);
    prefetch.next();
    const bool together = few && to.g_scores == nullptr;
    const Index next = lesser(rows, p.queries - i - rows);  // queries, which are fetched meanwhile
    for (Index r = 0; r < rows; ++r) {
      if (r < next) {
        fetch_row(from_q + (rows + r) * p.q_row, p.depth);
        fetch_row(from_g + (rows + r) * to.o_row, p.value_depth);
        fetch_row(to_dq + (rows + r) * p.q_row, p.depth);
      }
      if (together) continue;
      row(p, to, head, i + r, j0, lo, hi, probabilities + r * kBlock, slopes + r * kBlock);
    }
    if (together) few.gradients(p, to, head, i, rows, hi, probabilities, slopes, kBlock, drop);
    prefetch.next();
    times<T, A>(rows, hi - lo, slopes + lo, kBlock, 1, rows_of_keys, lo, 0, p.depth,
                sees_first(p, i, i + rows, j0) ? Accumulate::overwrite : Accumulate::add, to_dq,
                p.q_row);
    prefetch.next();
    // Nothing is cleared only to be added to: what no one wrote yet starts at zero.
    clear_keys(p, to, written, j0 + lo);
    written = greater(written, j0 + lo);
    const auto add = [&](Index from, Index end, Accumulate accumulate) {
      if (from >= end) return;
      times<T, A>(end - from, rows, slopes + from, 1, kBlock, rows_of_q, 0, 0, p.depth, accumulate,
                  to.dk + (j0 + from) * p.k_row, p.k_row);
      prefetch.next();
      times<T, A>(end - from, rows, probabilities + from, 1, kBlock, rows_of_g, 0, 0, p.value_depth,
                  accumulate, to.dv + (j0 + from) * p.v_row, p.v_row);
    };
    const Index border = lesser(hi, written - j0);
    add(lo, border, Accumulate::add);
    add(border, hi, Accumulate::overwrite);
    written = greater(written, j0 + hi);
  }
};

/// Per query: the sum over keys of probability times its gradient, which the softmax takes off.
template <class T, class A>
void find_delta(const AttentionHeads<T>& p, const AttentionBackward<T>& to) {
  using V = Vec<T, A>;
  constexpr Index kWidth = Tile<T, A>::kWidth;
  for (Index head = 0; head < p.group; ++head) {
    for (Index i = 0; i < p.queries; ++i) {
      const T* o = to.o + head * to.o_head + i * to.o_row;
      const T* g = to.g + head * to.o_head + i * to.o_row;
      const Index at = head * p.queries + i;
      V sum(T(0));
      Index j = 0;
      for (; j + kWidth <= p.value_depth; j += kWidth) {
        sum = xsimd::fma(V::load_unaligned(o + j), V::load_unaligned(g + j), sum);
      }
      if (j < p.value_depth) {
        const Index rest = p.value_depth - j;
        sum = xsimd::fma(load_first<T, A>(o + j, rest), load_first<T, A>(g + j, rest), sum);
      }
      T total = xsimd::hadd(sum);
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
  Workspace<T, A> w(p);
  const Index block = w.block(p);
  prefetch.next();
  find_delta<T, A>(p, to);
  const auto each_rows = [&](const auto& body) {
    for (Index head = 0; head < p.group; ++head) {
      for (Index i = 0; i < p.queries; i += kQueries) {
        body(head, i, lesser(kQueries, p.queries - i));
      }
    }
  };
  const Seen all = seen_by(p, 0, p.queries);
  for (Index j0 = 0; j0 < p.keys; j0 += block) {
    const Index n = lesser(block, p.keys - j0);
    if (all.last <= j0 || all.first >= j0 + n) continue;
    w.pack_block(p, j0, n, prefetch);
    each_rows(
        [&](Index head, Index i, Index rows) { w.queries(p, to, head, i, rows, j0, n, prefetch); });
  }
  each_rows([&](Index head, Index i, Index rows) {
    const Seen seen = seen_by(p, i, i + rows);
    if (seen.first < seen.last) return;
    clear_rows(rows, p.depth, to.dq + head * p.q_head + i * p.q_row, p.q_row);
  });
  clear_keys(p, to, w.written, p.keys);
}

#define XTAPE_INSTANTIATE(T)                               \
  template void AttentionKernels<T, XTAPE_ARCH>::backward( \
      const AttentionHeads<T>&, const AttentionBackward<T>&, Prefetch<T>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::kernels
