#pragma once
// Masked positions may hold anything: these keep a NaN or an infinity there from every product.

#include "layers/attention_layout.hpp"

#include <xtape/var.hpp>

namespace xtape::detail {

/// A copy under another shape.
Array<bool> reshaped(const Array<bool>& mask, const Shape& shape);

template <class T>
bool all_finite(const Var<T>& x);

/// Which queries attend to something and which keys are attended to, in the layout of the inputs.
struct Attended {
  Array<bool> queries, keys;
};
Attended attended(const Array<bool>& mask, const Shape& scores, const AttentionLayout& l);

/// x with zeros where nobody looks, so that a NaN there reaches no product and no gradient. `offset`
/// is the position of x's first entry among the kept ones.
template <class T>
Var<T> only(const Array<bool>& keep, const Var<T>& x, std::ptrdiff_t offset);

/// einsum(equation, weights, value), where a weight of exactly 0 silences also a NaN or an infinity:
/// what is attended to with any weight makes NaN, what is masked does not.
template <class T>
Var<T> weighted(const std::string& equation, const Var<T>& weights, const Var<T>& value);

}  // namespace xtape::detail
