#pragma once
// A run of fit with everything that shards and ranks could get wrong: dropout, sums of unequal weight, a
// short last batch, parameters without gradients, penalties, a loss that is NaN, clipping, averages of
// weights, accumulated gradients, metrics and callbacks.

#include "support/files.hpp"
#include "support/training.hpp"

#include <functional>
#include <memory>

namespace xtape::test {

/// Rows of examples of unequal length, one after the other.
struct Rows {
  Array<double> x, y;
  bool first = false;  // the examples include number 0
};

inline constexpr std::size_t kExamples = 19;  // batches of 8, 8 and 3

inline Rows rows_of(std::span<const std::size_t> examples, std::size_t not_a_number) {
  std::vector<std::pair<std::size_t, std::size_t>> rows;  // the example, and a number within it
  for (const std::size_t example : examples) {
    for (std::size_t k = 0; k <= example % 4; ++k) rows.emplace_back(example, k);
  }
  Rows r{Array<double>(Shape{rows.size(), 3}), Array<double>(Shape{rows.size(), 1})};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto [example, k] = rows[i];
    const Array<double> x = random_array<double>({3}, 31 * example + k);
    std::copy(x.begin(), x.end(), &r.x(i, 0));
    r.y(i, 0) = x(0) - 2 * x(1) * x(2);
    if (example == not_a_number) r.y(i, 0) = std::nan("");
    r.first = r.first || example == 0;
  }
  return r;
}

inline std::unique_ptr<Optimizer<double>> optimizer_named(const std::string& name,
                                                          const OptimizerOptions& common) {
  using T = double;
  if (name == "SGD") {
    return std::make_unique<SGD<T>>(SGD<T>::Options{.learning_rate = 0.05, .momentum = 0.9},
                                    common);
  }
  if (name == "AdamW") return std::make_unique<AdamW<T>>(AdamW<T>::Options{}, common);
  if (name == "Adamax") return std::make_unique<Adamax<T>>(Adamax<T>::Options{}, common);
  if (name == "Nadam") return std::make_unique<Nadam<T>>(Nadam<T>::Options{}, common);
  if (name == "Lamb") return std::make_unique<Lamb<T>>(Lamb<T>::Options{}, common);
  if (name == "Lion") return std::make_unique<Lion<T>>(Lion<T>::Options{}, common);
  if (name == "Adagrad") return std::make_unique<Adagrad<T>>(Adagrad<T>::Options{}, common);
  if (name == "Adadelta") return std::make_unique<Adadelta<T>>(Adadelta<T>::Options{}, common);
  if (name == "RMSprop") return std::make_unique<RMSprop<T>>(RMSprop<T>::Options{}, common);
  if (name == "Adafactor") return std::make_unique<Adafactor<T>>(Adafactor<T>::Options{}, common);
  return std::make_unique<Adam<T>>(Adam<T>::Options{.learning_rate = 0.02, .amsgrad = true},
                                   common);
}

struct ShardedRun {
  std::int64_t shards = 1;
  std::string optimizer = "Adam";
  OptimizerOptions common = {.use_ema = true, .ema_momentum = 0.9};
  double dropout = 0.25;
  bool weights = true;  // of shards
  bool penalties = true;
  bool spare = true;              // a layer that few shards call
  bool built = true;              // also that layer
  std::size_t not_a_number = 13;  // the example whose loss is NaN
  std::optional<double> clip_norm = 0.5;
  std::int64_t epochs = 2;
  std::int64_t save_steps = 0;
  bool resume = false;
  std::int64_t verify_steps = 100;
  std::uint64_t seed = 5;
  std::map<std::string, std::string> configuration = {};
  const StopSignals* signals = nullptr;
  std::function<void(Run&)> after_batch = {};
  std::function<void(const Rows&)> in_step = {};
};

struct ShardedOutcome {
  History history;
  std::map<std::string, Array<double>> weights;
  std::string checkpoint, csv;
  std::vector<std::string> said;
};

/// Trains in this folder, as a rank of a team if there is one.
inline ShardedOutcome train(const ShardedRun& run, const std::string& folder,
                            Team* team = nullptr) {
  Params<double> params{ParamsOptions{3}};
  const Dense<double> hidden(
      params.scope() / "hidden",
      {.units = 5,
       .activation = "tanh",
       .kernel_regularizer = run.penalties ? Regularizer<double>("l2") : Regularizer<double>{},
       .activity_regularizer = run.penalties ? Regularizer<double>("l2") : Regularizer<double>{}});
  const Dense<double> spare(params.scope() / "spare", {.units = 1});
  const Dense<double> unused(params.scope() / "unused", {.units = 1});
  const Dropout<double> dropout({.rate = run.dropout});
  const Dense<double> output(params.scope() / "output", {.units = 1});
  const Var<double> one(Array<double>(Shape{1, 3}, 1.0));
  if (run.built) static_cast<void>(spare(one));
  static_cast<void>(unused(one));
  const auto optimizer = optimizer_named(run.optimizer, run.common);
  Checkpoints checkpoints(folder + "/run", {.keep = 2});
  Mean error("error");
  EditDistance words;
  const auto step = [&](Tape<double>& tape, const Rows& rows) {
    if (run.in_step) run.in_step(rows);
    const Var<double> x = tape.input(rows.x);
    Var<double> y = output(dropout(hidden(x)));
    if (rows.first && run.spare) y = y + spare(x);  // in one shard of an epoch
    const Var<double> loss = mean_squared_error(y, Var<double>(rows.y));
    error.update(y.value());
    words.update(std::vector<std::string>{y.value()(0, 0) > 0 ? "a" : "b"}, {{"a"}});
    const auto count = static_cast<double>(rows.x.shape()[0]);
    if (!run.weights) return StepResult<double>(loss);
    return StepResult<double>(loss, count, count);
  };
  const auto batches = [&](std::size_t nan, bool shuffle) {
    return Batches<Rows>(kExamples, {.batch_size = 8, .shuffle = shuffle, .seed = 9},
                         [nan](std::span<const std::size_t> i) { return rows_of(i, nan); });
  };
  CSVLogger csv({.path = folder + "/log.csv"});
  ReduceLROnPlateau plateau({.monitor = "val_loss", .patience = 1, .min_delta = 0.5});
  LambdaCallback after({.on_train_batch_end = [&](Run& r, std::int64_t, const Logs&) {
    if (run.after_batch) run.after_batch(r);
  }});
  TensorBoard board({.log_dir = folder + "/events"});
  Said said;
  ShardedOutcome out;
  out.history = fit(params, *optimizer, batches(run.not_a_number, true), step,
                    {.epochs = run.epochs,
                     .validation = {batches(kExamples, false), step},
                     .metrics = {&error, &words},
                     .callbacks = {&csv, &plateau, &board, &after},
                     .clip_norm = run.clip_norm,
                     .allow_missing = true,
                     .seed = run.seed,
                     .progress = silent(),
                     .message = said.sink(),
                     .checkpoints = &checkpoints,
                     .save_steps = run.save_steps,
                     .resume = run.resume,
                     .configuration = run.configuration,
                     .signals = run.signals,
                     .shards = run.shards,
                     .team = team,
                     .verify_steps = run.verify_steps});
  out.weights = params.values();
  if (!checkpoints.files().empty()) out.checkpoint = read_text(checkpoints.files().back());
  if (team == nullptr || team->lead()) out.csv = read_text(folder + "/log.csv");
  out.said = said.texts;
  return out;
}

}  // namespace xtape::test
