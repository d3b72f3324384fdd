#include "losses/reduction.hpp"

#include "base/instantiate.hpp"

namespace xtape::detail {

void check_samples(const char* op, const LossOptions& options, const Shape& samples) {
  if (options.mask && options.mask->shape() != samples) {
    fail<ShapeError>(op, "mask does not fit: mask is ", to_string(options.mask->shape()),
                     ", expected ", to_string(samples),
                     ", one entry per sample; true means it counts");
  }
  if (!options.sample_weight) return;
  const Array<double>& weights = *options.sample_weight;
  bool fits = true;
  for (std::size_t i = 0; i < weights.dimension(); ++i) {
    // A further axis must be 1, such as weights (batch, 1) for losses (batch,).
    const std::size_t extent = weights.shape()[i];
    fits = fits && (extent == 1 || (i < samples.size() && extent == samples[i]));
  }
  if (!fits) {
    fail<ShapeError>(op, "weights do not fit: sample_weight is ", to_string(weights.shape()),
                     ", expected ", to_string(samples),
                     ", the shape of the samples, or of their first axes, or 1 for an axis");
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    check_number(op, "sample_weight", weights.data()[i]);
  }
}

template <class T> Array<T> weights_of(const Array<double>& weights, const Shape& samples) {
  for (const double weight : weights) check_fits<T>("loss", "sample_weight", weight);
  // Axes are aligned at the first one, the batch.
  std::vector<std::size_t> stride(samples.size(), 0);
  std::size_t step = 1;
  for (std::size_t i = weights.dimension(); i-- > 0;) {
    if (i < samples.size() && weights.shape()[i] != 1) stride[i] = step;
    step *= weights.shape()[i];
  }
  Array<T> out(samples);
  for (std::size_t k = 0; k < out.size(); ++k) {
    std::size_t rest = k, at = 0;
    for (std::size_t i = samples.size(); i-- > 0;) {
      at += rest % samples[i] * stride[i];
      rest /= samples[i];
    }
    out.data()[k] = static_cast<T>(weights.data()[at]);
  }
  return out;
}

XTAPE_FOR_REALS(weights_of);

}  // namespace xtape::detail
