#include "layers/attention/nonfinite.hpp"

#include "base/instantiate.hpp"
#include "kernels/elementwise.hpp"
#include "layers/attention/masks.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/tape/record.hpp>

#include <algorithm>
#include <limits>

namespace xtape::detail {
namespace {

template <class T> bool all_finite(const AttentionOperands<T>& x) {
  const auto finite = [](const Var<T>& v) {
    return !v.has_value() || kernels::first_non_finite(static_cast<Index>(v.size()), v.data()) < 0;
  };
  return finite(x.query) && finite(x.value) && finite(x.key);
}

/// Returns a loop over the scores with offsets into {mask, queries, keys, scores}. The shapes of queries
/// and keys are those of the inputs without features, or those of the projections with 1 for dim.
kernels::Loop<4> pairs(const Array<bool>& mask, const Shape& scores, const AttentionLayout& l,
                       const Shape& queries, const Shape& keys) {
  const std::size_t rank = l.free.size() + l.axes.size();
  const bool projected = queries.size() > rank;
  const std::size_t heads = scores[l.free.size()];
  const std::size_t groups = projected ? keys[rank] : 1;  // query heads that share keys are a group
  const auto q = strides_of(queries), k = strides_of(keys), s = strides_of(scores);
  const auto m = broadcast_strides(mask.shape(), scores);
  std::vector<std::size_t> extents;
  std::vector<Index> to[4];
  const auto add = [&](std::size_t extent, Index mask_step, Index query, Index key, Index score) {
    extents.push_back(extent);
    const Index steps[4] = {mask_step, query, key, score};
    for (std::size_t i = 0; i < 4; ++i) to[i].push_back(steps[i]);
  };
  std::size_t at = 0;  // axis of the scores
  for (std::size_t i = 0; i < rank; ++i) {
    if (std::find(l.axes.begin(), l.axes.end(), i) != l.axes.end()) continue;
    add(scores[at], m[at], q[i], k[i], s[at]);
    ++at;
  }
  const auto group = static_cast<Index>(heads / groups);
  const Index query = projected ? q[rank] : 0;
  add(groups, m[at] * group, query * group, projected ? k[rank] : 0, s[at] * group);
  add(heads / groups, m[at], query, 0, s[at]);
  for (const std::size_t axis : l.axes) ++at, add(scores[at], m[at], q[axis], 0, s[at]);
  for (const std::size_t axis : l.axes) ++at, add(scores[at], m[at], 0, k[axis], s[at]);
  return make_loop<4>(Shape(extents.begin(), extents.end()), to);
}

/// Which queries attend to something and which keys are attended to, in the layout of the inputs.
struct Attended {
  Array<bool> queries, keys;
};

Attended attended(const Array<bool>& mask, const Shape& scores, const AttentionLayout& l) {
  const std::size_t rank = l.free.size() + l.axes.size();
  std::vector<std::size_t> queries(rank), keys(rank);
  for (std::size_t i = 0, free = 0; i < rank; ++i) {
    const auto at = std::find(l.axes.begin(), l.axes.end(), i) - l.axes.begin();
    const auto axis = static_cast<std::size_t>(at);
    const bool attends = axis < l.axes.size();
    queries[i] = static_cast<std::size_t>(attends ? l.targets[axis] : l.free[free]);
    keys[i] = static_cast<std::size_t>(attends ? l.sources[axis] : l.free[free]);
    free += attends ? 0 : 1;
  }
  Attended a{Array<bool>(Shape(queries.begin(), queries.end()), false),
             Array<bool>(Shape(keys.begin(), keys.end()), false)};
  kernels::for_each_outer(pairs(mask, scores, l, a.queries.shape(), a.keys.shape()), 0,
                          [&](const Index(&at)[4]) {
                            if (mask.data()[at[0]])
                              a.queries.data()[at[1]] = a.keys.data()[at[2]] = true;
                          });
  return a;
}

/// Returns x with zeros where `keep` is false. x begins at position `offset` of `keep`.
template <class T> Var<T> kept(const Array<bool>& keep, const Var<T>& x, Index offset) {
  if (!x.has_value()) return x;
  Shape shape = x.shape();
  shape.back() = 1;
  if (offset == 0) return where(reshaped(keep, shape), x, T(0));
  // Behind a cache, inputs are (batch, positions, features) and `keep` is (batch, all positions).
  Array<bool> part(shape);
  const std::size_t total = keep.shape()[1];
  for (std::size_t b = 0; b < shape[0]; ++b) {
    const bool* from = keep.data() + b * total + static_cast<std::size_t>(offset);
    std::copy_n(from, shape[1], part.data() + b * shape[1]);
  }
  return where(part, x, T(0));
}

/// Returns which rows of x (..., heads, dim) are finite, as (..., heads, 1).
template <class T> Array<bool> finite_rows(const Var<T>& x) {
  Shape shape = x.shape();
  const auto dim = static_cast<Index>(shape.back());
  shape.back() = 1;
  Array<bool> finite(shape);
  for (std::size_t i = 0; i < finite.size(); ++i) {
    finite.data()[i] = kernels::first_non_finite(dim, x.data() + static_cast<Index>(i) * dim) < 0;
  }
  return finite;
}

/// Results that a NaN or an infinity reaches.
struct NonFiniteRows {
  Array<bool> outputs;  // (axes of the queries..., heads, 1)
  Array<bool> scores;   // of the shape of the scores; false where the key is masked
};

/// Returns x with zeros in the rows that are not finite. The gradient of the rows in `reached` is NaN.
template <class T>
Var<T> without_nonfinite(const Var<T>& x, const Array<bool>& finite, const Array<bool>& reached) {
  const auto zeroed = [finite](const Var<T>& v) { return where(finite, v, T(0)); };
  return record("attention", zeroed(x.detach()).value(), wrt(x, [=](const Var<T>& g) {
                  return where(reached, std::numeric_limits<T>::quiet_NaN(), zeroed(g));
                }));
}

/// Zeroes the projected rows that are not finite. Returns the results that attend to one of them.
template <class T>
NonFiniteRows mask_nonfinite_rows(const Array<bool>& mask, const Shape& scores,
                                  const AttentionLayout& l, AttentionOperands<T>& p) {
  const Array<bool> queries = finite_rows(p.query);
  const Array<bool> keys = logical_and(finite_rows(p.key), finite_rows(p.value));
  NonFiniteRows rows{Array<bool>(queries.shape(), false), Array<bool>(scores, false)};
  const auto loop = pairs(mask, scores, l, queries.shape(), keys.shape());
  kernels::for_each_outer(loop, 0, [&](const Index(&at)[4]) {
    const bool finite = queries.data()[at[1]] && keys.data()[at[2]];
    if (mask.data()[at[0]] && !finite) rows.outputs.data()[at[1]] = true;
  });
  Array<bool> reached(keys.shape(), false);  // keys of such results
  kernels::for_each_outer(loop, 0, [&](const Index(&at)[4]) {
    const bool attends = mask.data()[at[0]] && rows.outputs.data()[at[1]];
    rows.scores.data()[at[3]] = attends;
    if (attends) reached.data()[at[2]] = true;
  });
  p.query = without_nonfinite(p.query, queries, rows.outputs);
  p.key = without_nonfinite(p.key, keys, reached);
  p.value = without_nonfinite(p.value, keys, reached);
  return rows;
}

}  // namespace

template <class T>
OptionalArray<bool> zero_unattended(const Attention<T>& a, const AttentionLayout& l,
                                    AttentionOperands<T>& inputs) {
  if (a.seen.everything() || all_finite(inputs)) return std::nullopt;
  OptionalArray<bool> mask = evaluate(a.seen, a.scores);
  const Attended keep = attended(*mask, a.scores, l);
  inputs.query = kept(keep.queries, inputs.query, 0);
  inputs.value = kept(keep.keys, inputs.value, a.position);
  inputs.key = kept(keep.keys, inputs.key, a.position);
  if (all_finite(inputs)) mask.reset();
  return mask;
}
XTAPE_FOR_REALS(zero_unattended);

template <class T>
std::vector<Var<T>> with_masked_nonfinite(const Array<bool>& mask, const Shape& scores,
                                          const AttentionLayout& l, AttentionOperands<T> p,
                                          const Attend<T>& attend) {
  const NonFiniteRows rows = mask_nonfinite_rows(mask, scores, l, p);
  std::vector<Var<T>> results = attend(p);
  const T nan = std::numeric_limits<T>::quiet_NaN();
  results[0] = where(rows.outputs, nan, results[0]);
  if (results.size() > 1) results[1] = where(rows.scores, nan, results[1]);
  return results;
}
XTAPE_FOR_REALS(with_masked_nonfinite);

}  // namespace xtape::detail
