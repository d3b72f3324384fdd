#pragma once
/// \file
/// fit: trains over epochs, with validation, reports, callbacks and checkpoints.
///
///     auto step = [&](Tape<float>& tape, const Batch& batch) {
///       auto prediction = model(tape.input(batch.x));
///       accuracy.update(prediction, batch.labels);
///       return sparse_categorical_crossentropy(prediction, batch.labels);
///     };
///     History history = fit(params, adam, batches, step,
///                           {.epochs = 10, .validation = {held_out, step}, .metrics = {&accuracy}});

#include <xtape/optim/optimizer.hpp>
#include <xtape/run/callback.hpp>
#include <xtape/run/progress_bar.hpp>
#include <xtape/run/source.hpp>
#include <xtape/run/team.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace xtape {

class Checkpoints;
class StopSignals;

/// Options of fit.
template <class T> struct FitOptions {
  std::int64_t epochs = 1;  ///< the number of epochs, those before initial_epoch too; 0 or more
  std::int64_t initial_epoch = 0;                     ///< epochs to leave out at the beginning
  std::optional<std::int64_t> steps_per_epoch = {};   ///< limits the batches; positive
  Validation<T> validation = {};                      ///< batches and step of the validation
  std::int64_t validation_freq = 1;                   ///< epochs between validations; positive
  std::optional<std::int64_t> validation_steps = {};  ///< limits the batches; positive
  /// Reset at the beginning of each epoch and of each validation; the step updates them.
  std::vector<Metric*> metrics = {};
  std::vector<Callback*> callbacks = {};  ///< called in this order
  std::optional<double> clip_norm = {};   ///< limits the norm of all gradients; positive
  bool allow_missing = false;             ///< see StepOptions
  bool log_optimizer = true;      ///< "learning_rate" and "gradient_norm" are among the logs
  std::uint64_t seed = 0;         ///< of the tape: dropout
  bool check_finite = false;      ///< see TapeOptions
  ProgressOptions progress = {};  ///< style and stream of the reports
  Messages message = {};          ///< unset: the standard error output

  Checkpoints* checkpoints = nullptr;  ///< unset: nothing is saved
  std::int64_t save_steps = 0;         ///< batches between checkpoints; 0: none
  std::int64_t save_epochs = 1;        ///< epochs between checkpoints; 0: at the end alone
  std::string best_monitor = "";       ///< the number that decides which epoch is saved as the best
  MonitorMode best_mode = MonitorMode::automatic;  ///< whether less or more is better
  bool resume = false;                             ///< continues from the newest checkpoint, if any
  /// Options and hashes of data, by name. Checkpoints hold them, and a resumed run must have the same:
  /// ValueError naming each that differs, before anything is loaded.
  std::map<std::string, std::string> configuration = {};
  const StopSignals* signals = nullptr;  ///< after a signal: finishes the step, saves, returns
  /// Parts of each batch that are computed one after the other, with their gradients added: memory
  /// falls with them. 1 or more; above 1 the batches must be a ShardedSource, as Batches are.
  std::int64_t shards = 1;
  /// Ranks that share the shards, at most as many as there are shards. Each calls fit with the same
  /// options, and has the same model afterwards.
  Team* team = nullptr;
  std::int64_t verify_steps = 100;  ///< between comparisons of the ranks' weights; positive
};

/// Options of evaluate.
struct EvaluateOptions {
  std::vector<Metric*> metrics = {};       ///< reset at the beginning; the step updates them
  std::optional<std::int64_t> steps = {};  ///< limits the batches; positive
  ProgressOptions progress = {.style = ProgressStyle::none};  ///< style and stream of the reports
  Team* team = nullptr;  ///< ranks that share the batches; the result is the same on all
};

namespace detail {

template <class T>
History fit(Params<T>& params, Optimizer<T>& optimizer, Feed<T>& feed, FitOptions<T> options);
template <class T>
Logs evaluate(const Params<T>& params, Feed<T>& feed, const EvaluateOptions& options);

}  // namespace detail

/// Trains, and returns the logs of each epoch. `step(tape, batch)` calls the model on values of the
/// tape, updates metrics, and returns the loss or a StepResult. For each batch fit adds the penalties
/// (the step must not), runs backward, clips, and calls the optimizer. All steps use one tape. fit skips
/// the update of a loss or of gradients that are not finite, with one message per run.
///
/// The loss of an epoch is the weighted mean over its batches. Validation runs the step without
/// recording or training on the batches of epoch 0; its numbers begin with "val_". With use_ema the
/// weights are the averages at the end, also after an exception, and in validations and on_epoch_end:
/// the numbers are those of the weights that the training would end with.
///
/// A run resumed by `resume` or BackupAndRestore ends with the bits of an uninterrupted one, given the
/// same options, callbacks, batches and metrics of xtape. Checkpoints are saved before averages or best
/// weights are put in place, so that more epochs may follow. A run that a callback stopped stays stopped.
///
/// With more than one shard the step gets shards of a batch. The loss and the gradients of the batch are
/// means over its shards by their weights, to which the penalties of weights are added once. Metrics are
/// merged in the order of shards, so they need a state(). Dropout depends on the number of the step and
/// of the shard. The count of shards is part of the result, and of checkpoints.
///
/// The ranks of a team compute their shards and add the gradients along one tree, so weights, history and
/// checkpoints have the bits of one process with the same shards. Each rank validates a part of the
/// batches. Callbacks run on every rank; the hooks of single batches of a validation come after the pass.
/// Rank 0 alone reads and writes checkpoints, reports, and sends messages (Run::lead). A signal to any
/// rank stops all after the same step. At the start ranks compare program, options, order of the data and
/// weights, and refuse to differ. An exception on one rank ends the team (Team::fail).
///
/// ValueError for options out of range, before any work; for ranks that differ; for shards of different
/// sizes without weights; for no batches, or fewer than steps() says. TapeError for a loss without
/// gradients, ShapeError for one that is no scalar. Errors of checkpoints as restore() and save().
/// TeamError. Exceptions of a step or a callback pass through.
template <class T, class B, class Step>
History fit(Params<T>& params, Optimizer<T>& optimizer, B&& batches, Step&& step,
            std::type_identity_t<FitOptions<T>> options = {}) {
  const auto feed = detail::make_feed<T>(std::forward<B>(batches), std::forward<Step>(step));
  return detail::fit(params, optimizer, static_cast<detail::Feed<T>&>(*feed), std::move(options));
}

/// Returns the loss and the metrics on these batches, as validation does: without recording or dropout,
/// with penalties. Errors as fit.
template <class T, class B, class Step>
Logs evaluate(const Params<T>& params, B&& batches, Step&& step,
              const EvaluateOptions& options = {}) {
  const auto feed = detail::make_feed<T>(std::forward<B>(batches), std::forward<Step>(step));
  return detail::evaluate(params, static_cast<detail::Feed<T>&>(*feed), options);
}

}  // namespace xtape
