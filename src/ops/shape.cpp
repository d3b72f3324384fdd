#include <xtape/ops/shape.hpp>

#include "ops/view.hpp"
#include "threads/loops.hpp"

#include <algorithm>
#include <cstring>

namespace xtape {

using detail::fail;
using detail::Index;
using detail::View;

template <class T> Var<T> reshape(const Var<T>& x, const Shape& shape) {
  detail::check_rank("reshape", shape.size());
  detail::checked("reshape", shape);
  if (size_of(shape) != x.size()) {
    fail<ShapeError>("reshape", "sizes differ: operand is ", to_string(x.shape()), " (", x.size(),
                     " elements), expected ", size_of(shape), " elements for ", to_string(shape));
  }
  Result<T> y(shape);
  if (x.size() > 0) std::memcpy(y.data(), x.data(), x.size() * sizeof(T));
  return record("reshape", std::move(y),
                wrt(x, [from = x.shape()](const Var<T>& g) { return reshape(g, from); }));
}

template <class T> Var<T> reshape(const Var<T>& x, std::initializer_list<int> wanted) {
  std::vector<std::size_t> shape;
  std::size_t known = 1;
  std::ptrdiff_t open = -1;
  for (const int extent : wanted) {
    if (extent < -1 || (extent == -1 && open >= 0)) {
      fail<ShapeError>("reshape", "extent out of range: extent is ", extent,
                       ", expected sizes of at least 0 and -1 at most once");
    }
    if (extent == -1) {
      open = static_cast<std::ptrdiff_t>(shape.size());
      shape.push_back(1);
    } else {
      shape.push_back(static_cast<std::size_t>(extent));
      known = detail::product(known, shape.back());
    }
  }
  if (open >= 0) {
    if (known == 0 || x.size() % known != 0) {
      fail<ShapeError>("reshape", "sizes differ: operand is ", to_string(x.shape()), " (", x.size(),
                       " elements), expected a multiple of ", known, " for the extent of -1");
    }
    shape[static_cast<std::size_t>(open)] = x.size() / known;
  }
  return reshape(x, Shape(shape.begin(), shape.end()));
}

template <class T> Var<T> broadcast_to(const Var<T>& x, const Shape& shape) {
  return detail::broadcast(x, shape);
}

template <class T> Var<T> transpose(const Var<T>& x, const Axes& axes) {
  std::vector<std::size_t> order;
  if (axes.empty()) {
    for (std::size_t i = x.rank(); i-- > 0;) order.push_back(i);
  } else {
    order = detail::normalize_axes("transpose", axes, x.rank());
    if (order.size() != x.rank()) {
      fail<ShapeError>("transpose", "axes missing: ", order.size(), " axes given for operand ",
                       to_string(x.shape()), ", expected each of its ", x.rank(), " axes once");
    }
  }
  const std::vector<Index> from = detail::strides_of(x.shape());
  Shape shape(x.rank());
  std::vector<Index> strides(x.rank());
  Axes inverse(x.rank());
  for (std::size_t i = 0; i < x.rank(); ++i) {
    shape[i] = x.shape()[order[i]];
    strides[i] = from[order[i]];
    inverse[order[i]] = static_cast<int>(i);
  }
  Result<T> y(shape);
  const auto loop = detail::make_loop<2>(shape, {strides, detail::strides_of(shape)});
  detail::parallel_for(
      loop,
      [&](const kernels::Loop<2>& part, const Index(&at)[2]) {
        kernels::copy(part, x.data() + at[0], y.data() + at[1]);
      },
      loop.rank == 2 ? 64 : 1);
  return record("transpose", std::move(y),
                wrt(x, [inverse](const Var<T>& g) { return transpose(g, inverse); }));
}

template <class T> Var<T> expand_dims(const Var<T>& x, int axis) {
  const std::size_t at = detail::normalize_axis("expand_dims", axis, x.rank() + 1);
  std::vector<std::size_t> shape(x.shape().begin(), x.shape().end());
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(at), 1);
  return reshape(x, Shape(shape.begin(), shape.end()));
}

template <class T> Var<T> squeeze(const Var<T>& x, const Axes& axes) {
  std::vector<std::size_t> gone = detail::normalize_axes("squeeze", axes, x.rank());
  for (const std::size_t axis : gone) {
    if (x.shape()[axis] != 1) {
      fail<ShapeError>("squeeze", "axis is not 1: operand is ", to_string(x.shape()),
                       ", expected extent 1 on axis ", axis, "; sum() or slice() it instead");
    }
  }
  if (axes.empty()) {
    for (std::size_t i = 0; i < x.rank(); ++i) {
      if (x.shape()[i] == 1) gone.push_back(i);
    }
  }
  return reshape(x, detail::reduced_shape(x.shape(), gone, false));
}

template <class T> Var<T> concatenate(const std::vector<Var<T>>& parts, int axis) {
  if (parts.empty()) {
    fail<ValueError>("concatenate", "no operands: expected at least one array");
  }
  const std::size_t at = detail::normalize_axis("concatenate", axis, parts[0].rank());
  Shape shape = parts[0].shape();
  shape[at] = 0;
  for (const Var<T>& part : parts) {
    Shape expected = parts[0].shape();
    if (part.rank() == shape.size()) expected[at] = part.shape()[at];
    if (part.shape() != expected) {
      fail<ShapeError>("concatenate", "shapes differ: an operand is ", to_string(part.shape()),
                       ", expected ", to_string(parts[0].shape()), " on all axes but ", axis);
    }
    shape[at] = detail::plus(shape[at], part.shape()[at]);
  }
  Result<T> y(detail::checked("concatenate", shape));
  std::size_t begin = 0;
  const auto to_part = [&](const Var<T>& part) {
    const View view = View::along(shape, at, begin, part.shape()[at]);
    begin += part.shape()[at];
    detail::write_view(part.data(), view, y.data());
    return wrt(part, [view](const Var<T>& g) { return detail::extract("concatenate", g, view); });
  };
  std::vector<decltype(to_part(parts[0]))> pullbacks;
  for (const Var<T>& part : parts) pullbacks.push_back(to_part(part));
  return record("concatenate", std::move(y), std::move(pullbacks));
}

template <class T> Var<T> stack(const std::vector<Var<T>>& parts, int axis) {
  if (parts.empty()) fail<ValueError>("stack", "no operands: expected at least one array");
  static_cast<void>(detail::normalize_axis("stack", axis, parts[0].rank() + 1));
  for (const Var<T>& part : parts) {
    if (part.shape() != parts[0].shape()) {
      fail<ShapeError>("stack", "shapes differ: an operand is ", to_string(part.shape()),
                       ", expected ", to_string(parts[0].shape()));
    }
  }
  // After the checks, so that a refused call leaves nothing on the tape.
  std::vector<Var<T>> raised;
  for (const Var<T>& part : parts) raised.push_back(expand_dims(part, axis));
  return concatenate(raised, axis);
}

template <class T> std::vector<Var<T>> split(const Var<T>& x, int count, int axis) {
  const std::size_t at = detail::normalize_axis("split", axis, x.rank());
  const std::size_t extent = x.shape()[at];
  if (count <= 0 || extent % static_cast<std::size_t>(count) != 0) {
    fail<ShapeError>("split", "axis does not divide: operand is ", to_string(x.shape()),
                     ", expected axis ", axis, " to divide into ", count,
                     " equal parts; choose a positive count that divides ", extent);
  }
  const auto parts = static_cast<std::size_t>(count);
  return split(x, std::vector<std::size_t>(parts, extent / parts), axis);
}

template <class T>
std::vector<Var<T>> split(const Var<T>& x, const std::vector<std::size_t>& sizes, int axis) {
  const std::size_t at = detail::normalize_axis("split", axis, x.rank());
  std::size_t total = 0;
  for (const std::size_t size : sizes) total = detail::plus(total, size);
  if (total != x.shape()[at]) {
    fail<ShapeError>("split", "sizes do not add up: operand is ", to_string(x.shape()),
                     ", expected ", x.shape()[at], " on axis ", axis, ", the sizes make ", total);
  }
  std::vector<Var<T>> parts;
  std::size_t begin = 0;
  for (const std::size_t size : sizes) {
    parts.push_back(detail::extract("split", x, View::along(x.shape(), at, begin, size)));
    begin += size;
  }
  return parts;
}

// Appends one axis to the view, as NumPy's basic indexing does.
static void index_axis(const Slice& s, const Shape& whole, std::size_t axis, Index stride,
                       std::vector<std::size_t>& shape, View& view) {
  const Index n = detail::extent(whole, axis);
  if (s.kind == Slice::Kind::position) {
    const Index at = *s.start < 0 ? *s.start + n : *s.start;
    if (at < 0 || at >= n) {
      fail<ShapeError>("slice", "position out of range: position is ", *s.start, ", expected ", -n,
                       " to ", n - 1, " on axis ", axis, " of ", to_string(whole));
    }
    view.offset += at * stride;
    return;
  }
  if (s.step == 0) fail<ValueError>("slice", "step out of range: step is 0, expected another");
  const auto limit = [&](std::optional<std::ptrdiff_t> v, Index otherwise) {
    const Index low = s.step > 0 ? 0 : -1;
    const Index high = s.step > 0 ? n : n - 1;
    if (!v) return otherwise;
    return std::clamp(*v < 0 ? *v + n : *v, low, high);
  };
  const Index start = limit(s.start, s.step > 0 ? 0 : n - 1);
  const Index stop = limit(s.stop, s.step > 0 ? n : -1);
  const Index span = s.step > 0 ? stop - start : start - stop;
  // Steps beyond the axis are all alike.
  const Index step = std::clamp(s.step, -n - 1, n + 1);
  const Index size = step > 0 ? step : -step;
  const Index count = span <= 0 ? 0 : (span + size - 1) / size;
  if (count > 0) view.offset += start * stride;
  view.strides.push_back(count > 1 ? step * stride : 0);
  shape.push_back(static_cast<std::size_t>(count));
}

template <class T> Var<T> slice(const Var<T>& x, const std::vector<Slice>& index) {
  std::size_t named = 0;
  std::size_t ellipses = 0;
  for (const Slice& s : index) ++(s.kind == Slice::Kind::ellipsis ? ellipses : named);
  if (named > x.rank() || ellipses > 1) {
    fail<ShapeError>("slice", "index does not fit: ", named, " axes and ", ellipses,
                     " ellipses for operand ", to_string(x.shape()), ", expected at most ",
                     x.rank(), " axes and one ellipsis");
  }
  std::vector<Slice> full;
  for (const Slice& s : index) {
    if (s.kind == Slice::Kind::ellipsis) {
      full.insert(full.end(), x.rank() - named, Slice::all());
    } else {
      full.push_back(s);
    }
  }
  full.resize(x.rank(), Slice::all());
  const std::vector<Index> strides = detail::strides_of(x.shape());
  View view;
  std::vector<std::size_t> shape;
  for (std::size_t i = 0; i < x.rank(); ++i) {
    index_axis(full[i], x.shape(), i, strides[i], shape, view);
  }
  view.shape = Shape(shape.begin(), shape.end());
  if (size_of(view.shape) == 0) view.offset = 0;
  return detail::extract("slice", x, view);
}

template <class T>
Var<T> pad(const Var<T>& x, const std::vector<std::pair<std::size_t, std::size_t>>& widths,
           double value) {
  if (widths.size() != x.rank()) {
    fail<ShapeError>("pad", "widths do not fit: ", widths.size(), " pairs for operand ",
                     to_string(x.shape()), ", expected one {before, after} for each of its ",
                     x.rank(), " axes");
  }
  Shape whole = x.shape();
  for (std::size_t i = 0; i < x.rank(); ++i) {
    whole[i] = detail::plus(whole[i], detail::plus(widths[i].first, widths[i].second));
  }
  detail::checked("pad", whole);
  View view{x.shape(), detail::strides_of(whole), 0};
  for (std::size_t i = 0; i < x.rank(); ++i) {
    view.offset += static_cast<Index>(widths[i].first) * view.strides[i];
  }
  return detail::embed("pad", x, view, whole, value);
}

template <class T> Var<T> flip(const Var<T>& x, const Axes& axes) {
  std::vector<std::size_t> turned = detail::normalize_axes("flip", axes, x.rank());
  if (axes.empty()) {
    for (std::size_t i = 0; i < x.rank(); ++i) turned.push_back(i);
  }
  View view{x.shape(), detail::strides_of(x.shape()), 0};
  if (x.size() > 0) {
    for (const std::size_t axis : turned) {
      view.offset += (detail::extent(x.shape(), axis) - 1) * view.strides[axis];
      view.strides[axis] = -view.strides[axis];
    }
  }
  return detail::extract("flip", x, view);
}

template <class T> Var<T> cumsum(const Var<T>& x, int axis, bool reverse) {
  const std::size_t at = detail::normalize_axis("cumsum", axis, x.rank());
  const detail::AxisSplit s(x.shape(), at);
  Result<T> y(x.shape());
  kernels::cumsum(s.outer, s.length, s.inner, reverse, x.data(), y.data());
  return record("cumsum", std::move(y),
                wrt(x, [axis, reverse](const Var<T>& g) { return cumsum(g, axis, !reverse); }));
}

template <class T>
static Var<T> triangle(const char* op, const Var<T>& x, int diagonal, bool upper) {
  if (x.rank() < 2) {
    fail<ShapeError>(op, "not a matrix: operand is ", to_string(x.shape()),
                     ", expected at least two axes");
  }
  const detail::AxisSplit rows(x.shape(), x.rank() - 2);
  Result<T> y(x.shape());
  kernels::triangle(rows.outer, rows.length, rows.inner, diagonal, upper, x.data(), y.data());
  return record(op, std::move(y), wrt(x, [op, diagonal, upper](const Var<T>& g) {
                  return triangle(op, g, diagonal, upper);
                }));
}

template <class T> Var<T> tril(const Var<T>& x, int diagonal) {
  return triangle("tril", x, diagonal, false);
}
template <class T> Var<T> triu(const Var<T>& x, int diagonal) {
  return triangle("triu", x, diagonal, true);
}

#define XTAPE_INSTANTIATE(T)                                                                  \
  template Var<T> reshape(const Var<T>&, const Shape&);                                       \
  template Var<T> reshape(const Var<T>&, std::initializer_list<int>);                         \
  template Var<T> broadcast_to(const Var<T>&, const Shape&);                                  \
  template Var<T> transpose(const Var<T>&, const Axes&);                                      \
  template Var<T> expand_dims(const Var<T>&, int);                                            \
  template Var<T> squeeze(const Var<T>&, const Axes&);                                        \
  template Var<T> concatenate(const std::vector<Var<T>>&, int);                               \
  template Var<T> stack(const std::vector<Var<T>>&, int);                                     \
  template std::vector<Var<T>> split(const Var<T>&, int, int);                                \
  template std::vector<Var<T>> split(const Var<T>&, const std::vector<std::size_t>&, int);    \
  template Var<T> slice(const Var<T>&, const std::vector<Slice>&);                            \
  template Var<T> pad(const Var<T>&, const std::vector<std::pair<std::size_t, std::size_t>>&, \
                      double);                                                                \
  template Var<T> flip(const Var<T>&, const Axes&);                                           \
  template Var<T> cumsum(const Var<T>&, int, bool);                                           \
  template Var<T> tril(const Var<T>&, int);                                                   \
  template Var<T> triu(const Var<T>&, int);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
