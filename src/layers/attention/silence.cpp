#include "layers/attention/silence.hpp"

#include "kernels/elementwise.hpp"

#include <xtape/layers/attention/mask.hpp>
#include <xtape/ops/elementwise.hpp>

#include <algorithm>

namespace xtape::detail {

Array<bool> reshaped(const Array<bool>& mask, const Shape& shape) {
  Array<bool> out = mask;
  out.reshape(shape);
  return out;
}

template <class T>
bool all_finite(const Var<T>& x) {
  return kernels::first_non_finite(static_cast<Index>(x.size()), x.data()) < 0;
}

Attended attended(const Array<bool>& mask, const Shape& scores, const AttentionLayout& l) {
  const std::size_t rank = l.free.size() + l.axes.size();  // of an input without its features
  std::vector<std::size_t> query_shape(rank), key_shape(rank), free;
  for (std::size_t i = 0; i < rank; ++i) {
    if (std::find(l.axes.begin(), l.axes.end(), i) == l.axes.end()) {
      query_shape[i] = key_shape[i] = static_cast<std::size_t>(l.free[free.size()]);
      free.push_back(i);
    }
  }
  for (std::size_t i = 0; i < l.axes.size(); ++i) {
    query_shape[l.axes[i]] = static_cast<std::size_t>(l.targets[i]);
    key_shape[l.axes[i]] = static_cast<std::size_t>(l.sources[i]);
  }
  Attended a{Array<bool>(Shape(query_shape.begin(), query_shape.end()), false),
             Array<bool>(Shape(key_shape.begin(), key_shape.end()), false)};
  const auto query_strides = strides_of(a.queries.shape());
  const auto key_strides = strides_of(a.keys.shape());
  std::vector<kernels::Index> to_query(scores.size(), 0), to_key(scores.size(), 0);
  for (std::size_t i = 0; i < free.size(); ++i) {
    to_query[i] = query_strides[free[i]];
    to_key[i] = key_strides[free[i]];
  }
  for (std::size_t i = 0; i < l.axes.size(); ++i) {
    to_query[free.size() + 1 + i] = query_strides[l.axes[i]];
    to_key[free.size() + 1 + l.axes.size() + i] = key_strides[l.axes[i]];
  }
  const auto loop =
      make_loop<3>(scores, {broadcast_strides(mask.shape(), scores), to_query, to_key});
  kernels::for_each_outer(loop, 0, [&](const kernels::Index(&at)[3]) {
    if (mask.data()[at[0]]) a.queries.data()[at[1]] = a.keys.data()[at[2]] = true;
  });
  return a;
}

template <class T>
Var<T> only(const Array<bool>& keep, const Var<T>& x, std::ptrdiff_t offset) {
  std::vector<std::size_t> shape(x.shape().begin(), x.shape().end());
  shape.back() = 1;
  if (offset == 0) return where(reshaped(keep, Shape(shape.begin(), shape.end())), x, T(0));
  // Of (batch, all positions), those of this call.
  Array<bool> part(Shape(shape.begin(), shape.end()));
  const std::size_t total = keep.shape()[1];
  for (std::size_t b = 0; b < shape[0]; ++b) {
    for (std::size_t i = 0; i < shape[1]; ++i) {
      part.data()[b * shape[1] + i] = keep.data()[b * total + static_cast<std::size_t>(offset) + i];
    }
  }
  return where(part, x, T(0));
}

namespace {

/// Of x (..., heads, dim) the rows that are finite, as (..., heads, 1).
template <class T>
Array<bool> finite_rows(const Var<T>& x) {
  Shape shape = x.shape();
  const auto dim = static_cast<Index>(shape.back());
  shape.back() = 1;
  Array<bool> finite(shape);
  for (std::size_t i = 0; i < finite.size(); ++i) {
    finite.data()[i] = kernels::first_non_finite(dim, x.data() + static_cast<Index>(i) * dim) < 0;
  }
  return finite;
}

}  // namespace

template <class T>
Spoiled silence(const Array<bool>& mask, const Shape& scores, const AttentionLayout& l,
                Var<T>& query, Var<T>& key, Var<T>& value) {
  const Array<bool> queries = finite_rows(query);
  const Array<bool> keys = logical_and(finite_rows(key), finite_rows(value));
  query = where(queries, query, T(0));
  key = where(keys, key, T(0));
  value = where(keys, value, T(0));
  Spoiled s{Array<bool>(queries.shape(), false), Array<bool>(scores, false)};
  // Walked as the scores are, but with the key heads apart from the queries' heads that share one.
  const Shape& q = queries.shape();
  const Shape& k = keys.shape();
  const std::size_t heads = q[q.size() - 2];
  const std::size_t groups = k[k.size() - 2];
  const auto q_strides = strides_of(q), k_strides = strides_of(k);
  const auto score_strides = strides_of(scores);
  const auto mask_strides = broadcast_strides(mask.shape(), scores);
  std::vector<std::size_t> extents;
  std::vector<Index> to_mask, to_query, to_key, to_scores;
  const auto add = [&](std::size_t extent, Index m, Index from_q, Index from_k, Index from_s) {
    extents.push_back(extent);
    to_mask.push_back(m);
    to_query.push_back(from_q);
    to_key.push_back(from_k);
    to_scores.push_back(from_s);
  };
  std::size_t at = 0;
  for (std::size_t i = 0; i + 2 < q.size(); ++i) {
    if (std::find(l.axes.begin(), l.axes.end(), i) != l.axes.end()) continue;
    add(scores[at], mask_strides[at], q_strides[i], k_strides[i], score_strides[at]);
    ++at;
  }
  const auto group = static_cast<Index>(heads / groups);
  add(groups, mask_strides[at] * group, group, 1, score_strides[at] * group);
  add(heads / groups, mask_strides[at], 1, 0, score_strides[at]);
  ++at;
  for (const std::size_t axis : l.axes) {
    add(scores[at], mask_strides[at], q_strides[axis], 0, score_strides[at]);
    ++at;
  }
  for (const std::size_t axis : l.axes) {
    add(scores[at], mask_strides[at], 0, k_strides[axis], score_strides[at]);
    ++at;
  }
  const auto loop =
      make_loop<4>(Shape(extents.begin(), extents.end()), {to_mask, to_query, to_key, to_scores});
  kernels::for_each_outer(loop, 0, [&](const Index(&i)[4]) {
    const bool finite = queries.data()[i[1]] && keys.data()[i[2]];
    if (mask.data()[i[0]] && !finite) s.outputs.data()[i[1]] = true;
  });
  kernels::for_each_outer(loop, 0, [&](const Index(&i)[4]) {
    s.scores.data()[i[3]] = mask.data()[i[0]] && s.outputs.data()[i[1]];
  });
  return s;
}

#define XTAPE_INSTANTIATE(T)                                                                  \
  template bool all_finite(const Var<T>&);                                                    \
  template Var<T> only(const Array<bool>&, const Var<T>&, std::ptrdiff_t);                    \
  template Spoiled silence(const Array<bool>&, const Shape&, const AttentionLayout&, Var<T>&, \
                           Var<T>&, Var<T>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::detail
