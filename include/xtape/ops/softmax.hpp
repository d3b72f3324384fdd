#pragma once
/// \file
/// Softmax and its logarithm. A mask is a boolean array, true where an element takes part. It broadcasts to
/// the operand as in NumPy and has no more axes. Masked elements may hold NaN or infinity and change nothing.

#include <xtape/tape/var.hpp>

#include <optional>

namespace xtape {

/// Returns exp(x) / sum(exp(x)), the sum being over all given axes. Masked elements are 0. A row in which
/// no element takes part, or all are -infinity, is 0 with gradient 0.
/// ShapeError: axes out of range or repeated, or a mask that does not broadcast to x.
template <class T>
Var<T> softmax(const Var<T>& x, const Axes& axes = {-1},
               const OptionalArray<bool>& mask = std::nullopt);

/// Returns log(softmax(x)), without overflow. Masked elements are -infinity with gradient 0. A row in which no
/// element takes part is 0 with gradient 0.
template <class T>
Var<T> log_softmax(const Var<T>& x, const Axes& axes = {-1},
                   const OptionalArray<bool>& mask = std::nullopt);

}  // namespace xtape
