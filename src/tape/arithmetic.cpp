// The operations every backward needs: adding gradients, and summing one back to the shape of an
// operand that was broadcast. Their gradients are each other's.

#include "array/shapes.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/memory.hpp"
#include "kernels/reduce.hpp"
#include "threads/loops.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/tape/record.hpp>

namespace xtape {

template <class T>
Var<T> broadcast_to(const Var<T>& x, const Shape& shape) {
  detail::check_rank("broadcast_to", shape.size());
  if (!detail::broadcasts_to(x.shape(), shape)) {
    detail::fail<ShapeError>("broadcast_to", "shapes do not broadcast: operand is ",
                             to_string(x.shape()), ", expected a shape that broadcasts to ",
                             to_string(shape), "; reshape it first");
  }
  Result<T> y(shape);
  const auto loop = detail::make_loop<2>(
      shape, {detail::broadcast_strides(x.shape(), shape), detail::strides_of(shape)});
  const T* from = x.data();
  T* to = y.data();
  detail::parallel_loop(loop, [=](const kernels::Loop<2>& part, const detail::Index(&at)[2]) {
    kernels::copy(part, from + at[0], to + at[1]);
  });
  return record("broadcast_to", std::move(y), wrt(x, [](const Var<T>& g) { return g; }));
}

namespace detail {
namespace {

template <class T>
void add_over(const kernels::Loop<3>& loop, const T* a, const T* b, T* y) {
  parallel_loop(loop, [=](const kernels::Loop<3>& part, const Index(&at)[3]) {
    kernels::binary(kernels::Binary::add, part, a + at[0], b + at[1], y + at[2]);
  });
}

}  // namespace

template <class T>
Var<T> add(const Var<T>& a, const Var<T>& b) {
  const auto same = [](const Var<T>& g) { return g; };
  if (a.shape() == b.shape()) {
    Result<T> y(a.shape());
    kernels::Loop<3> loop;
    loop.push(static_cast<Index>(y.size()), {1, 1, 1});
    add_over(loop, a.data(), b.data(), y.data());
    return record("add", std::move(y), wrt(a, same), wrt(b, same));
  }
  const Shape shape = broadcast_shapes("add", a.shape(), b.shape());
  Result<T> y(shape);
  const auto loop = make_loop<3>(shape, {broadcast_strides(a.shape(), shape),
                                         broadcast_strides(b.shape(), shape), strides_of(shape)});
  add_over(loop, a.data(), b.data(), y.data());
  return record("add", std::move(y), wrt(a, same), wrt(b, same));
}

template <class T>
Var<T> sum_to(const Var<T>& x, const Shape& shape) {
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
                wrt(x, [from](const Var<T>& g) { return broadcast_to(g, from); }));
}

template Var<float> add(const Var<float>&, const Var<float>&);
template Var<double> add(const Var<double>&, const Var<double>&);
template Var<float> sum_to(const Var<float>&, const Shape&);
template Var<double> sum_to(const Var<double>&, const Shape&);

}  // namespace detail

template Var<float> broadcast_to(const Var<float>&, const Shape&);
template Var<double> broadcast_to(const Var<double>&, const Shape&);

}  // namespace xtape
