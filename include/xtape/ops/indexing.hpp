#pragma once
/// \file
/// Picking elements by integer arrays. The gradients add into the places picked from. Positions out
/// of range are a ValueError naming the position and the extent.

#include <xtape/tape/var.hpp>

namespace xtape {

/// Entries of x at `ids` along an axis: the axis is replaced by the shape of ids (NumPy's take).
/// Negative ids count from the end.
template <class T>
Var<T> take(const Var<T>& x, const Array<std::int64_t>& ids, int axis = 0);

/// y[..., k, ...] = x[..., ids[..., k, ...], ...] along an axis. ids has x's shape on all other axes
/// (NumPy's take_along_axis, PyTorch's gather). Negative ids count from the end.
template <class T>
Var<T> take_along_axis(const Var<T>& x, const Array<std::int64_t>& ids, int axis = -1);

/// Rows of a (vocabulary, width) table: ids (...) -> (..., width). 0 <= id < vocabulary.
template <class T>
Var<T> embedding_lookup(const Var<T>& table, const Tokens<T>& ids);

/// 1 at the id, 0 elsewhere, along a new last axis of extent `depth`; a constant in the ids' context.
template <class T>
Var<T> one_hot(const Tokens<T>& ids, std::size_t depth);

}  // namespace xtape
