#pragma once
/// \file
/// Checkpoints: files from which an interrupted training run goes on as if nothing had happened.
///
///     Checkpoints checkpoints("run", {.keep = 2});
///     TrainingProgress progress = checkpoints.restore(params, adam).value_or(TrainingProgress{});
///     Tape<float> tape({.training = true, .seed = progress.tape_seed});
///     tape.set_random_index(progress.random_index);
///     ...                                          // some steps
///     checkpoints.save(params, adam, progress);
///
/// A checkpoint is one safetensors file. Weights are named "params/<path>" and the optimizer's arrays
/// "optimizer/adam/m/<path>", as any reader of safetensors shows them; everything else is a text in
/// the metadata. A CRC-32C over the whole file tells a damaged one. The same state gives the same
/// bytes. Files appear complete or not at all (see io.hpp).

#include <xtape/optim/optimizer.hpp>
#include <xtape/run/training_progress.hpp>

#include <optional>
#include <string>
#include <vector>

namespace xtape {

/// Writes weights, the optimizer's state and progress to `path`, atomically. ParameterError when a
/// parameter is not built or loaded values wait for their layer; ValueError for negative counts and
/// for texts that are not UTF-8; IoError, and the previous file is unchanged.
template <class T>
void save_checkpoint(const std::string& path, const Params<T>& params,
                     const Optimizer<T>& optimizer, const TrainingProgress& progress);

/// Sets weights and optimizer from a checkpoint. The layers may be built, made, or not made yet: then
/// values wait and the first call checks them, as after load(). ParameterError lists all names that
/// are missing, unexpected or of another shape, also for an optimizer of another kind or with other
/// options. FormatError for a damaged file and what is no checkpoint;
/// IoError. When anything is thrown, neither weights nor optimizer have changed.
template <class T>
TrainingProgress load_checkpoint(const std::string& path, Params<T>& params,
                                 Optimizer<T>& optimizer);

/// The same for the weights alone, whatever optimizer made them: to use a model, or to train it anew.
/// The file may be of the other floating point type.
template <class T>
TrainingProgress load_checkpoint(const std::string& path, Params<T>& params);

/// A checkpoint that restore() could not take.
struct SkippedCheckpoint {
  std::string path;
  std::string reason;
};

struct CheckpointsOptions {
  std::size_t keep = 2;  ///< so many of the newest stay, at least one; the best stays beside them
};

/// The checkpoints of one run, in a folder of their own: "checkpoint-00000017.safetensors", numbered
/// as they are saved, and "best.safetensors". For one process at a time.
class Checkpoints {
 public:
  /// Makes the folder if it is not there, and removes what a killed process was writing. ValueError
  /// for options out of range; IoError.
  explicit Checkpoints(std::string folder, CheckpointsOptions options = {});

  /// Saves under the next number (the best under its name first), and then removes those no longer
  /// kept. Errors as save_checkpoint.
  template <class T>
  void save(const Params<T>& params, const Optimizer<T>& optimizer,
            const TrainingProgress& progress, bool is_best = false);

  /// Loads the newest checkpoint that is undamaged; after the numbered ones comes the best. Nothing when
  /// there are none. skipped() tells of those passed over. FormatError when there are some and none can
  /// be read; ParameterError when the newest that can be is of another model or optimizer.
  template <class T>
  std::optional<TrainingProgress> restore(Params<T>& params, Optimizer<T>& optimizer);

  /// Loads the best; nothing when none was saved. Errors as load_checkpoint.
  template <class T>
  std::optional<TrainingProgress> restore_best(Params<T>& params, Optimizer<T>& optimizer) const;
  /// The same for the weights alone.
  template <class T>
  std::optional<TrainingProgress> restore_best(Params<T>& params) const;

  /// What the last restore() passed over, newest first, and why.
  [[nodiscard]] const std::vector<SkippedCheckpoint>& skipped() const noexcept { return skipped_; }
  /// The numbered files, oldest first.
  [[nodiscard]] std::vector<std::string> files() const;
  /// Where the best is, or will be.
  [[nodiscard]] std::string best_file() const;

 private:
  void remove_old() const;

  std::string folder_;
  CheckpointsOptions options_;
  std::vector<SkippedCheckpoint> skipped_;
};

}  // namespace xtape
