// Layer normalization and RMS normalization.

#include "kernels/normalization.hpp"
#include "base/instantiate.hpp"
#include "ops/trailing_axes.hpp"
#include "threads/row_halves.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/normalization.hpp>
#include <xtape/ops/reductions.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape/record.hpp>

#include <algorithm>

namespace xtape {
namespace {

using detail::Index;
using detail::rows_per_block;
using detail::TrailingAxes;

/// Returns the shape that gamma and beta must have.
Shape parameter_shape(const Shape& shape, const TrailingAxes& t) {
  std::vector<std::size_t> extents;
  for (const std::size_t axis : t.axes) extents.push_back(shape[axis]);
  return {extents.begin(), extents.end()};
}

template <class T> Result<T> narrowed(const Shape& shape, const std::vector<double>& values) {
  Result<T> a(shape);
  std::transform(values.begin(), values.end(), a.data(),
                 [](double v) { return static_cast<T>(v); });
  return a;
}

/// Calls body(first column, columns, first row, rows) for sums over rows, each column's in order. Two
/// threads add up their own rows. More threads share the columns, two cache lines of floats at a time.
template <class Body> void sum_over_rows(Index rows, Index n, const Body& body) {
  const bool few = rows * n <= detail::kRowGrain;
  if (!few && detail::two_threads()) {
    constexpr Index kLine = 16;
    detail::parallel_row_halves((n + kLine - 1) / kLine, rows, 4,
                                [&](Index i, Index from, Index to) {
                                  body(i * kLine, std::min(kLine, n - i * kLine), from, to - from);
                                });
    return;
  }
  detail::parallel_for(n, few ? n : Index{32},
                       [&](Index begin, Index end) { body(begin, end - begin, Index{0}, rows); });
}

template <class T>
Var<T> layer_norm_trailing(const Var<T>& x, const Var<T>& gamma, const Var<T>& beta,
                           const TrailingAxes& t, double epsilon) {
  const Index n = t.n;
  const Index rows = t.rows;
  const Index grain = rows_per_block(rows, n);
  Array<double> mean = detail::empty<double>({static_cast<std::size_t>(rows)});
  Array<double> rstd = detail::empty<double>({static_cast<std::size_t>(rows)});
  std::vector<Result<T>> outputs;
  outputs.emplace_back(x.shape());
  detail::parallel_for(rows, grain, [&](Index begin, Index end) {
    kernels::layer_norm(end - begin, n, epsilon, x.data() + begin * n, gamma.data(), beta.data(),
                        outputs[0].data() + begin * n, mean.data() + begin, rstd.data() + begin);
  });
  auto fast = [mean = std::move(mean), rstd = std::move(rstd), n, rows,
               grain](FusedBackward<T>& backward) {
    const T* px = backward.input(0).data();
    const T* pg = backward.grad_output(0)->data();
    const double* pm = mean.data();
    const double* ps = rstd.data();
    if (backward.needs_grad(0)) {
      Result<T> gradient(backward.input(0).shape());
      const T* pw = backward.input(1).data();
      detail::parallel_for(rows, grain, [&](Index begin, Index end) {
        kernels::layer_norm_gradient(end - begin, n, px + begin * n, pw, pm + begin, ps + begin,
                                     pg + begin * n, gradient.data() + begin * n);
      });
      backward.add(0, std::move(gradient));
    }
    if (backward.needs_grad(1) || backward.needs_grad(2)) {
      const auto width = static_cast<std::size_t>(n);
      std::vector<double> dgamma(width, 0.0);
      std::vector<double> dbeta(width, 0.0);
      sum_over_rows(rows, n, [&](Index column, Index columns, Index row, Index count) {
        const Index at = row * n + column;
        kernels::layer_norm_parameters(count, columns, n, px + at, pm + row, ps + row, pg + at,
                                       dgamma.data() + column, dbeta.data() + column);
      });
      const Shape& shape = backward.input(1).shape();
      backward.add(1, narrowed<T>(shape, dgamma));
      backward.add(2, narrowed<T>(shape, dbeta));
    }
  };
  auto composed = [axes = t.trailing(), epsilon](const Var<T>& v, const Var<T>& w,
                                                 const Var<T>& b) {
    const Var<T> centred = v - xtape::mean(v, axes, true);
    const Var<T> scale = rsqrt(xtape::mean(square(centred), axes, true) + static_cast<T>(epsilon));
    return std::vector<Var<T>>{centred * scale * w + b};
  };
  return record_fused("layer_normalization", std::move(outputs), std::move(fast),
                      std::move(composed), x, gamma, beta)[0];
}

template <class T>
Var<T> rms_norm_trailing(const Var<T>& x, const Var<T>& scale, const TrailingAxes& t,
                         double epsilon) {
  const Index n = t.n;
  const Index rows = t.rows;
  const Index grain = rows_per_block(rows, n);
  Array<double> rrms = detail::empty<double>({static_cast<std::size_t>(rows)});
  std::vector<Result<T>> outputs;
  outputs.emplace_back(x.shape());
  detail::parallel_for(rows, grain, [&](Index begin, Index end) {
    kernels::rms_norm(end - begin, n, epsilon, x.data() + begin * n, scale.data(),
                      outputs[0].data() + begin * n, rrms.data() + begin);
  });
  auto fast = [rrms = std::move(rrms), n, rows, grain](FusedBackward<T>& backward) {
    const T* px = backward.input(0).data();
    const T* pg = backward.grad_output(0)->data();
    const double* pr = rrms.data();
    if (backward.needs_grad(0)) {
      Result<T> gradient(backward.input(0).shape());
      const T* pw = backward.input(1).data();
      detail::parallel_for(rows, grain, [&](Index begin, Index end) {
        kernels::rms_norm_gradient(end - begin, n, px + begin * n, pw, pr + begin, pg + begin * n,
                                   gradient.data() + begin * n);
      });
      backward.add(0, std::move(gradient));
    }
    if (backward.needs_grad(1)) {
      std::vector<double> sums(static_cast<std::size_t>(n), 0.0);
      sum_over_rows(rows, n, [&](Index column, Index columns, Index row, Index count) {
        const Index at = row * n + column;
        kernels::rms_norm_parameters(count, columns, n, px + at, pr + row, pg + at,
                                     sums.data() + column);
      });
      backward.add(1, narrowed<T>(backward.input(1).shape(), sums));
    }
  };
  auto composed = [axes = t.trailing(), epsilon](const Var<T>& v, const Var<T>& w) {
    const Var<T> squares = xtape::mean(square(v), axes, true);
    return std::vector<Var<T>>{v * rsqrt(squares + static_cast<T>(epsilon)) * w};
  };
  return record_fused("rms_normalization", std::move(outputs), std::move(fast), std::move(composed),
                      x, scale)[0];
}

/// Makes the checks that both normalizations need, before any work.
void check_normalization(const char* op, const Shape& shape, const TrailingAxes& t,
                         double epsilon) {
  if (!(epsilon >= 0)) {
    detail::fail<ValueError>(op, "epsilon out of range: epsilon is ", epsilon, ", expected >= 0");
  }
  if (t.n == 0) {
    detail::fail<ShapeError>(op, "nothing to normalize: operand is ", to_string(shape),
                             ", expected at least one element on the axes");
  }
}

/// Returns the parameter that was given, or an array filled with `otherwise`.
template <class T>
Var<T> parameter(const char* op, const char* name, const Var<T>& x, const TrailingAxes& t,
                 const std::optional<Var<T>>& value, T otherwise) {
  const Shape shape = parameter_shape(x.shape(), t);
  if (!value) return Var<T>(detail::full<T>(shape, otherwise));
  if (value->shape() != shape) {
    detail::fail<ShapeError>(op, name, " does not fit: ", name, " is ", to_string(value->shape()),
                             ", expected ", to_string(shape), ", the extents of the axes of x ",
                             to_string(x.shape()));
  }
  return *value;
}

}  // namespace

template <class T>
Var<T> layer_normalization(const Var<T>& x,
                           const std::optional<std::type_identity_t<Var<T>>>& gamma,
                           const std::optional<std::type_identity_t<Var<T>>>& beta,
                           const Axes& axes, double epsilon) {
  const char* op = "layer_normalization";
  const TrailingAxes t(op, x.shape(), axes);
  check_normalization(op, x.shape(), t, epsilon);
  const Var<T> scale = parameter(op, "gamma", x, t, gamma, T(1));
  const Var<T> shift = parameter(op, "beta", x, t, beta, T(0));
  if (t.in_place) return layer_norm_trailing(x, scale, shift, t, epsilon);
  const Var<T> turned = transpose(x, t.order);
  const TrailingAxes last(op, turned.shape(), t.trailing());
  return transpose(layer_norm_trailing(turned, scale, shift, last, epsilon), t.inverse);
}
XTAPE_FOR_REALS(layer_normalization);

template <class T>
Var<T> rms_normalization(const Var<T>& x, const std::optional<std::type_identity_t<Var<T>>>& scale,
                         const Axes& axes, double epsilon) {
  const char* op = "rms_normalization";
  const TrailingAxes t(op, x.shape(), axes);
  check_normalization(op, x.shape(), t, epsilon);
  const Var<T> factor = parameter(op, "scale", x, t, scale, T(1));
  if (t.in_place) return rms_norm_trailing(x, factor, t, epsilon);
  const Var<T> turned = transpose(x, t.order);
  const TrailingAxes last(op, turned.shape(), t.trailing());
  return transpose(rms_norm_trailing(turned, factor, last, epsilon), t.inverse);
}
XTAPE_FOR_REALS(rms_normalization);

}  // namespace xtape
