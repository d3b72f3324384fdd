#pragma once
/// \file
/// Picking elements by integer arrays. Gradients are added into the positions picked from. A position out of
/// range is a ValueError that names it and the extent.

#include <xtape/tape/var.hpp>

namespace xtape {

/// Returns the entries of x at `ids` along an axis, which the axes of ids replace (NumPy's take).
/// Negative ids count from the end.
template <class T> Var<T> take(const Var<T>& x, const ArrayArg<std::int64_t>& ids, int axis = 0);

/// Returns y[..., k, ...] = x[..., ids[..., k, ...], ...] along an axis. ids has x's extents on all other
/// axes (NumPy's take_along_axis, PyTorch's gather). Negative ids count from the end.
template <class T>
Var<T> take_along_axis(const Var<T>& x, const ArrayArg<std::int64_t>& ids, int axis = -1);

/// Returns rows of a (vocabulary, width) table: ids (...) -> (..., width), 0 <= id < vocabulary.
template <class T> Var<T> embedding_lookup(const Var<T>& table, const Tokens<T>& ids);

/// Returns 1 at the id and 0 elsewhere along a new last axis of extent `depth`: a constant with the ids' tape.
template <class T> Var<T> one_hot(const Tokens<T>& ids, std::size_t depth);

}  // namespace xtape
