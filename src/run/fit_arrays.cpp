#include <xtape/run/fit_arrays.hpp>

#include "base/check.hpp"
#include "base/instantiate.hpp"

#include <algorithm>
#include <cmath>

namespace xtape::detail {

std::size_t check_samples_of(const char* who, const Shape& x, const Shape& y,
                             const std::optional<Array<double>>& weight) {
  if (x.empty() || y.empty() || x[0] != y[0] || x[0] == 0) {
    fail<ShapeError>(who, "samples do not fit: x is ", to_string(x), ", y is ", to_string(y),
                     ", expected the same number of samples on the first axis, 1 or more");
  }
  if (weight && weight->shape() != Shape{x[0]}) {
    fail<ShapeError>(who, "sample_weight does not fit: sample_weight is ",
                     to_string(weight->shape()), ", expected ", to_string(Shape{x[0]}),
                     ", one number for each sample");
  }
  return x[0];
}

std::size_t samples_before(double validation_split, std::size_t count) {
  check_unit("fit", "validation_split", validation_split, false);
  if (validation_split == 0) return count;
  const auto before =
      static_cast<std::size_t>(std::floor(static_cast<double>(count) * (1 - validation_split)));
  if (before == 0 || before == count) {
    fail<ValueError>("fit", "validation_split leaves nothing: ", validation_split, " of ", count,
                     " samples leaves ", before, " to train and ", count - before,
                     " to validate, expected 1 or more of each; choose another fraction");
  }
  return before;
}

template <class Y>
Array<double> weights_of_classes(const std::map<std::int64_t, double>& weights, const Array<Y>& y) {
  for (const auto& [label, weight] : weights) check_not_negative("fit", "class_weight", weight);
  const std::size_t n = y.shape()[0];
  if (y.dimension() > 2) {
    fail<ShapeError>("fit", "class_weight without classes: y is ", to_string(y.shape()),
                     ", expected (n,), (n, 1) or one-hot rows (n, classes); give sample_weight");
  }
  const std::size_t columns = y.size() / n;
  Array<double> out(Shape{n});
  for (std::size_t i = 0; i < n; ++i) {
    const Y* row = y.data() + i * columns;
    bool fits = std::all_of(row, row + columns, [](Y v) { return v - v == Y(0); });
    if (columns > 1) {
      fits = fits && std::count(row, row + columns, Y(1)) == 1 &&
             std::count(row, row + columns, Y(0)) == static_cast<std::ptrdiff_t>(columns) - 1;
    }
    if (columns == 0 || !fits) {
      fail<ValueError>("fit", "class_weight without a class: row ", i, " of y ",
                       to_string(y.shape()),
                       " is no label, expected one finite number, or one 1 among zeros; give "
                       "sample_weight");
    }
    const auto label = columns == 1
                           ? static_cast<std::int64_t>(std::llround(static_cast<double>(row[0])))
                           : std::max_element(row, row + columns) - row;
    const auto found = weights.find(label);
    out.data()[i] = found == weights.end() ? 1.0 : found->second;
  }
  return out;
}
template Array<double> weights_of_classes(const std::map<std::int64_t, double>&,
                                          const Array<float>&);
template Array<double> weights_of_classes(const std::map<std::int64_t, double>&,
                                          const Array<double>&);
template Array<double> weights_of_classes(const std::map<std::int64_t, double>&,
                                          const Array<std::int64_t>&);

void check_loss(const char* who, bool loss, bool weighs, bool weights) {
  if (!loss) {
    fail<ValueError>(who,
                     "no loss: loss is not set, expected a name, an object of "
                     "xtape::losses or a function; set {.loss = \"mse\"}, for example");
  }
  if (weights && !weighs) {
    fail<ValueError>(who,
                     "weights for a loss that takes none: the loss has two arguments, "
                     "expected three, with const LossOptions& last; heed its sample_weight");
  }
}

template <class T> void check_more(const FitOptions<T>& more) {
  const ProgressOptions& p = more.progress;
  const bool reports = p.style != ProgressStyle::automatic || p.file != stdout ||
                       p.stream != nullptr || p.color || p.clock;
  const char* set = more.epochs != 1          ? "epochs"
                    : more.validation         ? "validation"
                    : !more.metrics.empty()   ? "metrics"
                    : !more.callbacks.empty() ? "callbacks"
                    : more.seed != 0          ? "seed"
                    : reports                 ? "progress"
                                              : nullptr;
  if (set == nullptr) return;
  fail<ValueError>("fit", "option set twice: more.", set,
                   " is set, expected it unset; set it beside `more`");
}
XTAPE_FOR_REALS(check_more);

template <class T>
Array<T> predict(std::size_t count, const PredictOptions& options,
                 const std::function<Var<T>(Tape<T>&, std::span<const std::size_t>)>& batch) {
  check_option(options.batch_size > 0, "predict", "batch_size", options.batch_size, "1 or more");
  const std::size_t size = std::min(options.batch_size, count);
  const auto steps = static_cast<std::int64_t>((count + size - 1) / size);
  ProgressBar bar(options.progress);
  bar.begin("", steps);
  Tape<T> tape({.record = false});
  Array<T> all;
  std::size_t width = 0;
  for (std::int64_t step = 0; step < steps; ++step) {
    const std::size_t first = static_cast<std::size_t>(step) * size;
    std::vector<std::size_t> at(std::min(size, count - first));
    std::iota(at.begin(), at.end(), first);
    const Var<T> result = batch(tape, at);
    Shape shape = result.shape();
    if (!shape.empty() && shape[0] == at.size()) {
      shape[0] = count;
      if (step == 0) all = Array<T>(checked("predict", shape));
    }
    if (shape != all.shape() || result.rank() == 0) {
      fail<ShapeError>("predict", "result does not fit: the result of ", at.size(), " rows is ",
                       to_string(result.shape()),
                       ", expected one row for each and the extents of the first batch");
    }
    if (step == 0) width = all.size() / count;
    std::copy_n(result.data(), result.size(), all.data() + first * width);
    tape.clear();
    if (bar.due(step + 1)) bar.update(step + 1, {});
  }
  bar.finish(steps, {});
  return all;
}
XTAPE_FOR_REALS(predict);

}  // namespace xtape::detail
