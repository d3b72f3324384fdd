#pragma once
/// \file
/// Checkpoints: files from which an interrupted training run continues with the same bits.
///
///     Checkpoints checkpoints("run", {.keep = 2});
///     TrainingProgress progress = checkpoints.restore(params, adam).value_or(TrainingProgress{});
///     Tape<float> tape({.training = true, .seed = progress.tape_seed});
///     tape.set_random_index(progress.random_index);
///     ...                                          // some steps
///     checkpoints.save(params, adam, progress);
///
/// A checkpoint is one safetensors file. Weights are named "params/<path>" and the optimizer's arrays
/// "optimizer/adam/m/<path>"; everything else is a text in the metadata. A CRC-32C over the whole file
/// detects damage. The same state gives the same bytes. Files appear complete or not at all, as those of
/// <xtape/io/tensors.hpp>.

#include <xtape/optim/optimizer.hpp>
#include <xtape/run/training_progress.hpp>

#include <functional>
#include <memory>
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

/// Sets the weights alone, to use a model or to train it with another optimizer: the averages where the
/// optimizer kept them (use_ema). The file may be of the other floating point type.
template <class T> TrainingProgress load_checkpoint(const std::string& path, Params<T>& params);

/// A checkpoint that restore() could not load.
struct SkippedCheckpoint {
  std::string path;    ///< the file
  std::string reason;  ///< why it was not taken
};

/// Options of Checkpoints.
struct CheckpointsOptions {
  std::size_t keep = 2;  ///< the number of newest files to keep, beside the best; 1 or more
};

/// The checkpoints of one run, in a folder of their own: "checkpoint-00000017.safetensors", numbered
/// as they are saved, and "best.safetensors". One process at a time may save there. Any may read.
class Checkpoints {
 public:
  /// Sees the path and the progress of a checkpoint before anything is loaded; may throw.
  using Check = std::function<void(const std::string& path, const TrainingProgress& progress)>;

  /// Makes a missing folder, and removes the temporaries of killed processes. ValueError
  /// for options out of range; IoError.
  explicit Checkpoints(std::string folder, CheckpointsOptions options = {});

  /// Locks the folder, as save() and fit do: until the object and its copies are gone, or the process
  /// ends, however it ends. IoError naming the process that has it. A file system without locks has none.
  void lock();

  /// Saves under the next number (the best under its name first), and then removes those no longer
  /// kept. Errors as save_checkpoint.
  template <class T>
  void save(const Params<T>& params, const Optimizer<T>& optimizer,
            const TrainingProgress& progress, bool is_best = false);

  /// Removes the numbered files and the best, and leaves everything else. IoError, also when another
  /// process has the lock.
  void clear();

  /// Loads the newest undamaged checkpoint; the best comes after the numbered ones. Returns nothing when
  /// there are none; skipped() lists those passed over. FormatError when none of them can be read, IoError when the system
  /// refused all; ParameterError when the newest readable one has another model or optimizer. Exceptions of `check`
  /// pass through.
  template <class T>
  std::optional<TrainingProgress> restore(Params<T>& params, Optimizer<T>& optimizer,
                                          const Check& check = {});

  /// Loads the best, if one was saved. Errors as load_checkpoint.
  template <class T>
  std::optional<TrainingProgress> restore_best(Params<T>& params, Optimizer<T>& optimizer) const;
  /// The same for the weights alone.
  template <class T> std::optional<TrainingProgress> restore_best(Params<T>& params) const;

  /// The files that the last restore() passed over, newest first, and the reasons.
  [[nodiscard]] const std::vector<SkippedCheckpoint>& skipped() const noexcept { return skipped_; }
  /// The file that the last restore() loaded.
  [[nodiscard]] const std::string& restored() const noexcept { return restored_; }
  /// The numbered files, oldest first.
  [[nodiscard]] std::vector<std::string> files() const;
  /// The path of the best.
  [[nodiscard]] std::string best_file() const;

 private:
  void remove_old() const;
  void remove(const std::string& path) const;

  std::string folder_;
  std::shared_ptr<const void> lock_;
  CheckpointsOptions options_;
  std::vector<SkippedCheckpoint> skipped_;
  std::string restored_;
};

}  // namespace xtape
