#include <xtape/ops/reductions.hpp>

#include "array/shapes.hpp"
#include "ops/unary.hpp"

#include <xtape/ops/shape.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

namespace xtape {
namespace {

using kernels::Index;
using kernels::Reduce;

/// The axes that a reduction removes, and the shapes with and without them.
struct Plan {
  std::vector<std::size_t> axes;
  Shape kept;             // reduced axes as 1
  Shape out;              // as asked for
  std::size_t count = 1;  // elements reduced into one

  Plan(const char* op, const Shape& shape, const Axes& wanted, bool keep_dims)
      : axes(detail::normalize_axes(op, wanted, shape.size())),
        kept(detail::reduced_shape(shape, axes, true)),
        out(keep_dims ? kept : detail::reduced_shape(shape, axes, false)) {
    for (const std::size_t axis : axes) count *= shape[axis];
  }
};

Plan plan_nonempty(const char* op, const Shape& shape, const Axes& axes, bool keep_dims) {
  Plan plan(op, shape, axes, keep_dims);
  if (plan.count == 0) {
    detail::fail<ShapeError>(op, "nothing to reduce: operand is ", to_string(shape),
                             ", expected at least one element on the reduced axes");
  }
  return plan;
}

template <class T> Result<T> reduce(Reduce kind, const Var<T>& x, const Plan& plan) {
  const std::vector<Index> strides = detail::strides_of(x.shape());
  kernels::Loop<1> kept;
  kernels::Loop<1> reduced;
  for (std::size_t i = x.rank(); i-- > 0;) {
    const bool gone = std::find(plan.axes.begin(), plan.axes.end(), i) != plan.axes.end();
    (gone ? reduced : kept).push(detail::extent(x.shape(), i), {strides[i]});
  }
  Result<T> y(plan.out);
  detail::parallel_reduce(kind, kept, reduced, x.data(), y.data());
  return y;
}

Axes all_axes(std::size_t rank) {
  Axes axes(rank);
  for (std::size_t i = 0; i < rank; ++i) axes[i] = static_cast<int>(i);
  return axes;
}

// Returns a constant array: 1 / (number of ties) where x equals its extreme y, 0 elsewhere.
template <class T> Var<T> tie_weights(const Var<T>& x, const Var<T>& y, const Plan& plan) {
  const Var<T> extreme = reshape(Var<T>(y.pointer(), {}), plan.kept);
  const Var<T> plain(x.pointer(), {});
  const Var<T> hit = where(equal(plain, extreme), Var<T>(T(1)), Var<T>(T(0)));
  Axes axes(plan.axes.begin(), plan.axes.end());
  return hit / sum(hit, axes, true);
}

template <class T>
Var<T> extreme(const char* op, Reduce kind, const Var<T>& x, const Axes& axes, bool keep_dims) {
  const Plan plan = plan_nonempty(op, x.shape(), axes, keep_dims);
  return record(op, reduce(kind, x, plan), wrt(x, [x, plan](const Var<T>& g, const Var<T>& y) {
                  return reshape(g, plan.kept) * tie_weights(x, y, plan);
                }));
}

template <class T>
Array<std::int64_t> arg_extreme(const char* op, bool largest, const Var<T>& x, int axis) {
  const std::size_t at = detail::normalize_axis(op, axis, x.rank());
  if (x.shape()[at] == 0) {
    detail::fail<ShapeError>(op, "empty axis: operand is ", to_string(x.shape()),
                             ", expected at least one element on axis ", axis);
  }
  const detail::AxisSplit split(x.shape(), at);
  Array<std::int64_t> y(detail::reduced_shape(x.shape(), {at}, false));
  kernels::arg_extreme(largest, split.outer, split.length, split.inner, x.data(), y.data());
  return y;
}

// Instantiates the reduction over some axes, and defines the one over all.
#define XTAPE_REDUCTION(name)                                                                    \
  template <class T> Var<T> name(const Var<T>& x) { return name(x, all_axes(x.rank()), false); } \
  template Var<float> name(const Var<float>&, const Axes&, bool);                                \
  template Var<double> name(const Var<double>&, const Axes&, bool);                              \
  template Var<float> name(const Var<float>&);                                                   \
  template Var<double> name(const Var<double>&)

}  // namespace

template <class T> static Var<T> record_sum(const Var<T>& x, Result<T> y, const Plan& plan) {
  return record("sum", std::move(y), wrt(x, [shape = x.shape(), kept = plan.kept](const Var<T>& g) {
                  return broadcast_to(reshape(g, kept), shape);
                }));
}

template <class T> Var<T> sum(const Var<T>& x, const Axes& axes, bool keep_dims) {
  const Plan plan("sum", x.shape(), axes, keep_dims);
  return record_sum(x, reduce(Reduce::sum, x, plan), plan);
}
XTAPE_REDUCTION(sum);

template <class T> Var<T> mean(const Var<T>& x, const Axes& axes, bool keep_dims) {
  const Plan plan = plan_nonempty("mean", x.shape(), axes, keep_dims);
  Result<T> total = reduce(Reduce::sum, x, plan);
  // A mean may be a number where the sum is none. Its elements are then divided first.
  if (kernels::first_non_finite(static_cast<Index>(total.size()), total.data()) >= 0) {
    return sum(x / static_cast<T>(plan.count), axes, keep_dims);
  }
  return record_sum(x, std::move(total), plan) / static_cast<T>(plan.count);
}
XTAPE_REDUCTION(mean);

template <class T> Var<T> variance(const Var<T>& x, const Axes& axes, bool keep_dims) {
  const Plan plan = plan_nonempty("variance", x.shape(), axes, keep_dims);
  return mean(square(x - mean(x, axes, true)), axes, keep_dims);
}
XTAPE_REDUCTION(variance);

template <class T> Var<T> max(const Var<T>& x, const Axes& axes, bool keep_dims) {
  return extreme("max", Reduce::max, x, axes, keep_dims);
}
XTAPE_REDUCTION(max);

template <class T> Var<T> min(const Var<T>& x, const Axes& axes, bool keep_dims) {
  return extreme("min", Reduce::min, x, axes, keep_dims);
}
XTAPE_REDUCTION(min);

template <class T> Var<T> logsumexp(const Var<T>& x, const Axes& axes, bool keep_dims) {
  const Plan plan = plan_nonempty("logsumexp", x.shape(), axes, keep_dims);
  const auto finite_or_zero = [](Result<T> r) {
    for (std::size_t i = 0; i < r.size(); ++i) {
      if (std::isinf(r.data()[i])) r.data()[i] = 0;
    }
    return Var<T>(r.pointer(), {});
  };
  const Var<T> plain(x.pointer(), {});
  const Var<T> shift = reshape(finite_or_zero(reduce(Reduce::max, x, plan)), plan.kept);
  Var<T> y = log(sum(exp(plain - shift), axes, true)) + shift;
  return record("logsumexp", reshape(y, plan.out).value(),
                wrt(x, [x, kept = plan.kept](const Var<T>& g, const Var<T>& out) {
                  // Where all are -infinity the output is too, and exp(-inf - 0) gives weight 0.
                  const Var<T> lowest(-std::numeric_limits<T>::infinity());
                  const Var<T> safe = where(equal(out.detach(), lowest), Var<T>(T(0)), out);
                  return reshape(g, kept) * exp(x - reshape(safe, kept));
                }));
}
XTAPE_REDUCTION(logsumexp);

namespace {

/// Whether a gradient of common size may leave the range of T when it is divided by v.
template <class T> bool is_extreme(T v) {
  static const T small = std::sqrt(std::numeric_limits<T>::min());
  return v > T(0) && !(v >= small && v <= 1 / small);
}

/// Returns the norms. Sums of squares are doubles. Where one leaves the range of T, its root may not.
template <class T> Result<T> norms(const Var<T>& x, const Plan& plan) {
  Result<T> y = reduce(Reduce::sum_of_squares, x, plan);
  const auto is_normal = [](T v) {
    return v >= std::numeric_limits<T>::min() && v <= std::numeric_limits<T>::max();
  };
  std::vector<std::size_t> beyond;
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (!is_normal(y.data()[i])) beyond.push_back(i);
  }
  kernels::unary("sqrt", static_cast<Index>(y.size()), y.data(), y.data());
  if (beyond.empty() || std::is_same_v<T, double>) return y;
  const Var<double> wide(xt::cast<double>(x.value()));
  const Result<double> squares = reduce(Reduce::sum_of_squares, wide, plan);
  for (const std::size_t i : beyond) y.data()[i] = static_cast<T>(std::sqrt(squares.data()[i]));
  return y;
}

}  // namespace

template <class T> Var<T> norm(const Var<T>& x, const Axes& axes, bool keep_dims) {
  const Plan plan("norm", x.shape(), axes, keep_dims);
  return record("norm", norms(x, plan),
                wrt(x, [x, kept = plan.kept](const Var<T>& g, const Var<T>& out) {
                  const Var<T> safe = where(equal(out.detach(), Var<T>(T(0))), Var<T>(T(1)), out);
                  if (std::any_of(out.data(), out.data() + out.size(), is_extreme<T>)) {
                    return x / reshape(safe, kept) * reshape(g, kept);
                  }
                  return x * reshape(g / safe, kept);
                }));
}
XTAPE_REDUCTION(norm);

template <class T> Array<std::int64_t> argmax(const Var<T>& x, int axis) {
  return arg_extreme("argmax", true, x, axis);
}
XTAPE_FOR_REALS(argmax);
template <class T> Array<std::int64_t> argmin(const Var<T>& x, int axis) {
  return arg_extreme("argmin", false, x, axis);
}
XTAPE_FOR_REALS(argmin);

}  // namespace xtape
