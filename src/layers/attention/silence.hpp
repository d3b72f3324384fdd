#pragma once
// Masked positions may hold anything: these keep a NaN or an infinity there from every product.

#include "layers/attention/layout.hpp"

#include <xtape/tape/var.hpp>

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

/// Results that a NaN or an infinity reached: true where it is seen. They become NaN.
struct Spoiled {
  Array<bool> outputs;  // (axes of the queries..., heads, 1)
  Array<bool> scores;   // of the shape of the scores; false where the key is masked
};
/// Puts zeros in place of the projected rows that are not finite, and says what they would spoil: so
/// what does not see them comes out bit for bit as if they held anything else.
template <class T>
Spoiled silence(const Array<bool>& mask, const Shape& scores, const AttentionLayout& l,
                Var<T>& query, Var<T>& key, Var<T>& value);

}  // namespace xtape::detail
