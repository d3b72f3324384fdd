#include <xtape/run/callbacks.hpp>

#include "base/check.hpp"
#include "base/numbers.hpp"
#include "io/file.hpp"
#include "run/path_pattern.hpp"
#include "run/state.hpp"

#include <filesystem>

namespace xtape {

constexpr const char* kModelCheckpoint = "ModelCheckpoint";

static std::string five_decimals(const std::optional<double>& value) {
  return value ? detail::fixed(*value, 5) : "None";
}

ModelCheckpoint::ModelCheckpoint(Options options)
    : options_(std::move(options)), monitor_(kModelCheckpoint, options_.monitor, options_.mode) {
  const std::string& path = options_.path;
  const bool good =
      path.ends_with(".safetensors") || (options_.save_weights_only && path.ends_with(".npz"));
  if (!good) {
    detail::fail<ValueError>(
        kModelCheckpoint, "ending unknown: path is '", path, "', expected .safetensors",
        options_.save_weights_only ? " or .npz" : "; .npz is for save_weights_only");
  }
  detail::check_path(kModelCheckpoint, path);
  detail::check_whole(kModelCheckpoint, "save_freq", options_.save_freq,
                      "a number of batches, or 0 for every epoch");
}

void ModelCheckpoint::on_train_begin(Run& run) {
  if (options_.save_best_only) {
    // As in Keras, the best remains the best in another fit.
    const std::optional<double> first =
        monitor_.best ? monitor_.best : options_.initial_value_threshold;
    monitor_.begin(run, first);
  }
  batches_ = 0;
}

void ModelCheckpoint::on_train_batch_end(Run& run, std::int64_t batch, const Logs& logs) {
  if (options_.save_freq == 0 || ++batches_ < options_.save_freq) return;
  batches_ = 0;
  save_model(run, run.epoch(), batch, logs);
}

void ModelCheckpoint::on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) {
  if (options_.save_freq == 0) save_model(run, epoch, std::nullopt, logs);
}

bool ModelCheckpoint::worth_saving(Run& run, std::int64_t epoch, const std::string& path,
                                   const Logs& logs) {
  const std::string begin = "Epoch " + std::to_string(epoch + 1) + ": ";
  if (!options_.save_best_only) {
    if (options_.verbose) run.say(begin + "saving model to " + path);
    return true;
  }
  const double* current = monitor_.find(run, logs);
  if (current == nullptr) return true;
  const std::string old = five_decimals(monitor_.best);
  if (!monitor_.better(*current, monitor_.best)) {
    if (options_.verbose) run.say(begin + options_.monitor + " did not improve from " + old);
    return false;
  }
  if (options_.verbose) {
    run.say(begin + options_.monitor + " improved from " + old + " to " + five_decimals(*current) +
            ", saving model to " + path);
  }
  monitor_.best = *current;
  return true;
}

void ModelCheckpoint::save_model(Run& run, std::int64_t epoch, std::optional<std::int64_t> batch,
                                 const Logs& logs) {
  Logs names = logs;
  names.set("epoch", static_cast<double>(epoch + 1));
  if (batch) names.set("batch", static_cast<double>(*batch + 1));
  const std::string path = detail::fill_path(kModelCheckpoint, options_.path, names);
  if (!worth_saving(run, epoch, path, logs)) return;
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (!folder.empty() && run.lead()) io::make_folder(folder);
  if (options_.save_weights_only) {
    run.save_weights(path);
  } else {
    run.save_soon(path);
  }
  last_path_ = path;
}

void ModelCheckpoint::save(TrainingProgress& progress) const {
  monitor_.save(progress);
  detail::put_count(progress, "batches", batches_);
}

void ModelCheckpoint::load(const TrainingProgress& progress) {
  batches_ = detail::count_in(progress, kModelCheckpoint, "batches");
  monitor_.load(progress);
}

}  // namespace xtape
