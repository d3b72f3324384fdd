#include <xtape/ops/softmax.hpp>

#include "base/instantiate.hpp"
#include "kernels/memory.hpp"
#include "kernels/softmax.hpp"
#include "ops/trailing_axes.hpp"
#include "threads/pool.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reductions.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape/record.hpp>

namespace xtape {
namespace {

using detail::Index;
using detail::rows_per_block;
using detail::TrailingAxes;

void check_mask(const char* op, const Array<bool>& mask, const Shape& shape) {
  if (!detail::broadcasts_to(mask.shape(), shape)) {
    detail::fail<ShapeError>(op, "mask does not broadcast: mask is ", to_string(mask.shape()),
                             ", expected ", to_string(shape),
                             " or extents of 1, and no more axes; true means take part");
  }
}

Array<bool> expanded(const Array<bool>& mask, const Shape& shape, const Axes* order = nullptr) {
  const std::vector<Index> from = detail::broadcast_strides(mask.shape(), shape);
  std::vector<Index> strides = from;
  Shape turned = shape;
  for (std::size_t i = 0; order != nullptr && i < shape.size(); ++i) {
    turned[i] = shape[static_cast<std::size_t>((*order)[i])];
    strides[i] = from[static_cast<std::size_t>((*order)[i])];
  }
  Array<bool> out(turned);
  kernels::copy(detail::make_loop<2>(turned, {strides, detail::strides_of(turned)}), mask.data(),
                out.data());
  return out;
}

/// Computes softmax over the trailing axes. The mask is expanded only where a row of it has several strides.
template <class T>
Result<T> softmax_rows(bool log, const Var<T>& x, const TrailingAxes& t,
                       const OptionalArray<bool>& mask) {
  Result<T> y(x.shape());
  const T* from = x.data();
  T* to = y.data();
  const Index n = t.n;
  if (x.size() == 0) return y;
  if (!mask) {
    detail::parallel_for(t.rows, rows_per_block(t.rows, n), [=](Index begin, Index end) {
      kernels::softmax_rows(log, end - begin, n, from + begin * n, to + begin * n);
    });
    return y;
  }
  const std::vector<Index> strides = detail::broadcast_strides(mask->shape(), x.shape());
  kernels::Loop<1> inner;
  kernels::Loop<1> outer;
  for (std::size_t i = x.rank(); i-- > 0;) {
    const bool row = i >= t.axes.front();
    (row ? inner : outer).push(detail::extent(x.shape(), i), {strides[i]});
  }
  if (inner.rank > 1) return softmax_rows(log, x, t, {expanded(*mask, x.shape())});
  const Index step = inner.rank == 0 ? 0 : inner.stride[0][0];
  // Where each row's mask begins.
  std::vector<Index> begins;
  begins.reserve(static_cast<std::size_t>(t.rows));
  kernels::for_each_outer(outer, 0, [&](const Index(&at)[1]) { begins.push_back(at[0]); });
  const bool* kept = mask->data();
  detail::parallel_for(t.rows, rows_per_block(t.rows, n), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      kernels::softmax_row(log, n, from + r * n, kept + begins[static_cast<std::size_t>(r)], step,
                           to + r * n);
    }
  });
  return y;
}

/// Returns softmax's Jacobian, which is symmetric, times g: y * (g - sum(y * g)).
template <class T>
Var<T> softmax_pullback(const Var<T>& y, const Var<T>& g, const Axes& trailing, Index n) {
  Result<T> dx(y.shape());
  const Index rows = n == 0 ? 0 : static_cast<Index>(y.size()) / n;
  detail::parallel_for(rows, rows_per_block(rows, n), [&](Index begin, Index end) {
    kernels::softmax_gradient(end - begin, n, y.data() + begin * n, g.data() + begin * n,
                              dx.data() + begin * n);
  });
  return record(
      "softmax", std::move(dx),
      wrt(y,
          [y, g, trailing](const Var<T>& h) {
            const Var<T> inner = sum(g * y, trailing, true);
            return h * (g - inner) - g * sum(h * y, trailing, true);
          }),
      wrt(g, [y, trailing, n](const Var<T>& h) { return softmax_pullback(y, h, trailing, n); }));
}

}  // namespace

template <class T>
Var<T> softmax(const Var<T>& x, const Axes& axes, const OptionalArray<bool>& mask) {
  const TrailingAxes t("softmax", x.shape(), axes);
  if (mask) check_mask("softmax", *mask, x.shape());
  if (!t.in_place) {
    OptionalArray<bool> turned;
    if (mask) turned = expanded(*mask, x.shape(), &t.order);
    return transpose(softmax(transpose(x, t.order), t.trailing(), turned), t.inverse);
  }
  const Axes trailing = t.trailing();
  return record("softmax", softmax_rows(false, x, t, mask),
                wrt(x, [trailing, n = t.n](const Var<T>& g, const Var<T>& y) {
                  return softmax_pullback(y, g, trailing, n);
                }));
}
XTAPE_FOR_REALS(softmax);

template <class T>
Var<T> log_softmax(const Var<T>& x, const Axes& axes, const OptionalArray<bool>& mask) {
  const TrailingAxes t("log_softmax", x.shape(), axes);
  if (mask) check_mask("log_softmax", *mask, x.shape());
  if (!t.in_place) {
    OptionalArray<bool> turned;
    if (mask) turned = expanded(*mask, x.shape(), &t.order);
    return transpose(log_softmax(transpose(x, t.order), t.trailing(), turned), t.inverse);
  }
  return record("log_softmax", softmax_rows(true, x, t, mask),
                wrt(x, [x, axes, mask](const Var<T>& g) {
                  // g - p * sum(g) over the elements that take part. A row in which none does has a
                  // softmax of zeros and passes no gradient.
                  const Var<T> p = softmax(x, axes, mask);
                  const Var<T> none(T(0));
                  const Var<T> total = sum(p.detach(), axes, true);
                  Var<T> kept = where(equal(total, none), none, g);
                  if (mask) kept = where(*mask, kept, none);
                  return kept - p * sum(kept, axes, true);
                }));
}
XTAPE_FOR_REALS(log_softmax);

}  // namespace xtape
