#pragma once
// The operation behind every product: a sum over shared labels, computed on strides.

#include <xtape/tape/var.hpp>

#include <string>

namespace xtape::detail {

/// One label per axis. An axis of extent 1 without a label is '-'. Each label of an operand occurs in
/// the other operand or in the result, and each label of the result in an operand.
struct Labels {
  std::string a, b, out;
};

/// Returns out[labels.out] = bias + sum over the other labels of a[labels.a] * b[labels.b], an array of
/// `shape`. The bias is broadcast, and 0 where it is null.
template <class T>
Var<T> contract(const char* op, const Var<T>& a, const Var<T>& b, const Labels& labels,
                const Shape& shape, const Var<T>* bias = nullptr);

}  // namespace xtape::detail
