#include "ops/attention.hpp"

#include "base/instantiate.hpp"
#include "kernels/attention.hpp"
#include "kernels/attention_step.hpp"
#include "kernels/reduce.hpp"
#include "ops/attention_geometry.hpp"
#include "ops/products_of.hpp"
#include "products/choice.hpp"
#include "threads/pool.hpp"

#include <xtape/tape/record.hpp>

#include <algorithm>
#include <numeric>

namespace xtape::detail {
namespace {

constexpr double kParallelWork = 1 << 17U;  // fewer multiplications are one job
constexpr Index kChunk = 384;               // queries of one task: a multiple of every tile
constexpr Index kLittle = 8192;             // most elements of a head that are prefetched
constexpr Index kNear = 1 << 20U;           // bytes of all heads that need no prefetching

/// Runs body(0) ... body(count - 1), on several threads where the work is worth it.
template <class Body> void run(Index count, double work, const Body& body) {
  const Index grain = work < kParallelWork
                          ? count
                          : std::max<Index>(1, static_cast<Index>(kParallelWork / 4 / work *
                                                                  static_cast<double>(count)));
  parallel_for(count, grain, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) body(i);
  });
}

/// One call, with all that its tasks read.
template <class T> class Problem {
 public:
  Problem(const Attention<T>& a, const Var<T>& q, const Var<T>& k, const Var<T>& v,
          const Var<T>* bias)
      : a_(a),
        geometry_(a, q.shape(), k.shape(), v.shape()),
        products_(products_of(q, k, v)),
        q_(q),
        k_(k),
        v_(v) {
    if (a.seen.pairs) mask_ = pairs_of(a.seen.pairs->shape(), a.scores, a.axes.size());
    if (bias != nullptr) {
      bias_ = *bias;
      bias_strides_ = pairs_of(bias->shape(), a.scores, a.axes.size());
    }
    if (a.seen.keys) find_ranges();
  }

  [[nodiscard]] const AttentionGeometry<T>& geometry() const { return geometry_; }
  [[nodiscard]] bool has_bias() const { return bias_.has_value(); }

  void forward(T* o, T* row_max, T* inverse_sum, T* scores) const {
    const AttentionGeometry<T>& g = geometry_;
    const Index chunks = (g.queries + kChunk - 1) / kChunk;
    const Rounded rounded = rounded_kernels();
    run(g.batches * g.key_heads * chunks, g.work(), [&](Index task) {
      const Index pair = task / chunks;
      const Index first = pair * g.group;  // of the heads of all batches
      kernels::AttentionForward<T> to;
      const auto place = g.place(pair);
      to.o = o + place.o;
      to.o_row = g.o_row;
      to.o_head = g.value_depth;
      to.row_max = row_max + first * g.queries;
      to.inverse_sum = inverse_sum + first * g.queries;
      to.scores = scores == nullptr ? nullptr : scores + first * g.queries * g.keys;
      to.begin = task % chunks * kChunk;
      to.end = std::min(g.queries, to.begin + kChunk);
      const auto heads = heads_of(pair, place, rounded);
      kernels::Prefetch<T> prefetch =
          chunks == 1 ? prefetch_after(pair, {o}) : kernels::Prefetch<T>();
      kernels::on_isa([&](auto isa) {
        kernels::AttentionKernels<T, decltype(isa)>::forward(heads, to, prefetch);
      });
    });
  }

  struct Gradients {
    T *dq, *dk, *dv, *dbias;
  };

  void backward(const T* o, const T* g_o, const T* row_max, const T* inverse_sum, const T* scores,
                const T* g_scores, const Gradients& d) const {
    const AttentionGeometry<T>& g = geometry_;
    Array<T> delta = empty<T>(Shape{static_cast<std::size_t>(g.batches * g.heads * g.queries)});
    T* deltas = delta.data();
    const Rounded rounded = rounded_kernels();
    const auto one = [&](Index pair) {
      const Index first = pair * g.group;
      const auto place = g.place(pair);
      kernels::AttentionBackward<T> to;
      to.o = o + place.o;
      to.g = g_o + place.o;
      to.o_row = g.o_row;
      to.o_head = g.value_depth;
      to.row_max = row_max + first * g.queries;
      to.inverse_sum = inverse_sum + first * g.queries;
      if (g_scores != nullptr) {
        to.scores = scores + first * g.queries * g.keys;
        to.g_scores = g_scores + first * g.queries * g.keys;
      }
      to.delta = deltas + first * g.queries;
      to.dq = d.dq + place.q;
      to.dk = d.dk + place.k;
      to.dv = d.dv + place.v;
      if (d.dbias != nullptr) to.dbias = d.dbias + bias_offset(pair);
      const auto heads = heads_of(pair, place, rounded);
      kernels::Prefetch<T> prefetch = prefetch_after(pair, {o, g_o, d.dq, d.dk, d.dv});
      kernels::on_isa([&](auto isa) {
        kernels::AttentionKernels<T, decltype(isa)>::backward(heads, to, prefetch);
      });
    };
    const Index count = g.batches * g.key_heads;
    if (d.dbias == nullptr) {
      run(count, 2.5 * g.work(), one);
      return;
    }
    // Heads that add to the same entries of the bias's gradient are one thread's, in order.
    std::vector<Index> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](Index x, Index y) { return bias_offset(x) < bias_offset(y); });
    std::vector<std::size_t> starts;
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (i == 0 || bias_offset(order[i]) != bias_offset(order[i - 1])) starts.push_back(i);
    }
    starts.push_back(order.size());
    run(static_cast<Index>(starts.size()) - 1, 2.5 * g.work(), [&](Index i) {
      const auto part = static_cast<std::size_t>(i);
      for (std::size_t j = starts[part]; j < starts[part + 1]; ++j) one(order[j]);
    });
  }

 private:
  // Kernels skip the keys before the first one and after the last one that exist. Without gaps between
  // these, kernels do not read the mask of the keys.
  void find_ranges() {
    const Index batch = geometry_.free_extent[0];
    const Index keys = geometry_.keys;
    for (Index b = 0; b < batch; ++b) {
      const bool* keep = a_.seen.keys->data() + b * keys;
      Range r{0, keys, false};
      while (r.last > 0 && !keep[r.last - 1]) --r.last;
      while (r.first < r.last && !keep[r.first]) ++r.first;
      r.gaps = !std::all_of(keep + r.first, keep + r.last, [](bool k) { return k; });
      ranges_.push_back(r);
    }
  }

  struct Touched {
    const T *o, *g_o = nullptr, *dq = nullptr, *dk = nullptr, *dv = nullptr;
  };

  // Returns the rows that the next pair reads and writes, if they are few. The same thread most likely
  // computes that pair. Kernels prefetch long rows themselves.
  [[nodiscard]] kernels::Prefetch<T> prefetch_after(Index pair, const Touched& also) const {
    const AttentionGeometry<T>& g = geometry_;
    const Index next = pair + 1;
    const Index of_q = g.group * g.depth;
    const Index of_o = g.group * g.value_depth;
    const Index pairs = g.batches * g.key_heads;
    const Index elements = (g.queries + g.keys) * (of_q + of_o);
    kernels::Prefetch<T> prefetch;
    const bool near = pairs * elements * static_cast<Index>(sizeof(T)) <= kNear;
    if (next == pairs || elements > kLittle || near) return prefetch;
    const auto [q, k, v, o] = g.place(next);
    prefetch.add({k_.data() + k, g.keys, g.depth, g.k_row});
    prefetch.add({v_.data() + v, g.keys, g.value_depth, g.v_row});
    prefetch.add({q_.data() + q, g.queries, of_q, g.q_row});
    prefetch.add({also.o + o, g.queries, of_o, g.o_row});
    if (also.g_o != nullptr) {
      prefetch.add({also.g_o + o, g.queries, of_o, g.o_row});
      prefetch.add({also.dq + q, g.queries, of_q, g.q_row});
      prefetch.add({also.dk + k, g.keys, g.depth, g.k_row});
      prefetch.add({also.dv + v, g.keys, g.value_depth, g.v_row});
    }
    return prefetch;
  }

  [[nodiscard]] Index bias_offset(Index pair) const {
    const AttentionGeometry<T>& g = geometry_;
    return g.offset(pair / g.key_heads, bias_strides_.free) +
           pair % g.key_heads * g.group * bias_strides_.head;
  }

  using Rounded = const kernels::GemmTable<T>*;
  [[nodiscard]] Rounded rounded_kernels() const {
    const AttentionGeometry<T>& g = geometry_;
    return products_ == Products::bfloat16
               ? products::rounded_kernels<T>(g.queries, g.keys, std::min(g.depth, g.value_depth))
               : nullptr;
  }

  [[nodiscard]] kernels::AttentionHeads<T> heads_of(
      Index pair, const typename AttentionGeometry<T>::Place& place, Rounded rounded) const {
    const AttentionGeometry<T>& g = geometry_;
    const Index f = pair / g.key_heads;
    const Index head = pair % g.key_heads;
    const Index batch = f / (g.batches / g.free_extent[0]);
    kernels::AttentionHeads<T> h;
    h.group = g.group;
    h.queries = g.queries;
    h.keys = g.keys;
    h.depth = g.depth;
    h.value_depth = g.value_depth;
    h.q = q_.data() + place.q;
    h.q_row = g.q_row;
    h.q_head = g.depth;
    h.k = k_.data() + place.k;
    h.k_row = g.k_row;
    h.v = v_.data() + place.v;
    h.v_row = g.v_row;
    h.scale = static_cast<T>(a_.scale);
    h.rounded = rounded;
    h.last_key = g.keys;
    h.behind = a_.seen.behind;
    h.ahead = a_.seen.ahead;
    if (a_.seen.queries) h.query_keep = a_.seen.queries->data() + batch * g.queries;
    if (a_.seen.keys) {
      const Range& r = ranges_[static_cast<std::size_t>(batch)];
      h.first_key = r.first;
      h.last_key = r.last;
      if (r.gaps) h.key_keep = a_.seen.keys->data() + batch * g.keys;
    }
    if (a_.seen.pairs) {
      h.mask_head = mask_.head;
      h.mask_row = mask_.row;
      h.mask_column = mask_.column;
      h.mask = a_.seen.pairs->data() + g.offset(f, mask_.free) + head * g.group * mask_.head;
    }
    if (bias_.has_value()) {
      h.bias_head = bias_strides_.head;
      h.bias_row = bias_strides_.row;
      h.bias_column = bias_strides_.column;
      h.bias = bias_.data() + bias_offset(pair);
    }
    if (a_.slopes) h.slopes = a_.slopes->data() + head * g.group;
    h.position = a_.position;
    h.rate = a_.rate;
    h.seed = a_.key.seed;
    h.index = a_.key.index;
    h.first_element = pair * g.group * g.queries * g.keys;
    return h;
  }

  struct Range {
    Index first, last;
    bool gaps;
  };

  Attention<T> a_;
  AttentionGeometry<T> geometry_;
  Products products_;
  Var<T> q_, k_, v_;
  Var<T> bias_;
  PairStrides mask_, bias_strides_;
  std::vector<Range> ranges_;
};

/// Returns whether a row's largest score is so large that its rounding error is no small exponent.
template <class T> bool has_large_score(const Array<T>& row_max) {
  kernels::Loop<1> rows;
  rows.push(static_cast<Index>(row_max.size()), {1});
  T least = 0;
  T most = 0;
  kernels::reduce(kernels::Reduce::min, kernels::Loop<1>{}, rows, row_max.data(), &least);
  kernels::reduce(kernels::Reduce::max, kernels::Loop<1>{}, rows, row_max.data(), &most);
  return most > kernels::kLargeExponent<T> || least < -kernels::kLargeExponent<T>;
}

}  // namespace

template <class T>
bool attention_fuses(const Attention<T>& a, const Var<T>& q, const Var<T>& k, const Var<T>& v,
                     const Var<T>* bias) {
  for (std::size_t i = 0; i + 1 < a.axes.size(); ++i) {
    if (a.axes[i + 1] != a.axes[i] + 1) return false;
  }
  if (q.size() == 0 || k.size() == 0 || v.size() == 0) return false;
  if (!kernels::attention_fits(static_cast<Index>(q.shape().back()),
                               static_cast<Index>(v.shape().back()))) {
    return false;
  }
  return (!a.seen.pairs || pairs_of(a.seen.pairs->shape(), a.scores, a.axes.size()).merges) &&
         (bias == nullptr || pairs_of(bias->shape(), a.scores, a.axes.size()).merges);
}
XTAPE_FOR_REALS(attention_fuses);

template <class T>
std::vector<Var<T>> fused_attention(const Attention<T>& a, const Var<T>& q, const Var<T>& k,
                                    const Var<T>& v, const Var<T>* bias, bool with_scores,
                                    ComposedAttention<T> composed) {
  Problem<T> problem(a, q, k, v, bias);
  const AttentionGeometry<T>& g = problem.geometry();
  Shape shape = q.shape();
  shape.back() = v.shape().back();
  std::vector<Result<T>> outputs;
  outputs.emplace_back(shape);
  if (with_scores) outputs.emplace_back(a.scores);
  const Shape rows{static_cast<std::size_t>(g.batches * g.heads * g.queries)};
  Array<T> row_max = empty<T>(rows);
  Array<T> inverse_sum = empty<T>(rows);
  problem.forward(outputs[0].data(), row_max.data(), inverse_sum.data(),
                  with_scores ? outputs[1].data() : nullptr);
  if (has_large_score(row_max)) return composed(q, k, v, bias);
  auto fast = [problem = std::move(problem), row_max = std::move(row_max),
               inverse_sum = std::move(inverse_sum)](FusedBackward<T>& backward,
                                                     const std::vector<Result<T>>& y) {
    std::vector<Result<T>> d;
    for (std::size_t i = 0; i < 3; ++i) d.emplace_back(backward.input(i).shape());
    const bool bias_wanted = problem.has_bias() && backward.needs_grad(3);
    if (bias_wanted) d.emplace_back(full<T>(backward.input(3).shape(), T(0)));
    Array<T> zeros;
    const Array<T>* g_o = backward.grad_output(0);
    if (g_o == nullptr) g_o = &(zeros = full<T>(y[0].shape(), T(0)));
    const Array<T>* g_scores = y.size() > 1 ? backward.grad_output(1) : nullptr;
    problem.backward(y[0].data(), g_o->data(), row_max.data(), inverse_sum.data(),
                     g_scores == nullptr ? nullptr : y[1].data(),
                     g_scores == nullptr ? nullptr : g_scores->data(),
                     {d[0].data(), d[1].data(), d[2].data(), bias_wanted ? d[3].data() : nullptr});
    for (std::size_t i = 0; i < d.size(); ++i) backward.add(i, std::move(d[i]));
  };
  const auto plain = [composed = std::move(composed), with_scores](const std::vector<Var<T>>& in) {
    std::vector<Var<T>> all = composed(in[0], in[1], in[2], in.size() > 3 ? &in[3] : nullptr);
    if (!with_scores) all.resize(1);
    return all;
  };
  std::vector<Var<T>> inputs{q, k, v};
  if (bias != nullptr) inputs.push_back(*bias);
  return record_fused("attention", std::move(outputs), std::move(fast), plain, inputs);
}
XTAPE_FOR_REALS(fused_attention);

}  // namespace xtape::detail
