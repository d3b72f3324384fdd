#include "layers/attention_silence.hpp"

#include "kernels/elementwise.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

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

template <class T>
Var<T> weighted(const std::string& equation, const Var<T>& weights, const Var<T>& value) {
  if (all_finite(value)) return einsum(equation, weights, value);
  Array<bool> good(value.shape());
  Array<T> bad(value.shape());
  for (std::size_t i = 0; i < value.size(); ++i) {
    good.data()[i] = std::isfinite(value.data()[i]);
    bad.data()[i] = good.data()[i] ? T(0) : T(1);
  }
  const Var<T> clean = einsum(equation, weights, where(good, value, T(0)));
  const Var<T> touched = einsum(equation, weights.detach(), Var<T>(bad));
  return where(greater(touched, T(0)), std::numeric_limits<T>::quiet_NaN(), clean);
}

#define XTAPE_INSTANTIATE(T)                                               \
  template bool all_finite(const Var<T>&);                                 \
  template Var<T> only(const Array<bool>&, const Var<T>&, std::ptrdiff_t); \
  template Var<T> weighted(const std::string&, const Var<T>&, const Var<T>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape::detail
