// The operations that backward and Gradients need: adding gradients, summing one to the shape of a
// broadcast operand, scaling and limiting. Their pullbacks use only these operations.

#include "array/shapes.hpp"
#include "base/instantiate.hpp"
#include "kernels/memory.hpp"
#include "threads/loops.hpp"

#include <xtape/tape/record.hpp>

namespace xtape::detail {

template <class T> Var<T> add(const Var<T>& a, const Var<T>& b) {
  const bool same = a.shape() == b.shape();
  const Shape shape = same ? a.shape() : broadcast_shapes("add", a.shape(), b.shape());
  Result<T> y(shape);
  kernels::Loop<3> loop;
  if (same) {
    loop.push(static_cast<Index>(y.size()), {1, 1, 1});
  } else {
    loop = make_loop<3>(shape, {broadcast_strides(a.shape(), shape),
                                broadcast_strides(b.shape(), shape), strides_of(shape)});
  }
  parallel_for(loop, [&](const kernels::Loop<3>& part, const Index(&at)[3]) {
    kernels::binary(kernels::Binary::add, part, a.data() + at[0], b.data() + at[1],
                    y.data() + at[2]);
  });
  const auto identity = [](const Var<T>& g) { return g; };
  return record("add", std::move(y), wrt(a, identity), wrt(b, identity));
}
XTAPE_FOR_REALS(add);

template <class T> Var<T> broadcast(const Var<T>& x, const Shape& shape) {
  check_rank("broadcast_to", shape.size());
  checked("broadcast_to", shape);
  if (!broadcasts_to(x.shape(), shape)) {
    fail<ShapeError>("broadcast_to", "shapes do not broadcast: operand is ", to_string(x.shape()),
                     ", expected a shape that broadcasts to ", to_string(shape),
                     "; reshape it first");
  }
  Result<T> y(shape);
  const auto loop = make_loop<2>(shape, {broadcast_strides(x.shape(), shape), strides_of(shape)});
  parallel_for(loop, [&](const kernels::Loop<2>& part, const Index(&at)[2]) {
    kernels::copy(part, x.data() + at[0], y.data() + at[1]);
  });
  return record("broadcast_to", std::move(y), wrt(x, [](const Var<T>& g) { return g; }));
}
XTAPE_FOR_REALS(broadcast);

template <class T> Var<T> sum_to(const Var<T>& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  if (!broadcasts_to(shape, x.shape())) {
    fail<ShapeError>("sum_to", "shapes do not broadcast: operand is ", to_string(x.shape()),
                     ", expected a shape that ", to_string(shape), " broadcasts to");
  }
  const Shape& from = x.shape();
  const std::vector<Index> strides = strides_of(from);
  kernels::Loop<1> kept;
  kernels::Loop<1> reduced;
  const std::size_t lead = from.size() - shape.size();
  for (std::size_t i = from.size(); i-- > 0;) {
    const bool summed = i < lead || shape[i - lead] != from[i];
    (summed ? reduced : kept).push(extent(from, i), {strides[i]});
  }
  Result<T> y(shape);
  parallel_reduce(kernels::Reduce::sum, kept, reduced, x.data(), y.data());
  return record("sum_to", std::move(y),
                wrt(x, [from](const Var<T>& g) { return broadcast(g, from); }));
}
XTAPE_FOR_REALS(sum_to);

template <class T> Var<T> scale(const Var<T>& x, T factor) {
  Result<T> y(x.shape());
  parallel_for(static_cast<Index>(y.size()), [&](Index begin, Index end) {
    kernels::scale(end - begin, factor, x.data() + begin, y.data() + begin);
  });
  return record("scale", std::move(y),
                wrt(x, [factor](const Var<T>& g) { return scale(g, factor); }));
}
XTAPE_FOR_REALS(scale);

/// Returns g where x is within the limits, 0 elsewhere.
template <class T>
static Var<T> within(const Var<T>& x, const Var<T>& g, const kernels::Parameters& limits) {
  Result<T> y(x.shape());
  const auto n = static_cast<Index>(y.size());
  kernels::unary({"clip", 1}, n, x.data(), y.data(), limits);
  kernels::binary(kernels::Binary::multiply, n, g.data(), y.data(), y.data());
  return record("limit", std::move(y),
                wrt(g, [x, limits](const Var<T>& h) { return within(x, h, limits); }));
}

template <class T> Var<T> limit(const Var<T>& x, double limit) {
  const kernels::Parameters limits{{-limit, limit}};
  Result<T> y(x.shape());
  kernels::unary("clip", static_cast<Index>(y.size()), x.data(), y.data(), limits);
  return record("limit", std::move(y),
                wrt(x, [x, limits](const Var<T>& g) { return within(x, g, limits); }));
}
XTAPE_FOR_REALS(limit);

}  // namespace xtape::detail
