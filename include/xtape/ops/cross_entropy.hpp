#pragma once
/// \file
/// Cross-entropy of logits.

#include <xtape/tape/var.hpp>

#include <concepts>
#include <cstdint>
#include <optional>

namespace xtape {

/// Returns -log(softmax(logits)[label]) along the last axis, without storing probabilities: logits
/// (..., classes) and labels (...) give (...). Rows labelled `ignore_class` give 0 with gradient 0.
/// With `label_smoothing` s, 0 to 1, the result is (1 - s) times the label's loss plus s times the mean
/// loss of all classes (Szegedy et al. 2016).
/// ValueError for other labels outside 0 to classes - 1, and for a share outside 0 to 1.
template <class T>
Var<T> sparse_softmax_cross_entropy(const Var<T>& logits, const ArrayArg<std::int64_t>& labels,
                                    std::optional<std::int64_t> ignore_class = std::nullopt,
                                    double label_smoothing = 0);

/// A fractional number is no class to ignore: `label_smoothing` is the fourth argument.
template <class T>
Var<T> sparse_softmax_cross_entropy(const Var<T>& logits, const ArrayArg<std::int64_t>& labels,
                                    std::floating_point auto) = delete;

}  // namespace xtape
