#include <xtape/layers/pooling.hpp>

#include "base/instantiate.hpp"
#include "base/message.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reductions.hpp>

#include <algorithm>
#include <limits>

namespace xtape {

namespace {

/// Returns the axes to be pooled. ShapeError for an input or a mask that does not fit.
template <class T>
Axes pooled_axes(const char* who, const Var<T>& x, const OptionalArray<bool>& mask) {
  if (x.rank() < 3) {
    detail::fail<ShapeError>(who, "too few axes: x is ", to_string(x.shape()),
                             ", expected (batch, positions..., features)");
  }
  const Shape positions(x.shape().begin(), x.shape().end() - 1);
  if (mask && mask->shape() != positions) {
    detail::fail<ShapeError>(who, "mask does not fit: mask is ", to_string(mask->shape()),
                             ", expected ", to_string(positions),
                             ", the shape of x without its "
                             "features; true means that a position counts");
  }
  Axes axes;
  for (int axis = 1; axis + 1 < static_cast<int>(x.rank()); ++axis) axes.push_back(axis);
  return axes;
}

/// A mask in the shapes that pooling needs.
struct PoolingMask {
  Array<bool> positions;       // (batch, positions..., 1)
  Array<bool> samples;         // (batch, 1...): whether any position counts
  std::vector<double> counts;  // of each sample
};

PoolingMask pooling_mask(const Array<bool>& mask, bool keep_dims) {
  PoolingMask out{mask, {}, {}};
  Shape shape = mask.shape();
  shape.push_back(1);
  out.positions.reshape(shape);
  const std::size_t batch = shape[0];
  const std::size_t n = batch == 0 ? 0 : mask.size() / batch;
  std::fill(shape.begin() + 1, shape.end(), std::size_t{1});
  out.samples = Array<bool>(keep_dims ? shape : Shape{batch, 1});
  for (std::size_t b = 0; b < batch; ++b) {
    const bool* row = mask.data() + b * n;
    out.counts.push_back(static_cast<double>(std::count(row, row + n, true)));
    out.samples.data()[b] = out.counts.back() > 0;
  }
  return out;
}

}  // namespace

template <class T>
Var<T> GlobalAveragePooling<T>::operator()(const Var<T>& x, const OptionalArray<bool>& mask) const {
  const Axes axes = pooled_axes("GlobalAveragePooling", x, mask);
  if (!mask) return mean(x, axes, options_.keep_dims);
  const PoolingMask m = pooling_mask(*mask, options_.keep_dims);
  Array<T> divisors(m.samples.shape());
  for (std::size_t b = 0; b < m.counts.size(); ++b) {
    divisors.data()[b] = static_cast<T>(std::max(m.counts[b], 1.0));
  }
  const Var<T> kept = where(m.positions, x, Var<T>(T(0)));
  return sum(kept, axes, options_.keep_dims) / Var<T>(std::move(divisors));
}

template <class T>
Var<T> GlobalMaxPooling<T>::operator()(const Var<T>& x, const OptionalArray<bool>& mask) const {
  const Axes axes = pooled_axes("GlobalMaxPooling", x, mask);
  if (!mask) return max(x, axes, options_.keep_dims);
  const PoolingMask m = pooling_mask(*mask, options_.keep_dims);
  const Var<T> kept = where(m.positions, x, Var<T>(-std::numeric_limits<T>::infinity()));
  return where(m.samples, max(kept, axes, options_.keep_dims), Var<T>(T(0)));
}

XTAPE_CLASS_FOR_REALS(GlobalAveragePooling);
XTAPE_CLASS_FOR_REALS(GlobalMaxPooling);

}  // namespace xtape
