#pragma once
/// \file
/// Products of matrices and their generalization; each comment gives the result. Transposed operands are not
/// copied; einsum copies those whose layout BLAS cannot read. ShapeError names both shapes where extents do not agree.

#include <xtape/tape/var.hpp>

#include <string>

namespace xtape {

/// Options of matmul.
struct MatmulOptions {
  bool transpose_a = false;  ///< use the last two axes of a exchanged
  bool transpose_b = false;  ///< use the last two axes of b exchanged
};
/// Matrix product over the last two axes. Leading axes are batches and broadcast as in NumPy. A vector is
/// a row on the left and a column on the right; its axis is not in the result.
template <class T>
Var<T> matmul(const Var<T>& a, const std::type_identity_t<Var<T>>& b, MatmulOptions options = {});

/// Einstein summation of two operands in NumPy's explicit form: einsum("aecd,abcd->acbe", key, query). A
/// letter of either case stands at most once in an operand, and an extent of 1 broadcasts. ValueError for a
/// malformed equation.
template <class T>
Var<T> einsum(const std::string& equation, const Var<T>& a, const std::type_identity_t<Var<T>>& b);

/// Inner product of two vectors: a scalar.
template <class T> Var<T> dot(const Var<T>& a, const std::type_identity_t<Var<T>>& b);
/// Outer product of two vectors: a matrix.
template <class T> Var<T> outer(const Var<T>& a, const std::type_identity_t<Var<T>>& b);

}  // namespace xtape
