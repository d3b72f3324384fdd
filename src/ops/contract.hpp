#pragma once
// The one operation behind every product: a sum over shared labels, computed by BLAS on strides.

#include <xtape/tape/var.hpp>

#include <string>

namespace xtape::detail {

/// One label per axis. Axes of extent 1 that take no part are labelled '-'. Each label of an operand
/// stands in the other operand or in the result, and each label of the result in an operand.
struct Labels {
  std::string a, b, out;
};

/// out[labels.out] = sum over the other labels of a[labels.a] * b[labels.b], as an array of `shape`
/// (which may have further axes of extent 1, labelled '-'); plus `bias`, broadcast, where given.
template <class T>
Var<T> contract(const char* op, const Var<T>& a, const Var<T>& b, const Labels& labels,
                const Shape& shape, const Var<T>* bias = nullptr);

}  // namespace xtape::detail
