#pragma once
/// \file
/// Softmax and its logarithm. Masks are boolean arrays, true = take part, that broadcast to the
/// operand as in NumPy (and may not have more axes). Masking selects: masked elements may hold NaN or
/// infinity and change nothing.

#include <xtape/tape/var.hpp>

#include <optional>

namespace xtape {

/// exp(x) / sum(exp(x)) over one or several axes jointly. Masked elements are 0; a row without any
/// element taking part (or whose elements are all -infinity) is 0 with gradient 0.
/// ShapeError: bad axes, or a mask that does not broadcast to x.
template <class T>
Var<T> softmax(const Var<T>& x, const Axes& axes = {-1},
               const std::optional<Array<bool>>& mask = std::nullopt);

/// log(softmax(x)), without overflow. Masked elements are -infinity, with gradient 0; a row without
/// any element taking part is 0 with gradient 0.
template <class T>
Var<T> log_softmax(const Var<T>& x, const Axes& axes = {-1},
                   const std::optional<Array<bool>>& mask = std::nullopt);

}  // namespace xtape
