#pragma once
// What dense layers do: x times a kernel, plus a bias; or several of them at once, the projections of
// attention, which is one job for the threads instead of one for each.

#include <xtape/tape/var.hpp>

#include <cstddef>
#include <vector>

namespace xtape::detail {

template <class T>
struct Projection {
  Var<T> kernel;  // (inputs..., units...)
  Var<T> bias;    // (units...), or no value
};

/// For each projection: the sum over the last `axes` axes of x (..., inputs...) and the first ones of its
/// kernel, plus its bias: (..., units...). Values and gradients are the same to the bit as of one call for
/// each, in their order. `op` names the operation.
template <class T>
std::vector<Var<T>> project(const char* op, const Var<T>& x, std::size_t axes,
                            std::vector<Projection<T>> projections);

}  // namespace xtape::detail
