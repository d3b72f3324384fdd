// Callbacks that end a run.

#include <xtape/run/callbacks.hpp>

#include "base/check.hpp"
#include "run/state.hpp"
#include "run/weights_text.hpp"

namespace xtape {

constexpr const char* kEarlyStopping = "EarlyStopping";
constexpr const char* kBestWeights = "best_weights";

EarlyStopping::EarlyStopping(Options options)
    : options_(std::move(options)),
      monitor_(kEarlyStopping, options_.monitor, options_.mode, options_.min_delta) {
  detail::check_whole(kEarlyStopping, "patience", options_.patience);
  detail::check_whole(kEarlyStopping, "start_from_epoch", options_.start_from_epoch);
  if (options_.baseline) detail::check_number(kEarlyStopping, "baseline", *options_.baseline);
}

void EarlyStopping::on_train_begin(Run& run) {
  monitor_.begin(run);
  wait_ = stopped_epoch_ = best_epoch_ = 0;
  best_weights_.reset();
}

void EarlyStopping::on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) {
  const double* current = monitor_.find(run, logs);
  if (current == nullptr || epoch < options_.start_from_epoch) return;
  if (options_.restore_best_weights && !best_weights_) {
    best_weights_ = run.weights();
    best_epoch_ = epoch;
  }
  ++wait_;
  if (monitor_.better(*current, monitor_.best)) {
    monitor_.best = *current;
    best_epoch_ = epoch;
    if (options_.restore_best_weights) best_weights_ = run.weights();
    if (!options_.baseline || monitor_.better(*current, options_.baseline)) wait_ = 0;
    return;
  }
  if (wait_ >= options_.patience && epoch > 0) {
    stopped_epoch_ = epoch;
    run.stop();
  }
}

void EarlyStopping::on_train_end(Run& run, const Logs&) {
  if (stopped_epoch_ > 0 && options_.verbose) {
    run.say("Epoch " + std::to_string(stopped_epoch_ + 1) + ": early stopping");
  }
  if (!best_weights_) return;
  if (options_.verbose) {
    run.say("Restoring model weights from the end of the best epoch: " +
            std::to_string(best_epoch_ + 1) + ".");
  }
  run.set_weights(*best_weights_);
}

void EarlyStopping::save(TrainingProgress& progress) const {
  monitor_.save(progress);
  detail::put_count(progress, "wait", wait_);
  detail::put_count(progress, "stopped_epoch", stopped_epoch_);
  detail::put_count(progress, "best_epoch", best_epoch_);
  if (best_weights_) progress.texts[kBestWeights] = detail::to_text(*best_weights_);
}

void EarlyStopping::load(const TrainingProgress& progress) {
  const std::int64_t waited = detail::count_in(progress, kEarlyStopping, "wait");
  const std::int64_t stopped = detail::count_in(progress, kEarlyStopping, "stopped_epoch");
  const std::int64_t best = detail::count_in(progress, kEarlyStopping, "best_epoch");
  std::optional<Tensors> weights;
  if (const std::string* text = detail::text_in(progress, kBestWeights)) {
    weights =
        detail::from_text(*text, std::string(kEarlyStopping).append("/").append(kBestWeights));
  }
  monitor_.load(progress);
  wait_ = waited;
  stopped_epoch_ = stopped;
  best_epoch_ = best;
  best_weights_ = std::move(weights);
}

void TerminateOnNaN::on_train_batch_end(Run& run, std::int64_t batch, const Logs& logs) {
  const double* loss = logs.find("loss");
  if (loss == nullptr || std::isfinite(*loss)) return;
  if (options_.raise_error) {
    detail::fail<NonFiniteError>(
        "TerminateOnNaN", "loss is not finite: loss of batch ", batch, " is ", *loss,
        ", expected a finite number; find the operation with TapeOptions::check_finite");
  }
  run.say("Batch " + std::to_string(batch) + ": Invalid loss, terminating training");
  run.stop();
}

}  // namespace xtape
