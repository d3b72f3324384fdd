#include <xtape/losses/named_losses.hpp>

#include "base/message.hpp"
#include "losses/reduction.hpp"

#include <span>

namespace xtape {

using detail::but_last;

namespace {

/// Returns cross-entropy's options with the weights that fit gave.
CrossentropyOptions with_weights(CrossentropyOptions o, const LossOptions& given) {
  o.mask = given.mask;
  o.sample_weight = given.sample_weight;
  o.reduction = given.reduction;
  return o;
}

/// Returns the array in another shape.
template <class To, class From> Array<To> reshaped(const Array<From>& array, const Shape& shape) {
  Array<To> out(shape);
  for (std::size_t i = 0; i < out.size(); ++i) out.data()[i] = static_cast<To>(array.data()[i]);
  return out;
}

/// Whether labels are one column for a prediction of this shape, without or with the axis of 1.
bool is_column(const Shape& labels, const Shape& prediction) {
  if (prediction.empty()) return false;
  Shape column = prediction;
  column.back() = 1;
  return labels == column;
}

}  // namespace

template <class T>
Var<T> losses::SparseCategoricalCrossentropy::operator()(const Var<T>& prediction,
                                                         const Array<std::int64_t>& labels,
                                                         const LossOptions& options) const {
  const auto o = with_weights({.from_logits = from_logits,
                               .ignore_class = ignore_class,
                               .label_smoothing = label_smoothing},
                              options);
  if (!is_column(labels.shape(), prediction.shape())) {
    return sparse_categorical_crossentropy(prediction, labels, o);
  }
  return sparse_categorical_crossentropy(
      prediction, reshaped<std::int64_t>(labels, but_last(labels.shape())), o);
}

template <class T>
Var<T> losses::CategoricalCrossentropy::operator()(const Var<T>& prediction, const Array<T>& target,
                                                   const LossOptions& options) const {
  return categorical_crossentropy(
      prediction, Var<T>(target),
      with_weights({.from_logits = from_logits, .label_smoothing = label_smoothing}, options));
}

template <class T>
Var<T> losses::BinaryCrossentropy::operator()(const Var<T>& prediction, const Array<T>& target,
                                              const LossOptions& options) const {
  return binary_crossentropy(
      prediction, Var<T>(target),
      with_weights({.from_logits = from_logits, .label_smoothing = label_smoothing}, options));
}

template <class T>
Var<T> losses::BinaryCrossentropy::operator()(const Var<T>& prediction,
                                              const Array<std::int64_t>& labels,
                                              const LossOptions& options) const {
  const Shape& shape = prediction.shape();
  const bool one = !shape.empty() && shape.back() == 1;
  if (!one || (labels.shape() != shape && labels.shape() != but_last(shape))) {
    detail::fail<ShapeError>("binary_crossentropy", "labels do not fit: labels is ",
                             to_string(labels.shape()), ", prediction is ", to_string(shape),
                             ", expected a prediction (..., 1) and labels (...) or (..., 1)");
  }
  detail::check_samples("binary_crossentropy", options, but_last(shape));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::int64_t label = labels.data()[i];
    if (label == 0 || label == 1 || (options.mask && !options.mask->data()[i])) continue;
    detail::fail<ValueError>("binary_crossentropy", "label out of range: element ", i, " is ",
                             label, ", expected 0 or 1");
  }
  return (*this)(prediction, reshaped<T>(labels, shape), options);
}

template <class T, class Y> NamedLoss<T, Y>::NamedLoss(const char* name) {
  struct Named {
    const char* name;
    const char* short_name;
    Function function;
  };
#define XTAPE_NAMED(function, short_name)                              \
  {                                                                    \
#function, short_name,                                             \
        [](const Var <T>& p, const Array <Y>& y,                       \
           const LossOptions& o) { return function(p, Var<T>(y), o); } \
  }
  const auto known = [] {
    if constexpr (std::same_as<Y, std::int64_t>) {
      return std::vector<Named>{
          {"sparse_categorical_crossentropy", "", losses::SparseCategoricalCrossentropy{}},
          {"binary_crossentropy", "", losses::BinaryCrossentropy{}}};
    } else {
      return std::vector<Named>{XTAPE_NAMED(mean_squared_error, "mse"),
                                XTAPE_NAMED(mean_absolute_error, "mae"),
                                XTAPE_NAMED(mean_absolute_percentage_error, "mape"),
                                XTAPE_NAMED(mean_squared_logarithmic_error, "msle"),
                                {"huber", "",
                                 [](const Var<T>& p, const Array<Y>& y, const LossOptions& o) {
                                   return huber(p, Var<T>(y), 1.0, o);
                                 }},
                                XTAPE_NAMED(log_cosh, "logcosh"),
                                XTAPE_NAMED(hinge, ""),
                                XTAPE_NAMED(squared_hinge, ""),
                                XTAPE_NAMED(categorical_hinge, ""),
                                XTAPE_NAMED(kl_divergence, "kld"),
                                XTAPE_NAMED(poisson, ""),
                                XTAPE_NAMED(cosine_similarity, ""),
                                {"categorical_crossentropy", "", losses::CategoricalCrossentropy{}},
                                {"binary_crossentropy", "", losses::BinaryCrossentropy{}}};
    }
  }();
#undef XTAPE_NAMED
  const std::string wanted(name);
  std::string names;
  for (const Named& entry : known) {
    if (!wanted.empty() && (wanted == entry.name || wanted == entry.short_name)) {
      function_ = entry.function;
      return;
    }
    names += std::string(" ") + entry.name;
  }
  detail::fail<ValueError>("loss", "unknown name: loss is '", wanted, "', expected for ",
                           std::same_as<Y, std::int64_t> ? "labels" : "targets", " one of:", names,
                           "; or pass a function");
}

#define XTAPE_INSTANTIATE(T)                                                                  \
  template Var<T> losses::SparseCategoricalCrossentropy::operator()(                          \
      const Var<T>&, const Array<std::int64_t>&, const LossOptions&) const;                   \
  template Var<T> losses::CategoricalCrossentropy::operator()(const Var<T>&, const Array<T>&, \
                                                              const LossOptions&) const;      \
  template Var<T> losses::BinaryCrossentropy::operator()(const Var<T>&, const Array<T>&,      \
                                                         const LossOptions&) const;           \
  template Var<T> losses::BinaryCrossentropy::operator()(                                     \
      const Var<T>&, const Array<std::int64_t>&, const LossOptions&) const;                   \
  template class NamedLoss<T, T>;                                                             \
  template class NamedLoss<T, std::int64_t>;
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
