#pragma once
/// \file
/// fit, evaluate and predict on arrays, as Keras's Model has them.
///
///     History history = fit(params, adam, model, x, y,
///                           {.loss = "sparse_categorical_crossentropy", .metrics = {&accuracy},
///                            .epochs = 20, .validation_split = 0.2});
///     Logs logs = evaluate(params, model, x_test, y_test, {.loss = ..., .metrics = {&accuracy}});
///     Array<float> p = predict(params, model, x_new);
///
/// The first axis of x and y is the samples. x holds numbers of the model's type, or integers, which reach
/// the model as Tokens. y holds targets of the model's type, or integers, which are labels.

#include <xtape/data/batches.hpp>
#include <xtape/data/rows.hpp>
#include <xtape/losses/named_losses.hpp>
#include <xtape/run/fit.hpp>

#include <map>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

namespace xtape {

/// A metric that sees predictions of T and targets of Y: the address of any with update(prediction, y).
template <class T, class Y> class ArrayMetric {
 public:
  /// Refers to a metric, which must live as long.
  template <std::derived_from<Metric> M>
  requires requires(M& m, const Var<T>& p,
                    const std::conditional_t<std::same_as<Y, T>, Var<T>, Array<Y>>& y) {
    m.update(p, y);
  }
  ArrayMetric(M* metric)
      : metric_(metric), update_([metric](const Var<T>& prediction, const Array<Y>& y) {
          if constexpr (std::same_as<Y, T>) {
            metric->update(prediction, Var<T>(y));
          } else {
            metric->update(prediction, y);
          }
        }) {}
  /// Returns the metric.
  [[nodiscard]] Metric* metric() const noexcept { return metric_; }
  /// Adds samples.
  void update(const Var<T>& prediction, const Array<Y>& y) const { update_(prediction, y); }

 private:
  Metric* metric_;
  std::function<void(const Var<T>&, const Array<Y>&)> update_;
};

/// Options of fit on arrays of X and Y with a model of T.
template <class T, class X, class Y> struct ArrayFitOptions {
  NamedLoss<T, Y> loss = {};                    ///< needed
  std::vector<ArrayMetric<T, Y>> metrics = {};  ///< without weights, as Keras's `metrics`
  std::int64_t epochs = 1;                      ///< passes over the data
  std::size_t batch_size = 32;                  ///< rows per batch; positive
  bool shuffle = true;                          ///< a new order every epoch
  double validation_split = 0;  ///< this part of the samples, the last ones, is held out; below 1
  std::optional<std::pair<Array<X>, Array<Y>>> validation_data = {};  ///< instead: {{x, y}}
  /// The weights of labels in the loss; 1 for others. y is (n,), (n, 1), or (n, classes) of one-hot rows.
  std::map<std::int64_t, double> class_weight = {};
  std::optional<Array<double>> sample_weight = {};  ///< (n,), in the loss; not with class_weight
  std::vector<Callback*> callbacks = {};            ///< called in this order
  std::uint64_t seed = 0;                           ///< of the order and of dropout
  ProgressOptions progress = {};                    ///< style and stream of the reports
  /// Everything else, such as checkpoints and shards. What stands above must not be set here.
  FitOptions<T> more = {};
};

/// Options of evaluate on arrays.
template <class T, class Y> struct ArrayEvaluateOptions {
  NamedLoss<T, Y> loss = {};                        ///< needed
  std::vector<ArrayMetric<T, Y>> metrics = {};      ///< computed beside the loss
  std::size_t batch_size = 32;                      ///< rows per batch; positive
  std::optional<Array<double>> sample_weight = {};  ///< (n,), in the loss
  ProgressOptions progress = {};                    ///< style and stream of the reports
  Team* team = nullptr;                             ///< see EvaluateOptions
};

/// Options of predict.
struct PredictOptions {
  std::size_t batch_size = 32;    ///< rows per batch; positive
  ProgressOptions progress = {};  ///< style and stream of the reports
};

namespace detail {

/// The element type that an expression has as an argument here.
template <class E>
using ElementOf = std::conditional_t<Integer<typename std::decay_t<E>::value_type>, std::int64_t,
                                     typename std::decay_t<E>::value_type>;

template <class X, class Y> struct ArrayBatch {
  Array<X> x;
  Array<Y> y;
  std::optional<Array<double>> weight;
};

/// ShapeError unless x and y have the same number of samples, 1 or more, and the weights are (n,).
/// Returns n.
std::size_t check_samples_of(const char* who, const Shape& x, const Shape& y,
                             const std::optional<Array<double>>& weight);
/// Returns the samples in front of those held out. ValueError for a split that leaves one side empty.
std::size_t samples_before(double validation_split, std::size_t count);
/// Returns each sample's weight. ValueError for weights that are negative or not finite.
template <class Y>
Array<double> weights_of_classes(const std::map<std::int64_t, double>& weights, const Array<Y>& y);
/// ValueError without a loss, for weights that it does not take, and for what must not be set in `more`.
void check_loss(const char* who, bool loss, bool weighs, bool weights);
template <class T> void check_more(const FitOptions<T>& more);
/// Returns the predictions of batches, one behind the other, with the bar.
template <class T>
Array<T> predict(std::size_t count, const PredictOptions& options,
                 const std::function<Var<T>(Tape<T>&, std::span<const std::size_t>)>& batch);

/// Returns batches of the samples `first` to `last` - 1 of arrays that outlive them.
template <class X, class Y>
auto array_batches(const Array<X>& x, const Array<Y>& y, const std::optional<Array<double>>& weight,
                   std::size_t first, std::size_t last, BatchOptions options) {
  options.prefetch = 0;  // copying rows is faster than to wake a thread
  return Batches<ArrayBatch<X, Y>>(last - first, options,
                                   [&x, &y, &weight, first](std::span<const std::size_t> batch) {
                                     std::vector<std::size_t> at(batch.begin(), batch.end());
                                     for (std::size_t& i : at) i += first;
                                     ArrayBatch<X, Y> out{rows(x, at), rows(y, at), {}};
                                     if (weight) out.weight = rows(*weight, at);
                                     return out;
                                   });
}

/// Returns the step of a model on such batches.
template <class T, class X, class Y, class Model>
auto array_step(Model& model, const NamedLoss<T, Y>& loss,
                const std::vector<ArrayMetric<T, Y>>& metrics) {
  return [&model, &loss, &metrics](Tape<T>& tape, const ArrayBatch<X, Y>& batch) {
    const Var<T> prediction = model(tape.input(batch.x));
    for (const ArrayMetric<T, Y>& metric : metrics) metric.update(prediction, batch.y);
    return StepResult<T>(loss(prediction, batch.y, {.sample_weight = batch.weight}),
                         static_cast<double>(batch.y.shape()[0]));
  };
}

template <class T, class Y>
std::vector<Metric*> metrics_of(const std::vector<ArrayMetric<T, Y>>& metrics) {
  std::vector<Metric*> all;
  for (const ArrayMetric<T, Y>& metric : metrics) all.push_back(metric.metric());
  return all;
}

}  // namespace detail

/// Trains a model, any callable from Var or Tokens to Var, on the samples of x and y. Batches, loss and
/// validation are Keras's: the loss of an epoch is the mean over its samples, and validation_split holds out
/// the last samples before the first shuffle. All else is as fit on batches. ShapeError for x, y and weights
/// that differ in their number of samples; ValueError for options out of range or that exclude each other.
template <class T, class Model, detail::XExpression X, detail::XExpression Y>
History fit(
    Params<T>& params, Optimizer<T>& optimizer, Model&& model, const X& x, const Y& y,
    std::type_identity_t<ArrayFitOptions<T, detail::ElementOf<X>, detail::ElementOf<Y>>> options) {
  using EX = detail::ElementOf<X>;
  using EY = detail::ElementOf<Y>;
  const ArrayArg<EX> xs(x);
  const ArrayArg<EY> ys(y);
  const std::size_t n =
      detail::check_samples_of("fit", (*xs).shape(), (*ys).shape(), options.sample_weight);
  detail::check_more(options.more);
  std::optional<Array<double>> weight = options.sample_weight;
  if (!options.class_weight.empty()) {
    if (weight) {
      throw ValueError(
          "fit: class_weight and sample_weight: both are set, expected one of them; "
          "multiply the sample weights by those of the classes");
    }
    weight = detail::weights_of_classes(options.class_weight, *ys);
  }
  detail::check_loss("fit", static_cast<bool>(options.loss), options.loss.weighs(),
                     weight.has_value());
  const auto& held_out = options.validation_data;
  if (held_out && options.validation_split != 0) {
    throw ValueError("fit: validation_split and validation_data: both are set, expected one");
  }
  const std::size_t split = detail::samples_before(options.validation_split, n);
  const auto step = detail::array_step<T, EX>(model, options.loss, options.metrics);
  const BatchOptions order{
      .batch_size = options.batch_size, .shuffle = options.shuffle, .seed = options.seed};
  const BatchOptions in_order{.batch_size = options.batch_size, .shuffle = false};
  const auto batches = detail::array_batches(*xs, *ys, weight, 0, split, order);
  FitOptions<T> all = std::move(options.more);
  if (held_out) {
    static const std::optional<Array<double>> none;
    const std::size_t m = detail::check_samples_of("fit: validation_data", held_out->first.shape(),
                                                   held_out->second.shape(), none);
    all.validation = {
        detail::array_batches(held_out->first, held_out->second, none, 0, m, in_order), step};
  } else if (split < n) {
    all.validation = {detail::array_batches(*xs, *ys, options.sample_weight, split, n, in_order),
                      step};
  }
  all.epochs = options.epochs;
  all.metrics = detail::metrics_of(options.metrics);
  all.callbacks = options.callbacks;
  all.seed = options.seed;
  all.progress = options.progress;
  return fit(params, optimizer, batches, step, std::move(all));
}

/// Returns the loss and the metrics of a model on x and y, without recording or dropout. Errors as fit.
template <class T, class Model, detail::XExpression X, detail::XExpression Y>
Logs evaluate(const Params<T>& params, Model&& model, const X& x, const Y& y,
              const std::type_identity_t<ArrayEvaluateOptions<T, detail::ElementOf<Y>>>& options) {
  using EX = detail::ElementOf<X>;
  using EY = detail::ElementOf<Y>;
  const ArrayArg<EX> xs(x);
  const ArrayArg<EY> ys(y);
  const auto& weight = options.sample_weight;
  const std::size_t n = detail::check_samples_of("evaluate", (*xs).shape(), (*ys).shape(), weight);
  detail::check_loss("evaluate", static_cast<bool>(options.loss), options.loss.weighs(),
                     weight.has_value());
  const auto batches = detail::array_batches(*xs, *ys, weight, 0, n,
                                             {.batch_size = options.batch_size, .shuffle = false});
  return evaluate(params, batches, detail::array_step<T, EX>(model, options.loss, options.metrics),
                  {.metrics = detail::metrics_of(options.metrics),
                   .progress = options.progress,
                   .team = options.team});
}

/// Returns the model's results for the rows of x, computed in batches, without recording or dropout.
/// ShapeError for a result whose first axis is not that of its batch; ParameterError when loaded values
/// found no layer.
template <class T, class Model, detail::XExpression X>
Array<T> predict(const Params<T>& params, Model&& model, const X& x,
                 const PredictOptions& options = {}) {
  const ArrayArg<detail::ElementOf<X>> xs(x);
  const Array<detail::ElementOf<X>>& all = *xs;
  const std::size_t n = detail::check_samples_of("predict", all.shape(), all.shape(), {});
  const std::function<Var<T>(Tape<T>&, std::span<const std::size_t>)> batch =
      [&](Tape<T>& tape, std::span<const std::size_t> at) -> Var<T> {
    return model(tape.input(rows(all, at)));
  };
  Array<T> out = detail::predict<T>(n, options, batch);
  params.check_pending();
  return out;
}

}  // namespace xtape
