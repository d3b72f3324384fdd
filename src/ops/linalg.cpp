#include <xtape/ops/linalg.hpp>

#include "array/shapes.hpp"
#include "base/instantiate.hpp"
#include "ops/contract.hpp"

#include <xtape/ops/reductions.hpp>
#include <xtape/ops/shape.hpp>

#include <algorithm>
#include <cctype>

namespace xtape {
namespace {

using detail::fail;
using detail::Labels;

std::size_t position(const std::string& labels, char label) { return labels.find(label); }

/// Reduces a sum of products to what contract() takes. Here extents of 1 broadcast, and a label of one
/// operand alone may be summed.
template <class T>
Var<T> sum_product(const char* op, const std::string& equation, Var<T> a, std::string la, Var<T> b,
                   std::string lb, std::string lo) {
  const auto mismatch = [&](char label, std::size_t u, std::size_t v) {
    fail<ShapeError>(op, "extents differ: operands are ", to_string(a.shape()), " and ",
                     to_string(b.shape()), ", expected axis '", label, "' of ", equation,
                     " to agree, it is ", u, " and ", v);
  };
  for (std::size_t i = 0; i < la.size(); ++i) {
    const std::size_t j = position(lb, la[i]);
    if (j == std::string::npos) continue;
    const std::size_t u = a.shape()[i];
    const std::size_t v = b.shape()[j];
    if (u != v && u != 1 && v != 1) mismatch(la[i], u, v);
  }
  Shape shape(lo.size());
  for (std::size_t i = 0; i < lo.size(); ++i) {
    const std::size_t in_a = position(la, lo[i]);
    const std::size_t in_b = position(lb, lo[i]);
    std::size_t extent = 1;
    if (in_a != std::string::npos) extent = a.shape()[in_a];
    if (in_b != std::string::npos && extent == 1) extent = b.shape()[in_b];
    shape[i] = extent;
  }
  // An extent of 1 beside a larger one is dropped: then only the other operand has the label.
  const std::string full_a = la;
  const auto drop_ones = [](const Var<T>& x, std::string& lx, const Var<T>& y,
                            const std::string& ly) {
    for (std::size_t i = 0; i < lx.size(); ++i) {
      const std::size_t j = position(ly, lx[i]);
      if (j != std::string::npos && x.shape()[i] == 1 && y.shape()[j] != 1) lx[i] = '-';
    }
  };
  drop_ones(a, la, b, lb);
  drop_ones(b, lb, a, full_a);
  // A label of one operand alone that is not in the result is summed beforehand.
  const auto sum_alone = [&lo](Var<T>& x, std::string& lx, const std::string& ly) {
    Axes axes;
    std::string left;
    for (std::size_t i = 0; i < lx.size(); ++i) {
      const bool alone = lx[i] != '-' && position(ly, lx[i]) == std::string::npos &&
                         position(lo, lx[i]) == std::string::npos;
      if (alone) {
        axes.push_back(static_cast<int>(i));
      } else {
        left += lx[i];
      }
    }
    if (!axes.empty()) x = sum(x, axes);
    lx = left;
  };
  sum_alone(a, la, lb);
  sum_alone(b, lb, la);
  return detail::contract(op, a, b, Labels{la, lb, lo}, shape);
}

}  // namespace

template <class T>
Var<T> matmul(const Var<T>& a, const std::type_identity_t<Var<T>>& b, MatmulOptions options) {
  if (a.rank() == 0 || b.rank() == 0) {
    fail<ShapeError>("matmul", "not a matrix: operands are ", to_string(a.shape()), " and ",
                     to_string(b.shape()), ", expected rank 1 or more; use * for scalars");
  }
  detail::check_rank("matmul", std::max(a.rank(), b.rank()));
  const std::size_t batch_a = a.rank() < 2 ? 0 : a.rank() - 2;
  const std::size_t batch_b = b.rank() < 2 ? 0 : b.rank() - 2;
  const std::size_t batch = std::max(batch_a, batch_b);
  // Batch axes are A, B, ... counted from the last; the matrices are m k and k n.
  const auto batch_labels = [](std::size_t count) {
    std::string labels;
    for (std::size_t i = count; i-- > 0;) labels += static_cast<char>('A' + i);
    return labels;
  };
  const std::string matrix_a = a.rank() == 1 ? "k" : options.transpose_a ? "km" : "mk";
  const std::string matrix_b = b.rank() == 1 ? "k" : options.transpose_b ? "nk" : "kn";
  const std::string la = batch_labels(batch_a) + matrix_a;
  const std::string lb = batch_labels(batch_b) + matrix_b;
  const std::string lo =
      batch_labels(batch) + (a.rank() == 1 ? "" : "m") + (b.rank() == 1 ? "" : "n");
  // The summed axis does not broadcast, unlike in einsum.
  const std::size_t ka = a.shape()[position(la, 'k')];
  const std::size_t kb = b.shape()[position(lb, 'k')];
  if (ka != kb) {
    fail<ShapeError>("matmul", "extents differ: operands are ", to_string(a.shape()),
                     options.transpose_a ? " (transposed)" : "", " and ", to_string(b.shape()),
                     options.transpose_b ? " (transposed)" : "",
                     ", expected as many columns on the left as rows on the right, they are ", ka,
                     " and ", kb, "; transpose one of them");
  }
  return sum_product("matmul", la + "," + lb + "->" + lo, a, la, Var<T>(b), lb, lo);
}
XTAPE_FOR_REALS(matmul);

template <class T>
Var<T> einsum(const std::string& equation, const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  const auto malformed = [&](const std::string& why) {
    fail<ValueError>("einsum", "malformed equation: '", equation, "' ", why,
                     ", expected the form \"ab,bc->ac\"");
  };
  const std::size_t comma = equation.find(',');
  const std::size_t arrow = equation.find("->");
  if (comma == std::string::npos || arrow == std::string::npos || comma > arrow) {
    malformed("has not one comma and then one arrow");
  }
  const std::string la = equation.substr(0, comma);
  const std::string lb = equation.substr(comma + 1, arrow - comma - 1);
  const std::string lo = equation.substr(arrow + 2);
  for (const std::string& labels : {la, lb, lo}) {
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (std::isalpha(static_cast<unsigned char>(labels[i])) == 0)
        malformed("has more than letters");
      if (labels.find(labels[i], i + 1) != std::string::npos) {
        malformed(std::string("repeats '") + labels[i] + "' in one term");
      }
    }
  }
  for (const char label : lo) {
    if (position(la, label) == std::string::npos && position(lb, label) == std::string::npos) {
      malformed(std::string("has '") + label + "' in the result only");
    }
  }
  if (la.size() != a.rank() || lb.size() != b.rank()) {
    fail<ShapeError>("einsum", "ranks differ: operands are ", to_string(a.shape()), " and ",
                     to_string(b.shape()), ", expected ranks ", la.size(), " and ", lb.size(),
                     " for '", equation, "'");
  }
  return sum_product("einsum", equation, a, la, Var<T>(b), lb, lo);
}
XTAPE_FOR_REALS(einsum);

template <class T> static void check_vectors(const char* op, const Var<T>& a, const Var<T>& b) {
  if (a.rank() != 1 || b.rank() != 1) {
    fail<ShapeError>(op, "not vectors: operands are ", to_string(a.shape()), " and ",
                     to_string(b.shape()), ", expected rank 1; use matmul() for more");
  }
}

template <class T> Var<T> dot(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  check_vectors("dot", a, b);
  if (a.size() != b.size()) {
    fail<ShapeError>("dot", "extents differ: operands are ", to_string(a.shape()), " and ",
                     to_string(b.shape()), ", expected vectors of one length");
  }
  return detail::contract("dot", a, b, {"k", "k", ""}, Shape());
}
XTAPE_FOR_REALS(dot);

template <class T> Var<T> outer(const Var<T>& a, const std::type_identity_t<Var<T>>& b) {
  check_vectors("outer", a, b);
  return detail::contract("outer", a, b, {"m", "n", "mn"}, Shape{a.size(), b.size()});
}
XTAPE_FOR_REALS(outer);

}  // namespace xtape
