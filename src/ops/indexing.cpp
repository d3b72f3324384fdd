#include <xtape/ops/indexing.hpp>

#include "array/shapes.hpp"
#include "base/instantiate.hpp"
#include "kernels/memory.hpp"
#include "threads/loops.hpp"

#include <xtape/tape/record.hpp>

#include <algorithm>
#include <limits>

namespace xtape {
namespace {

using detail::AxisSplit;
using detail::fail;
using detail::Index;
using Ids = Array<std::int64_t>;

// Returns the ids as 0 <= id < extent. Negative ids count from the end if `wrap`.
Ids checked(const char* op, Ids ids, std::size_t extent, bool wrap) {
  constexpr auto kMost = std::size_t{std::numeric_limits<std::int64_t>::max()};
  const auto n = static_cast<std::int64_t>(std::min(extent, kMost));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::int64_t& id = ids.data()[i];
    if (id < (wrap ? -n : 0) || id >= n) {
      fail<ValueError>(op, "position out of range: element ", i, " of ids ", to_string(ids.shape()),
                       " is ", id, ", expected ", wrap ? -n : 0, " to ", n - 1);
    }
    if (id < 0) id += n;
  }
  return ids;
}

/// Calls kernels::gather. Threads share the ids if their axis is the first.
template <class T> void gather(const AxisSplit& e, const Ids& ids, const T* x, T* y) {
  const auto count = static_cast<Index>(ids.size());
  const Index grain = std::max<Index>(1, detail::kElementGrain / std::max<Index>(1, e.inner));
  detail::parallel_for(count, e.outer == 1 ? grain : count, [&](Index begin, Index end) {
    kernels::gather(e.outer, e.length, e.inner, ids.data() + begin, end - begin, x,
                    y + begin * e.inner);
  });
}

template <class T> void fill_with_zeros(Result<T>& y) {
  detail::parallel_for(static_cast<Index>(y.size()), [&](Index begin, Index end) {
    kernels::fill(end - begin, T(0), y.data() + begin);
  });
}

template <class T>
Var<T> put_rows(const char* op, const Var<T>& g, const Ids& ids, const Shape& whole,
                std::size_t axis);

// Returns x's entries at checked ids. `context` is that of the ids: x may be a table without a tape.
template <class T>
Var<T> take_rows(const char* op, const Var<T>& x, const Ids& ids, std::size_t axis,
                 detail::NodeRef<T> context = {}) {
  std::vector<std::size_t> shape(x.shape().begin(), x.shape().begin() + static_cast<Index>(axis));
  shape.insert(shape.end(), ids.shape().begin(), ids.shape().end());
  shape.insert(shape.end(), x.shape().begin() + static_cast<Index>(axis) + 1, x.shape().end());
  detail::check_rank(op, shape.size());
  const AxisSplit e(x.shape(), axis);
  Result<T> y(detail::checked(op, Shape(shape.begin(), shape.end())));
  gather(e, ids, x.data(), y.data());
  const Var<T> ids_context({}, context);
  return record(op, std::move(y),
                wrt(x, [op, ids, whole = x.shape(),
                        axis](const Var<T>& g) { return put_rows(op, g, ids, whole, axis); }),
                wrt(ids_context, NoGradient{op}));
}

template <class T>
Var<T> put_rows(const char* op, const Var<T>& g, const Ids& ids, const Shape& whole,
                std::size_t axis) {
  const AxisSplit e(whole, axis);
  Result<T> y(whole);
  fill_with_zeros(y);
  kernels::scatter_add(e.outer, e.length, e.inner, ids.data(), static_cast<Index>(ids.size()),
                       g.data(), y.data());
  return record(op, std::move(y),
                wrt(g, [op, ids, axis](const Var<T>& h) { return take_rows(op, h, ids, axis); }));
}

// Returns the position in x.data() of every element of ids along an axis.
Ids flat_positions(const Ids& ids, const Shape& shape, std::size_t axis) {
  const AxisSplit from(shape, axis);
  const AxisSplit to(ids.shape(), axis);
  Ids flat(ids.shape());
  std::size_t at = 0;
  for (Index o = 0; o < to.outer; ++o) {
    for (Index k = 0; k < to.length; ++k) {
      for (Index i = 0; i < to.inner; ++i, ++at) {
        flat.data()[at] = (o * from.length + ids.data()[at]) * from.inner + i;
      }
    }
  }
  return flat;
}

template <class T> Var<T> put_flat(const Var<T>& g, const Ids& flat, const Shape& whole);

template <class T> Var<T> take_flat(const Var<T>& x, const Ids& flat) {
  Result<T> y(flat.shape());
  gather(AxisSplit({x.size()}, 0), flat, x.data(), y.data());
  return record("take_along_axis", std::move(y), wrt(x, [flat, whole = x.shape()](const Var<T>& g) {
                  return put_flat(g, flat, whole);
                }));
}

template <class T> Var<T> put_flat(const Var<T>& g, const Ids& flat, const Shape& whole) {
  Result<T> y(whole);
  fill_with_zeros(y);
  kernels::scatter_add(1, static_cast<Index>(y.size()), 1, flat.data(),
                       static_cast<Index>(flat.size()), g.data(), y.data());
  return record("take_along_axis", std::move(y),
                wrt(g, [flat](const Var<T>& h) { return take_flat(h, flat); }));
}

}  // namespace

template <class T> Var<T> take(const Var<T>& x, const ArrayArg<std::int64_t>& ids, int axis) {
  const std::size_t at = detail::normalize_axis("take", axis, x.rank());
  return take_rows("take", x, checked("take", ids, x.shape()[at], true), at);
}
XTAPE_FOR_REALS(take);

template <class T>
Var<T> take_along_axis(const Var<T>& x, const ArrayArg<std::int64_t>& ids, int axis) {
  const std::size_t at = detail::normalize_axis("take_along_axis", axis, x.rank());
  Shape expected = x.shape();
  if (ids.dimension() == x.rank()) expected[at] = ids.shape()[at];
  if (ids.shape() != expected) {
    fail<ShapeError>("take_along_axis", "shapes differ: ids is ", to_string(ids.shape()),
                     ", expected ", to_string(x.shape()), " on all axes but ", axis);
  }
  return take_flat(
      x, flat_positions(checked("take_along_axis", ids, x.shape()[at], true), x.shape(), at));
}
XTAPE_FOR_REALS(take_along_axis);

template <class T> Var<T> embedding_lookup(const Var<T>& table, const Tokens<T>& ids) {
  if (table.rank() != 2) {
    fail<ShapeError>("embedding_lookup", "not a table: table is ", to_string(table.shape()),
                     ", expected (vocabulary, width)");
  }
  return take_rows("embedding_lookup", table,
                   checked("embedding_lookup", ids.value(), table.shape()[0], false), 0,
                   ids.node_ref());
}
XTAPE_FOR_REALS(embedding_lookup);

template <class T> Var<T> one_hot(const Tokens<T>& ids, std::size_t depth) {
  const Ids positions = checked("one_hot", ids.value(), depth, false);
  std::vector<std::size_t> shape(positions.shape().begin(), positions.shape().end());
  shape.push_back(depth);
  detail::check_rank("one_hot", shape.size());
  Result<T> y(detail::checked("one_hot", Shape(shape.begin(), shape.end())));
  fill_with_zeros(y);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    y.data()[i * depth + static_cast<std::size_t>(positions.data()[i])] = T(1);
  }
  return {std::move(y.pointer()), detail::join("one_hot", ids.node_ref())};
}
XTAPE_FOR_REALS(one_hot);

}  // namespace xtape
