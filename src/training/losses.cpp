#include <xtape/losses.hpp>

#include "array/shapes.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/indexing.hpp>
#include <xtape/ops/neural.hpp>
#include <xtape/ops/reductions.hpp>
#include <xtape/ops/shape.hpp>

namespace xtape {
namespace {

using detail::fail;

template <class T>
void check_same(const char* op, const Var<T>& prediction, const Var<T>& target) {
  if (prediction.shape() != target.shape()) {
    fail<ShapeError>(op, "shapes differ: target is ", to_string(target.shape()), ", expected ",
                     to_string(prediction.shape()), ", the shape of the prediction");
  }
  if (prediction.rank() == 0) {
    fail<ShapeError>(op, "no last axis: prediction is (), expected at least one axis");
  }
}

void check_mask(const char* op, const std::optional<Array<bool>>& mask, const Shape& samples) {
  if (mask && mask->shape() != samples) {
    fail<ShapeError>(op, "mask does not fit: mask is ", to_string(mask->shape()), ", expected ",
                     to_string(samples), ", one entry per sample; true means it counts");
  }
}

Shape samples_of(const Shape& shape) {
  return detail::reduced_shape(shape, {shape.size() - 1}, false);
}

/// Masked samples are left out by selection, so what they hold does not matter.
template <class T>
Var<T> reduced(const Var<T>& losses, const std::optional<Array<bool>>& mask, Reduction reduction) {
  Var<T> kept = losses;
  std::size_t count = losses.size();
  if (mask) {
    kept = where(*mask, losses, Var<T>(T(0)));
    count = 0;
    for (std::size_t i = 0; i < mask->size(); ++i) count += mask->data()[i] ? 1 : 0;
  }
  switch (reduction) {
    case Reduction::none: return kept;
    case Reduction::sum: return sum(kept);
    case Reduction::sum_over_batch_size: break;
  }
  return sum(kept) / static_cast<T>(count == 0 ? 1 : count);
}

/// Probabilities as Keras treats them before the logarithm.
template <class T>
Var<T> safe_log(const Var<T>& p) {
  return log(clip(p / sum(p, {-1}, true), 1e-7, 1 - 1e-7));
}

}  // namespace

template <class T>
Var<T> mean_squared_error(const Var<T>& prediction, const std::type_identity_t<Var<T>>& target,
                          const LossOptions& options) {
  check_same("mean_squared_error", prediction, target);
  check_mask("mean_squared_error", options.mask, samples_of(prediction.shape()));
  if (prediction.shape().back() == 0) {
    fail<ShapeError>("mean_squared_error", "nothing to average: prediction is ",
                     to_string(prediction.shape()),
                     ", expected at least one element on the last axis");
  }
  return reduced(mean(square(prediction - target), {-1}), options.mask, options.reduction);
}

template <class T>
Var<T> sparse_categorical_crossentropy(const Var<T>& prediction, const Array<std::int64_t>& labels,
                                       const CrossentropyOptions& options) {
  const char* op = "sparse_categorical_crossentropy";
  if (prediction.rank() == 0 || labels.shape() != samples_of(prediction.shape())) {
    fail<ShapeError>(op, "shapes differ: labels is ", to_string(labels.shape()), ", prediction is ",
                     to_string(prediction.shape()),
                     ", expected the shape of the prediction without its last axis");
  }
  check_mask(op, options.mask, labels.shape());
  std::optional<Array<bool>> mask = options.mask;
  if (options.ignore_class) {
    if (!mask) mask = Array<bool>(labels.shape(), true);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (labels.data()[i] == *options.ignore_class) mask->data()[i] = false;
    }
  }
  if (options.from_logits) {
    return reduced(sparse_softmax_cross_entropy(prediction, labels, options.ignore_class), mask,
                   options.reduction);
  }
  Array<std::int64_t> ids = labels;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    // Any class will do for a row that is left out.
    if (options.ignore_class && ids.data()[i] == *options.ignore_class) ids.data()[i] = 0;
  }
  const Var<T> chosen = one_hot(Tokens<T>(std::move(ids)), prediction.shape().back());
  return reduced(-sum(safe_log(prediction) * chosen, {-1}), mask, options.reduction);
}

template <class T>
Var<T> categorical_crossentropy(const Var<T>& prediction,
                                const std::type_identity_t<Var<T>>& target,
                                const CrossentropyOptions& options) {
  const char* op = "categorical_crossentropy";
  check_same(op, prediction, Var<T>(target));
  check_mask(op, options.mask, samples_of(prediction.shape()));
  const Var<T> log_p = options.from_logits ? log_softmax(prediction) : safe_log(prediction);
  return reduced(-sum(log_p * target, {-1}), options.mask, options.reduction);
}

#define XTAPE_INSTANTIATE(T)                                                                 \
  template Var<T> mean_squared_error(const Var<T>&, const Var<T>&, const LossOptions&);      \
  template Var<T> sparse_categorical_crossentropy(const Var<T>&, const Array<std::int64_t>&, \
                                                  const CrossentropyOptions&);               \
  template Var<T> categorical_crossentropy(const Var<T>&, const Var<T>&,                     \
                                           const CrossentropyOptions&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
