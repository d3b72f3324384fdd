#pragma once
/// \file
/// Losses, with Keras's formulas: a value per sample, then a reduction. Predictions come first. A
/// sample is everything along the last axis, unless a loss says otherwise. All losses are
/// differentiable by prediction and target. ShapeError unless prediction and target have one shape,
/// ValueError for options out of range. The content of masked samples, also NaN, changes neither value
/// nor gradient.
///
///     auto loss = mean_squared_error(prediction, target, {.sample_weight = weights});

#include <xtape/tape/var.hpp>

#include <optional>

namespace xtape {

/// The way from per-sample losses to the result. Means divide by the number of samples that count.
/// Sample weights are factors, and mean_with_sample_weight divides by their sum. The result is 0 where
/// a divisor would be 0.
enum class Reduction { sum_over_batch_size, sum, none, mean, mean_with_sample_weight };

/// Options common to all losses.
struct LossOptions {
  OptionalArray<bool> mask = {};  ///< which samples count; of the shape of the samples
  /// Finite factors: of the shape of the samples, or of their first axes, or with ones for axes.
  std::optional<Array<double>> sample_weight = {};
  Reduction reduction = Reduction::sum_over_batch_size;  ///< how values become the loss
};

/// A Var of the prediction's type, to which numbers and arrays convert.
template <class T> using Target = std::type_identity_t<Var<T>>;

/// Squared difference, averaged over the last axis.
template <class T>
Var<T> mean_squared_error(const Var<T>& prediction, const Target<T>& target,
                          const LossOptions& options = {});

/// Absolute difference, averaged over the last axis.
template <class T>
Var<T> mean_absolute_error(const Var<T>& prediction, const Target<T>& target,
                           const LossOptions& options = {});

/// 100 |target - prediction| / max(|target|, 1e-7), averaged over the last axis.
template <class T>
Var<T> mean_absolute_percentage_error(const Var<T>& prediction, const Target<T>& target,
                                      const LossOptions& options = {});

/// Squared difference of log(1 + max(x, 1e-7)), averaged over the last axis.
template <class T>
Var<T> mean_squared_logarithmic_error(const Var<T>& prediction, const Target<T>& target,
                                      const LossOptions& options = {});

/// Half the square up to delta, from there a line of slope delta; averaged over the last axis.
/// ValueError unless delta is positive.
template <class T>
Var<T> huber(const Var<T>& prediction, const Target<T>& target, double delta = 1.0,
             const LossOptions& options = {});

/// log(cosh(prediction - target)), without overflow, averaged over the last axis.
template <class T>
Var<T> log_cosh(const Var<T>& prediction, const Target<T>& target, const LossOptions& options = {});

/// max(1 - target * prediction, 0), averaged over the last axis. Targets are -1 and 1; if all are 0 or
/// 1, the zeros stand for -1.
template <class T>
Var<T> hinge(const Var<T>& prediction, const Target<T>& target, const LossOptions& options = {});

/// The square of hinge's elements, averaged over the last axis.
template <class T>
Var<T> squared_hinge(const Var<T>& prediction, const Target<T>& target,
                     const LossOptions& options = {});

/// max(max((1 - target) * prediction) - sum(target * prediction) + 1, 0) along the last axis.
template <class T>
Var<T> categorical_hinge(const Var<T>& prediction, const Target<T>& target,
                         const LossOptions& options = {});

/// sum(target * log(target / prediction)) along the last axis, both limited to [1e-7, 1].
template <class T>
Var<T> kl_divergence(const Var<T>& prediction, const Target<T>& target,
                     const LossOptions& options = {});

/// prediction - target * log(prediction + 1e-7), averaged over the last axis.
template <class T>
Var<T> poisson(const Var<T>& prediction, const Target<T>& target, const LossOptions& options = {});

/// Minus the cosine of the angle between prediction and target along the last axis, or 0 if one of
/// them is 0.
template <class T>
Var<T> cosine_similarity(const Var<T>& prediction, const Target<T>& target,
                         const LossOptions& options = {});

/// 1 - 2 sum(target * prediction) / (sum(target) + sum(prediction) + 1e-7). The sums are over `axes`,
/// which is all for an empty list; the samples are the other axes.
template <class T>
Var<T> dice(const Var<T>& prediction, const Target<T>& target, const Axes& axes = {},
            const LossOptions& options = {});

/// 1 - s / (s + alpha p + beta n + 1e-7) with s = sum(target * prediction), p = sum((1 - prediction) *
/// target) and n = sum(prediction * (1 - target)); axes as for dice. ValueError for negative factors.
template <class T>
Var<T> tversky(const Var<T>& prediction, const Target<T>& target, double alpha = 0.5,
               double beta = 0.5, const Axes& axes = {}, const LossOptions& options = {});

/// Options of the cross-entropies.
struct CrossentropyOptions {
  bool from_logits = false;  ///< predictions are logits; otherwise probabilities
  std::optional<std::int64_t> ignore_class = {};  ///< labels left out (sparse only)
  double label_smoothing = 0.0;   ///< 0 to 1: this much of the target is spread over all classes
  OptionalArray<bool> mask = {};  ///< true where a sample counts
  std::optional<Array<double>> sample_weight = {};       ///< factors of the samples
  Reduction reduction = Reduction::sum_over_batch_size;  ///< how values become the loss
};

/// -log(probability of the label): prediction (..., classes), labels (...). Probabilities are
/// renormalised to sum to 1 and limited to [1e-7, 1 - 1e-7], as in Keras. With label_smoothing s (as
/// in PyTorch) the target is 1 - s + s / classes at the label and s / classes elsewhere.
/// ValueError for a label outside the classes of a sample that counts.
template <class T>
Var<T> sparse_categorical_crossentropy(const Var<T>& prediction,
                                       const ArrayArg<std::int64_t>& labels,
                                       const CrossentropyOptions& options = {});

/// -sum(target * log(probability)) along the last axis. label_smoothing s makes the target
/// target * (1 - s) + s / classes.
template <class T>
Var<T> categorical_crossentropy(const Var<T>& prediction, const Target<T>& target,
                                const CrossentropyOptions& options = {});

/// -target log(p) - (1 - target) log(1 - p), averaged over the last axis. Probabilities are limited to
/// [1e-7, 1 - 1e-7]. label_smoothing s makes the target target * (1 - s) + s / 2.
template <class T>
Var<T> binary_crossentropy(const Var<T>& prediction, const Target<T>& target,
                           const CrossentropyOptions& options = {});

/// The weight of badly predicted samples in the focal losses (Lin et al. 2017).
struct Focus {
  double gamma = 2.0;    ///< 0 or more: the exponent of 1 - p
  double alpha = 0.25;   ///< 0 to 1: the weight
  bool balance = false;  ///< binary only: weigh by alpha where the target is 1, 1 - alpha where 0
};

/// categorical_crossentropy with every term multiplied by alpha (1 - p) ^ gamma.
template <class T>
Var<T> categorical_focal_crossentropy(const Var<T>& prediction, const Target<T>& target,
                                      Focus focus = {}, const CrossentropyOptions& options = {});

/// binary_crossentropy with every element multiplied by (1 - p_t) ^ gamma, where p_t is the predicted
/// probability of the true class; and, if balance, by alpha or 1 - alpha.
template <class T>
Var<T> binary_focal_crossentropy(const Var<T>& prediction, const Target<T>& target,
                                 Focus focus = {}, const CrossentropyOptions& options = {});

/// Options of connectionist temporal classification.
struct CtcOptions {
  std::optional<std::vector<std::int64_t>> input_lengths =
      {};  ///< frames that count; all otherwise
  std::optional<std::vector<std::int64_t>> label_lengths = {};  ///< otherwise up to the first blank
  std::int64_t blank = 0;                                ///< the class that stands for no label
  OptionalArray<bool> mask = {};                         ///< (batch)
  std::optional<Array<double>> sample_weight = {};       ///< factors of the samples
  Reduction reduction = Reduction::sum_over_batch_size;  ///< how values become the loss
};

/// Connectionist temporal classification (Graves et al. 2006): -log of the probability that the
/// frames of logits (batch, time, classes), repetitions and blanks removed, spell labels (batch,
/// length). ValueError for labels that are blank or no classes, for lengths out of range, and for a
/// sample with too few frames for its labels, whose loss would be infinite.
template <class T>
Var<T> ctc(const Var<T>& logits, const ArrayArg<std::int64_t>& labels,
           const CtcOptions& options = {});

}  // namespace xtape
