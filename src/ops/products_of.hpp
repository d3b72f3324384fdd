#pragma once
// How an operation rounds the operands of its products.

#include <xtape/tape/tape_state.hpp>
#include <xtape/tape/var.hpp>

namespace xtape::detail {

/// Returns what the tape of the first operand with a tape says, or else default_products().
template <class T> Products products_of(const Var<T>& x) {
  const TapeState<T>* const state = x.node_ref().state;
  return state == nullptr ? default_products() : state->products;
}
template <class T, class... Vars> Products products_of(const Var<T>& x, const Vars&... rest) {
  const TapeState<T>* const state = x.node_ref().state;
  return state == nullptr ? products_of(rest...) : state->products;
}

}  // namespace xtape::detail
