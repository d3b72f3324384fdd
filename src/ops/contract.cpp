#include "ops/contract.hpp"

#include "array/shapes.hpp"
#include "base/instantiate.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/memory.hpp"
#include "ops/products_of.hpp"
#include "products/gemm.hpp"

#include <xtape/tape/record.hpp>

#include <algorithm>
#include <array>

namespace xtape::detail {
namespace {

using kernels::Loop;
using products::Accumulate;

/// The strides of an operand by label, 0 for labels that it does not have.
struct Side {
  std::array<Index, 128> stride{};
  bool has(char label) const { return present[static_cast<std::size_t>(label)]; }
  Index of(char label) const { return stride[static_cast<std::size_t>(label)]; }
  std::array<bool, 128> present{};
};

Side side(const std::string& labels, const Shape& shape) {
  Side s;
  Index step = 1;
  for (std::size_t i = labels.size(); i-- > 0;) {
    const auto label = static_cast<std::size_t>(labels[i]);
    if (labels[i] != '-') {
      s.stride[label] = step;
      s.present[label] = true;
    }
    step *= extent(shape, i);
  }
  return s;
}

/// Returns a loop over the labels of one role, with labels merged where all three sides allow it.
Loop<3> group(const std::string& labels, const std::array<Index, 128>& extents, const Side& a,
              const Side& b, const Side& c) {
  Loop<3> loop;
  for (std::size_t i = labels.size(); i-- > 0;) {
    const char label = labels[i];
    loop.push(extents[static_cast<std::size_t>(label)], {a.of(label), b.of(label), c.of(label)});
  }
  return loop;
}

/// A plan for a product, without the data.
struct Product {
  products::Layout layout;
  Loop<3> batch;
  bool a_fits = true;  // BLAS can read the operand where it is
  bool b_fits = true;
  bool c_fits = true;
  bool swapped = false;  // computed as (B^T A^T): the result is column-major
};

Index stride_or(const Loop<3>& loop, int side, Index otherwise) {
  return loop.rank == 0 ? otherwise : loop.stride[0][side];
}
Index dim_or_one(const Loop<3>& loop) { return loop.rank == 0 ? 1 : loop.dim[0]; }

// Whether BLAS reads such a matrix: one stride is 1, the other at least the extent that it steps over.
bool readable(Index row, Index column, Index rows, Index columns) {
  return ((column == 1 || columns == 1) && (row >= columns || rows == 1)) ||
         ((row == 1 || rows == 1) && (column >= rows || columns == 1));
}

Product plan(const std::string& batch, const std::string& m, const std::string& n,
             const std::string& k, const std::array<Index, 128>& extents, const Side& a,
             const Side& b, const Side& c) {
  Product p;
  p.batch = group(batch, extents, a, b, c);
  Loop<3> rows = group(m, extents, a, b, c);
  Loop<3> columns = group(n, extents, a, b, c);
  const Loop<3> inner = group(k, extents, a, b, c);
  // Loops beyond the first become part of the batch.
  for (Loop<3>* loop : {&rows, &columns}) {
    for (int i = 1; i < loop->rank; ++i) {
      p.batch.push(loop->dim[i], {loop->stride[i][0], loop->stride[i][1], loop->stride[i][2]});
    }
    loop->rank = loop->rank > 1 ? 1 : loop->rank;
  }
  products::Layout& g = p.layout;
  g.m = dim_or_one(rows);
  g.n = dim_or_one(columns);
  g.k = dim_or_one(inner);
  g.a_row = stride_or(rows, 0, g.k);
  g.a_column = stride_or(inner, 0, 1);
  g.b_row = stride_or(inner, 1, g.n);
  g.b_column = stride_or(columns, 1, 1);
  g.c_row = stride_or(rows, 2, g.n);
  const Index c_column = stride_or(columns, 2, 1);
  p.a_fits = inner.rank <= 1 && readable(g.a_row, g.a_column, g.m, g.k);
  p.b_fits = inner.rank <= 1 && readable(g.b_row, g.b_column, g.k, g.n);
  if (c_column != 1 && g.n > 1) {
    if (stride_or(rows, 2, 1) == 1 || g.m == 1) {
      p.swapped = true;
      g = {g.n, g.m, g.k, g.b_column, g.b_row, g.a_column, g.a_row, c_column};
      for (int i = 0; i < p.batch.rank; ++i) std::swap(p.batch.stride[i][0], p.batch.stride[i][1]);
      p.c_fits = g.c_row >= g.n || g.m == 1;
    } else {
      p.c_fits = false;
    }
  } else {
    p.c_fits = g.c_row >= g.n || g.m == 1;
  }
  return p;
}

/// Returns a copy with the labels in this order.
template <class T>
Array<T> rearranged(const T* x, const Side& from, const std::string& order,
                    const std::array<Index, 128>& extents) {
  Shape shape(order.size());
  std::vector<Index> strides;
  for (std::size_t i = 0; i < order.size(); ++i) {
    shape[i] = static_cast<std::size_t>(extents[static_cast<std::size_t>(order[i])]);
    strides.push_back(from.of(order[i]));
  }
  Array<T> y(shape);
  kernels::copy(make_loop<2>(shape, {strides, strides_of(shape)}), x, y.data());
  return y;
}

/// Computes the product. A bias (Accumulate::bias) has one element per column. Returns false, without
/// any work, where the bias cannot be added during the product.
template <class T>
bool multiply(const T* a, const Side& sa, const T* b, const Side& sb, Accumulate accumulate,
              const T* bias, T* c, const Side& sc, const Labels& labels,
              const std::array<Index, 128>& extents, Products rounding) {
  std::string batch, m, n, k;
  for (const char label : labels.out) {
    if (label == '-') continue;
    (sa.has(label) && sb.has(label) ? batch : sa.has(label) ? m : n) += label;
  }
  for (const char label : labels.a) {
    if (label != '-' && !sc.has(label)) k += label;
  }
  const Product p = plan(batch, m, n, k, extents, sa, sb, sc);
  if (accumulate == Accumulate::bias) {
    Index columns = 1;
    for (const char label : n) columns *= extents[static_cast<std::size_t>(label)];
    const bool direct = p.a_fits && p.b_fits && p.c_fits && !p.swapped;
    if (!direct || p.layout.n != columns) return false;
  }
  if (!p.a_fits || !p.b_fits) {
    const std::string order_a = batch + m + k;
    const std::string order_b = batch + k + n;
    // Copies of both sides fit for sure.
    const Array<T> copy_a = rearranged(a, sa, order_a, extents);
    const Array<T> copy_b = rearranged(b, sb, order_b, extents);
    const Labels relabelled{order_a, order_b, labels.out};
    return multiply(copy_a.data(), side(order_a, copy_a.shape()), copy_b.data(),
                    side(order_b, copy_b.shape()), accumulate, bias, c, sc, relabelled, extents,
                    rounding);
  }
  if (!p.c_fits) {
    const std::string order = batch + m + n;
    Array<T> result = rearranged(c, sc, order, extents);
    const Side sr = side(order, result.shape());
    multiply(a, sa, b, sb, accumulate, bias, result.data(), sr, {labels.a, labels.b, order},
             extents, rounding);
    std::vector<Index> strides;
    for (const char label : order) strides.push_back(sc.of(label));
    kernels::copy(make_loop<2>(result.shape(), {strides_of(result.shape()), strides}),
                  result.data(), c);
    return true;
  }
  if (p.swapped) std::swap(a, b);
  products::multiply<T>({p.layout, a, b, accumulate, bias, c, false, rounding}, p.batch);
  return true;
}

/// Whether the bias has one element per column, contiguous and the same for each row. Columns are the
/// labels that only b has.
bool is_row(const std::vector<Index>& strides, const Labels& labels, const Shape& shape) {
  Index step = 1;
  for (std::size_t i = labels.out.size(); i-- > 0;) {
    const char label = labels.out[i];
    const bool column = label != '-' && labels.a.find(label) == std::string::npos;
    if (extent(shape, i) == 1) continue;
    if (strides[i] != (column ? step : 0)) return false;
    if (column) step *= extent(shape, i);
  }
  return true;
}

}  // namespace

template <class T>
Var<T> contract(const char* op, const Var<T>& a, const Var<T>& b, const Labels& labels,
                const Shape& shape, const Var<T>* bias) {
  std::array<Index, 128> extents{};
  for (std::size_t i = 0; i < labels.a.size(); ++i) {
    extents[static_cast<std::size_t>(labels.a[i])] = extent(a.shape(), i);
  }
  for (std::size_t i = 0; i < labels.b.size(); ++i) {
    extents[static_cast<std::size_t>(labels.b[i])] = extent(b.shape(), i);
  }
  Result<T> y(checked(op, shape));
  const bool products = a.size() != 0 && b.size() != 0;
  const Products rounding = products_of(a, b);
  const auto run = [&](Accumulate accumulate) {
    return multiply(a.data(), side(labels.a, a.shape()), b.data(), side(labels.b, b.shape()),
                    accumulate, accumulate == Accumulate::bias ? bias->data() : nullptr, y.data(),
                    side(labels.out, shape), labels, extents, rounding);
  };
  if (bias == nullptr) {
    if (products) {
      run(Accumulate::overwrite);
    } else {
      std::fill_n(y.data(), y.size(), T(0));  // a sum over nothing is 0
    }
  } else {
    const std::vector<Index> strides = broadcast_strides(bias->shape(), shape);
    if (!products || !is_row(strides, labels, shape) || !run(Accumulate::bias)) {
      kernels::copy(make_loop<2>(shape, {strides, strides_of(shape)}), bias->data(), y.data());
      if (products) run(Accumulate::add);
    }
  }
  const auto to_a = [op, b, labels, to = a.shape()](const Var<T>& g) {
    return contract(op, g, b, {labels.out, labels.b, labels.a}, to);
  };
  const auto to_b = [op, a, labels, to = b.shape()](const Var<T>& g) {
    return contract(op, a, g, {labels.a, labels.out, labels.b}, to);
  };
  if (bias == nullptr) return record(op, std::move(y), wrt(a, to_a), wrt(b, to_b));
  return record(op, std::move(y), wrt(a, to_a), wrt(b, to_b),
                wrt(*bias, [](const Var<T>& g) { return g; }));
}
XTAPE_FOR_REALS(contract);

}  // namespace xtape::detail
