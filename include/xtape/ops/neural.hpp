#pragma once
/// \file
/// Operations of neural networks. Masks are boolean arrays, true = take part, that broadcast to the
/// operand as in NumPy (and may not have more axes). Masking selects: masked elements may hold NaN or
/// infinity and change nothing.

#include <xtape/tape/var.hpp>

#include <optional>
#include <vector>

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

/// (x - mean) / sqrt(variance + epsilon) * gamma + beta, with mean and biased variance over `axes`
/// jointly, in double (Ba et al. 2016). gamma and beta have the extents of the axes, in ascending
/// order of the axes; without values they are 1 and 0.
template <class T>
Var<T> layer_normalization(const Var<T>& x, const std::optional<Var<T>>& gamma = std::nullopt,
                           const std::optional<Var<T>>& beta = std::nullopt,
                           const Axes& axes = {-1}, double epsilon = 1e-3);

/// x / sqrt(mean(x * x) + epsilon) * scale, with the mean over `axes` jointly, in double (Zhang &
/// Sennrich 2019). scale has the extents of the axes, in ascending order of the axes; without a value
/// it is 1. ValueError for a negative epsilon, ShapeError for axes without elements.
template <class T>
Var<T> rms_normalization(const Var<T>& x, const std::optional<Var<T>>& scale = std::nullopt,
                         const Axes& axes = {-1}, double epsilon = 1e-6);

/// Which random numbers an operation uses: they are a function of this and the element's position.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t index = 0;
};

/// The key of the next random operation on x's tape. TapeError without a tape.
template <class T>
RandomKey next_random_key(const Var<T>& x);

/// Zero with probability `rate`, otherwise x / (1 - rate); all zeros for rate 1. noise_shape, which
/// must broadcast to x, shares decisions along its axes of extent 1. The gradient draws the same
/// decisions again instead of storing them. ValueError unless 0 <= rate <= 1.
template <class T>
Var<T> dropout(const Var<T>& x, double rate, RandomKey key,
               const std::optional<Shape>& noise_shape = std::nullopt);

/// -log(softmax(logits)[label]) along the last axis, without storing probabilities: logits
/// (..., classes), labels (...) -> (...). Rows labelled `ignore_class` give 0 with gradient 0.
/// ValueError for other labels outside 0 ... classes - 1.
template <class T>
Var<T> sparse_softmax_cross_entropy(const Var<T>& logits, const Array<std::int64_t>& labels,
                                    std::optional<std::int64_t> ignore_class = std::nullopt);

}  // namespace xtape
