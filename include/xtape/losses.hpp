#pragma once
/// \file
/// Losses, with Keras's formulas: a value per sample, then a reduction. Predictions come first.

#include <xtape/var.hpp>

#include <optional>

namespace xtape {

/// How per-sample losses become the result. sum_over_batch_size divides by the number of samples, or,
/// under a mask, of samples that count (0 where none does).
enum class Reduction { sum_over_batch_size, sum, none };

/// Options common to all losses.
struct LossOptions {
  std::optional<Array<bool>> mask = {};  ///< which samples count; of the shape of the samples
  Reduction reduction = Reduction::sum_over_batch_size;
};

/// Squared difference, averaged over the last axis; samples are the other axes.
/// ShapeError unless prediction and target have one shape.
template <class T>
Var<T> mean_squared_error(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                          const LossOptions& options = {});

/// Options of the cross-entropies.
struct CrossentropyOptions {
  bool from_logits =
      false;  ///< predictions are logits; otherwise probabilities along the last axis
  std::optional<std::int64_t> ignore_class = {};  ///< labels left out (sparse only)
  std::optional<Array<bool>> mask = {};
  Reduction reduction = Reduction::sum_over_batch_size;
};

/// -log(probability of the label): prediction (..., classes), labels (...). Probabilities are
/// renormalised to sum to 1 and limited to [1e-7, 1 - 1e-7], as in Keras.
/// ValueError for a label outside the classes.
template <class T>
Var<T> sparse_categorical_crossentropy(const Var<T>& prediction, const Array<std::int64_t>& labels,
                                       const CrossentropyOptions& options = {});

/// -sum(target * log(probability)) along the last axis; prediction and target have one shape.
template <class T>
Var<T> categorical_crossentropy(const Var<T>& prediction,
                                const std::type_identity_t<Var<T>>& target,
                                const CrossentropyOptions& options = {});

}  // namespace xtape
