#include <xtape/io/event_writer.hpp>
#include <xtape/run/callbacks.hpp>

#include "base/check.hpp"
#include "run/state.hpp"

namespace xtape {

constexpr const char* kTensorBoard = "TensorBoard";

TensorBoard::TensorBoard(Options options) : options_(std::move(options)) {
  if (options_.log_dir.empty()) {
    detail::fail<ValueError>(kTensorBoard,
                             "no folder: log_dir is '', expected a name as 'logs/run1'");
  }
  detail::check_whole(kTensorBoard, "update_freq", options_.update_freq,
                      "a number of batches, or 0 for epochs only");
  detail::check_whole(kTensorBoard, "histogram_freq", options_.histogram_freq,
                      "a number of epochs, or 0 for never");
}

TensorBoard::~TensorBoard() = default;

// A writer is made at its first record, so that there is no empty folder "validation". A resumed run
// writes some records again: the same points by batch, and by epoch the old ones are hidden.
EventWriter& TensorBoard::train(const Run& run) {
  if (!train_) {
    EventWriterOptions options;
    if (run.resumed() && options_.update_freq == 0) options.purge_step = run.epoch();
    train_ = std::make_unique<EventWriter>(options_.log_dir + "/train", options);
  }
  return *train_;
}

EventWriter& TensorBoard::validation() {
  if (!validation_) validation_ = std::make_unique<EventWriter>(options_.log_dir + "/validation");
  return *validation_;
}

void TensorBoard::on_train_begin(Run& run) {
  train_.reset();
  validation_.reset();
  test_batches_ = 0;
  lead_ = run.lead();
  if (!lead_) return;
  train(run);  // an unwritable folder is found out now
}

void TensorBoard::on_train_batch_end(Run& run, std::int64_t, const Logs& logs) {
  if (!lead_ || options_.update_freq == 0 || run.step() % options_.update_freq != 0) return;
  for (const auto& [name, value] : logs) train(run).scalar("batch_" + name, value, run.step());
}

void TensorBoard::on_test_batch_end(Run&, std::int64_t, const Logs& logs) {
  ++test_batches_;
  if (!lead_ || options_.update_freq == 0 || test_batches_ % options_.update_freq != 0) return;
  for (const auto& [name, value] : logs) {
    validation().scalar("batch_" + name, value, test_batches_);
  }
}

void TensorBoard::on_test_end(Run& run, const Logs& logs) {
  if (!lead_) return;
  for (const auto& [name, value] : logs) {
    validation().scalar("evaluation_" + name + "_vs_iterations", value, run.iterations());
  }
}

void TensorBoard::on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) {
  if (!lead_) return;
  bool rate_written = false;
  for (const auto& [name, value] : logs) {
    if (name.starts_with("val_")) {
      validation().scalar("epoch_" + name.substr(4), value, epoch);
    } else {
      train(run).scalar("epoch_" + name, value, epoch);
      rate_written = rate_written || name == "learning_rate";
    }
  }
  if (!logs.empty() && !rate_written) {
    train(run).scalar("epoch_learning_rate", run.learning_rate(), epoch);
  }
  if (options_.histogram_freq > 0 && epoch % options_.histogram_freq == 0) {
    run.write_histograms(train(run), epoch);
  }
}

void TensorBoard::on_train_end(Run&, const Logs&) {
  if (train_) train_->flush();
  if (validation_) validation_->flush();
  train_.reset();
  validation_.reset();
}

void TensorBoard::save(TrainingProgress& progress) const {
  detail::put_count(progress, "test_batches", test_batches_);
}

void TensorBoard::load(const TrainingProgress& progress) {
  test_batches_ = detail::count_in(progress, kTensorBoard, "test_batches");
}

}  // namespace xtape
