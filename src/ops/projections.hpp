#pragma once
// x times a kernel, plus a bias, as in dense layers. Several of these at once, as in the projections of
// attention, are one job for the threads.

#include <xtape/tape/var.hpp>

#include <cstddef>
#include <vector>

namespace xtape::detail {

template <class T> struct Projection {
  Var<T> kernel;  // (inputs..., units...)
  Var<T> bias;    // (units...), or no value
};

/// Returns x kernel + bias for each projection, (..., units...): a sum over the last `axes` axes of
/// x (..., inputs...) and the first ones of the kernel. Values and gradients have the same bits as those
/// of one call for each projection, in their order. `op` names the operation.
template <class T>
std::vector<Var<T>> project(const char* op, const Var<T>& x, std::size_t axes,
                            std::vector<Projection<T>> projections);

}  // namespace xtape::detail
