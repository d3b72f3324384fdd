#pragma once
/// \file
/// Reductions over all axes, or over the axes given; each comment gives the result. Negative axes count
/// from the end, and an empty list reduces nothing. keep_dims leaves reduced axes as 1. Sums are accumulated in
/// double, in a fixed order. ShapeError: axes out of range or repeated, and, except for sum and norm, no
/// elements to reduce.

#include <xtape/tape/var.hpp>

namespace xtape {

/// Sum; 0 for no elements.
template <class T> Var<T> sum(const Var<T>& x, const Axes& axes, bool keep_dims = false);
/// Sum of all elements.
template <class T> Var<T> sum(const Var<T>& x);
/// Arithmetic mean.
template <class T> Var<T> mean(const Var<T>& x, const Axes& axes, bool keep_dims = false);
/// Mean of all elements.
template <class T> Var<T> mean(const Var<T>& x);
/// Mean squared deviation from the mean (NumPy's var with ddof 0).
template <class T> Var<T> variance(const Var<T>& x, const Axes& axes, bool keep_dims = false);
/// Variance of all elements.
template <class T> Var<T> variance(const Var<T>& x);
/// Largest element; NaN wins. Equal elements share the gradient.
template <class T> Var<T> max(const Var<T>& x, const Axes& axes, bool keep_dims = false);
/// Largest of all elements.
template <class T> Var<T> max(const Var<T>& x);
/// Smallest element; NaN wins. Equal elements share the gradient.
template <class T> Var<T> min(const Var<T>& x, const Axes& axes, bool keep_dims = false);
/// Smallest of all elements.
template <class T> Var<T> min(const Var<T>& x);
/// log(sum(exp(x))), without overflow; -infinity where all elements are.
template <class T> Var<T> logsumexp(const Var<T>& x, const Axes& axes, bool keep_dims = false);
template <class T> Var<T> logsumexp(const Var<T>& x);  ///< log(sum(exp(x))) of all elements.
/// Euclidean norm, with gradient 0 at 0.
template <class T> Var<T> norm(const Var<T>& x, const Axes& axes, bool keep_dims = false);
/// Euclidean norm of all elements.
template <class T> Var<T> norm(const Var<T>& x);

/// Index of the first largest element along an axis, as a plain integer array.
template <class T> Array<std::int64_t> argmax(const Var<T>& x, int axis = -1);
/// Index of the first smallest element along an axis.
template <class T> Array<std::int64_t> argmin(const Var<T>& x, int axis = -1);

}  // namespace xtape
