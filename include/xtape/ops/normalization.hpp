#pragma once
/// \file
/// Layer and RMS normalization.

#include <xtape/tape/var.hpp>

#include <optional>
#include <type_traits>

namespace xtape {

/// Returns (x - mean) / sqrt(variance + epsilon) * gamma + beta, with mean and biased variance over all
/// elements of `axes`, in double (Ba et al. 2016). gamma and beta have the extents of the axes, in ascending
/// order of the axes. Their defaults are 1 and 0.
template <class T>
Var<T> layer_normalization(const Var<T>& x,
                           const std::optional<std::type_identity_t<Var<T>>>& gamma = std::nullopt,
                           const std::optional<std::type_identity_t<Var<T>>>& beta = std::nullopt,
                           const Axes& axes = {-1}, double epsilon = 1e-3);

/// Returns x / sqrt(mean(x * x) + epsilon) * scale, with the mean over all elements of `axes`, in double
/// (Zhang & Sennrich 2019). scale has the extents of the axes, in ascending order of the axes. Its default
/// is 1. ValueError for a negative epsilon, ShapeError for axes without elements.
template <class T>
Var<T> rms_normalization(const Var<T>& x,
                         const std::optional<std::type_identity_t<Var<T>>>& scale = std::nullopt,
                         const Axes& axes = {-1}, double epsilon = 1e-6);

}  // namespace xtape
