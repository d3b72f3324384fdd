#include <xtape/run/callbacks.hpp>
#include <xtape/run/checkpoints.hpp>

#include "base/check.hpp"
#include "run/state.hpp"

#include <filesystem>

namespace xtape {

constexpr const char* kBackupAndRestore = "BackupAndRestore";

BackupAndRestore::BackupAndRestore(Options options) : options_(std::move(options)) {
  if (options_.backup_dir.empty()) {
    detail::fail<ValueError>(kBackupAndRestore, "no folder: backup_dir is '', expected a name");
  }
  detail::check_whole(kBackupAndRestore, "save_freq", options_.save_freq,
                      "a number of batches, or 0 for every epoch");
}

BackupAndRestore::~BackupAndRestore() = default;

Checkpoints& BackupAndRestore::checkpoints() {
  if (!checkpoints_) checkpoints_ = std::make_unique<Checkpoints>(options_.backup_dir);
  return *checkpoints_;
}

std::optional<TrainingProgress> BackupAndRestore::restore(Run& run) {
  auto progress = run.restore(checkpoints());
  for (const SkippedCheckpoint& skipped : checkpoints().skipped()) {
    run.say("passed over: " + skipped.reason);
  }
  return progress;
}

void BackupAndRestore::on_train_begin(Run&) { batches_ = 0; }

void BackupAndRestore::on_train_batch_end(Run& run, std::int64_t, const Logs&) {
  if (options_.save_freq == 0 || ++batches_ < options_.save_freq) return;
  batches_ = 0;
  run.save_soon(checkpoints());
}

void BackupAndRestore::on_epoch_end(Run& run, std::int64_t, Logs&) {
  if (options_.save_freq == 0) run.save_soon(checkpoints());
}

// Removes the checkpoints, and the folder when it is empty.
void BackupAndRestore::on_train_end(Run& run, const Logs&) {
  if (!options_.delete_checkpoint || run.interrupted() || !run.lead()) return;
  std::error_code ignored;
  for (const std::string& path : checkpoints().files()) std::filesystem::remove(path, ignored);
  std::filesystem::remove(options_.backup_dir, ignored);
  checkpoints_.reset();
}

void BackupAndRestore::save(TrainingProgress& progress) const {
  detail::put_count(progress, "batches", batches_);
}

void BackupAndRestore::load(const TrainingProgress& progress) {
  batches_ = detail::count_in(progress, kBackupAndRestore, "batches");
}

}  // namespace xtape
