#pragma once
// Keeps a NaN or an infinity at a masked position out of every product.

#include "layers/attention/layout.hpp"
#include "ops/attention.hpp"

#include <functional>

namespace xtape::detail {

/// Inputs of one call, or their projections. A key without a value stands for `value`.
template <class T> struct AttentionOperands { Var<T> query, key, value; };

/// Does nothing when every input is finite or nothing is masked. Else zeroes the queries that attend to
/// nothing and the keys that nobody attends to. Returns the mask if an input is still not finite.
template <class T>
OptionalArray<bool> zero_unattended(const Attention<T>& a, const AttentionLayout& l,
                                    AttentionOperands<T>& inputs);

template <class T> using Attend = std::function<std::vector<Var<T>>(const AttentionOperands<T>&)>;

/// Returns attend(p) as if every masked position held a finite number. Rows that are not finite become
/// zeros before the call; the outputs and scores that attend to them become NaN after it.
template <class T>
std::vector<Var<T>> with_masked_nonfinite(const Array<bool>& mask, const Shape& scores,
                                          const AttentionLayout& l, AttentionOperands<T> p,
                                          const Attend<T>& attend);

}  // namespace xtape::detail
