#pragma once
// extract() copies a strided part out of an array, embed() writes it into a constant: each is the
// other's gradient. Slices, flips, splits, pads and concatenations are made of these two.

#include "array/shapes.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/memory.hpp"

#include <xtape/tape/record.hpp>

namespace xtape::detail {

struct View {
  Shape shape;                 // of the part
  std::vector<Index> strides;  // of the part inside the whole
  Index offset = 0;

  /// Returns the view of `count` entries from `begin` on, along one axis of `whole`.
  static View along(const Shape& whole, std::size_t axis, std::size_t begin, std::size_t count) {
    View view{whole, strides_of(whole), 0};
    view.shape[axis] = count;
    view.offset = static_cast<Index>(begin) * view.strides[axis];
    return view;
  }
};

template <class T> void write_view(const T* part, const View& view, T* whole) {
  const auto loop = make_loop<2>(view.shape, {strides_of(view.shape), view.strides});
  // An empty part may have an offset behind the end.
  if (loop.size() != 0) kernels::copy(loop, part, whole + view.offset);
}

template <class T>
Var<T> embed(const char* op, const Var<T>& part, const View& view, const Shape& whole, double fill);

template <class T> Var<T> extract(const char* op, const Var<T>& x, const View& view) {
  Result<T> y(view.shape);
  const auto loop = make_loop<2>(view.shape, {view.strides, strides_of(view.shape)});
  if (loop.size() != 0) kernels::copy(loop, x.data() + view.offset, y.data());
  return record(op, std::move(y), wrt(x, [op, view, whole = x.shape()](const Var<T>& g) {
                  return embed(op, g, view, whole, 0.0);
                }));
}

template <class T>
Var<T> embed(const char* op, const Var<T>& part, const View& view, const Shape& whole,
             double fill) {
  Result<T> y(whole);
  kernels::fill(static_cast<Index>(y.size()), static_cast<T>(fill), y.data());
  write_view(part.data(), view, y.data());
  return record(op, std::move(y),
                wrt(part, [op, view](const Var<T>& g) { return extract(op, g, view); }));
}

}  // namespace xtape::detail
