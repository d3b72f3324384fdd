#pragma once
/// \file
/// Keras's callbacks: names, options, defaults and behaviour are Keras's unless a comment says
/// otherwise. Constructors throw ValueError for options out of range. Checkpoints keep their state, so a
/// resumed run ends as an uninterrupted one.

#include <xtape/run/callback.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace xtape {

/// Stops when the monitored number has not improved for `patience` epochs, but not after the first
/// epoch. The count starts again only when a number is better than the best and the baseline. Another
/// fit may use the object again.
class EarlyStopping final : public Callback {
 public:
  /// Options, with their defaults.
  struct Options {
    std::string monitor = "val_loss";  ///< name of the watched number
    double min_delta = 0;              ///< less is no improvement; its sign does not matter
    std::int64_t patience = 0;         ///< 0 or more; 0 is as 1
    MonitorMode mode = MonitorMode::automatic;  ///< whether less or more is better
    std::optional<double> baseline = {};        ///< what must be reached to count as better
    bool restore_best_weights =
        false;  ///< at the end, also where none was better than the baseline
    std::int64_t start_from_epoch = 0;  ///< 0 or more; before it nothing is watched
    bool verbose = false;               ///< whether to write a message
  };
  /// ValueError for options out of range.
  explicit EarlyStopping(Options options);
  EarlyStopping() : EarlyStopping(Options()) {}

  /// The epoch after which it stopped, or 0.
  [[nodiscard]] std::int64_t stopped_epoch() const noexcept { return stopped_epoch_; }
  /// Returns the epoch with the best value.
  [[nodiscard]] std::int64_t best_epoch() const noexcept { return best_epoch_; }
  /// Returns the number of epochs without improvement.
  [[nodiscard]] std::int64_t wait() const noexcept { return wait_; }
  /// Returns the best value so far, if any.
  [[nodiscard]] const std::optional<double>& best() const noexcept { return monitor_.best; }

  void on_train_begin(Run& run) override;
  void on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) override;
  void on_train_end(Run& run, const Logs& logs) override;
  [[nodiscard]] std::string name() const override { return "EarlyStopping"; }
  void save(TrainingProgress& progress) const override;
  void load(const TrainingProgress& progress) override;

 private:
  Options options_;
  Monitor monitor_;
  std::int64_t wait_ = 0, stopped_epoch_ = 0, best_epoch_ = 0;
  std::optional<Tensors> best_weights_;
};

/// Stops when the loss is NaN or infinite. fit skips the update of that batch, so the weights stay
/// finite.
class TerminateOnNaN final : public Callback {
 public:
  /// Options, with their defaults.
  struct Options {
    bool raise_error = false;  ///< throw NonFiniteError instead
  };
  /// Makes the callback.
  explicit TerminateOnNaN(Options options) : options_(options) {}
  TerminateOnNaN() = default;
  void on_train_batch_end(Run& run, std::int64_t batch, const Logs& logs) override;
  [[nodiscard]] std::string name() const override { return "TerminateOnNaN"; }

 private:
  Options options_;
};

/// Multiplies the learning rate by `factor` when the monitored number has not improved for `patience`
/// epochs, then waits for `cooldown` epochs. Puts "learning_rate" into the logs. Training begins with a
/// ValueError when the optimizer has a schedule.
class ReduceLROnPlateau final : public Callback {
 public:
  /// Options, with their defaults.
  struct Options {
    std::string monitor = "val_loss";           ///< name of the watched number
    double factor = 0.1;                        ///< above 0 and below 1
    std::int64_t patience = 10;                 ///< 0 or more
    MonitorMode mode = MonitorMode::automatic;  ///< whether less or more is better
    double min_delta = 1e-4;                    ///< less is no improvement
    std::int64_t cooldown = 0;                  ///< 0 or more
    double min_lr = 0;                          ///< 0 or more
    bool verbose = false;                       ///< whether to write a message
  };
  /// ValueError for options out of range.
  explicit ReduceLROnPlateau(Options options);
  ReduceLROnPlateau() : ReduceLROnPlateau(Options()) {}

  void on_train_begin(Run& run) override;
  void on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) override;
  [[nodiscard]] std::string name() const override { return "ReduceLROnPlateau"; }
  void save(TrainingProgress& progress) const override;
  void load(const TrainingProgress& progress) override;

 private:
  Options options_;
  Monitor monitor_;
  std::int64_t wait_ = 0, cooldown_ = 0;
};

/// Sets the learning rate at the beginning of each epoch to function(epoch, rate). Puts
/// "learning_rate" into the logs. ValueError when the optimizer has a schedule, and for a rate that is
/// not positive and finite.
class LearningRateScheduler final : public Callback {
 public:
  /// A function of the epoch and the rate before it.
  using Function = std::function<double(std::int64_t epoch, double rate)>;
  /// Sets the rate that the function returns before each epoch.
  explicit LearningRateScheduler(Function function, bool verbose = false);
  void on_train_begin(Run& run) override;
  void on_epoch_begin(Run& run, std::int64_t epoch) override;
  void on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) override;
  [[nodiscard]] std::string name() const override { return "LearningRateScheduler"; }

 private:
  Function function_;
  bool verbose_;
};

/// Saves during training. The path has placeholders: "{epoch:02d}" and "{batch}", which count from 1,
/// and the names of the logs, as in "{val_loss:.2f}". Makes missing folders.
class ModelCheckpoint final : public Callback {
 public:
  /// Options, with their defaults.
  struct Options {
    std::string path = {};             ///< required; ends in .safetensors, or .npz for weights only
    std::string monitor = "val_loss";  ///< name of the watched number
    bool save_best_only = false;       ///< saves with a message when the number is missing
    bool save_weights_only = false;    ///< as save() does; otherwise as save_checkpoint() does
    MonitorMode mode = MonitorMode::automatic;  ///< whether less or more is better
    std::int64_t save_freq = 0;  ///< 0: after every epoch; otherwise after so many batches
    std::optional<double> initial_value_threshold = {};  ///< the best before the first
    bool verbose = false;                                ///< whether to write a message
  };
  /// ValueError for options out of range.
  explicit ModelCheckpoint(Options options);

  /// Returns the best value so far, if any.
  [[nodiscard]] const std::optional<double>& best() const noexcept { return monitor_.best; }
  /// The path of the last save by this process, or empty.
  [[nodiscard]] const std::string& last_path() const noexcept { return last_path_; }

  void on_train_begin(Run& run) override;
  void on_train_batch_end(Run& run, std::int64_t batch, const Logs& logs) override;
  void on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) override;
  [[nodiscard]] std::string name() const override { return "ModelCheckpoint"; }
  void save(TrainingProgress& progress) const override;
  void load(const TrainingProgress& progress) override;

 private:
  void save_model(Run& run, std::int64_t epoch, std::optional<std::int64_t> batch,
                  const Logs& logs);
  bool worth_saving(Run& run, std::int64_t epoch, const std::string& path, const Logs& logs);

  Options options_;
  Monitor monitor_;
  std::int64_t batches_ = 0;  // since the last was saved
  std::string last_path_;
};

/// Writes a line of comma-separated values per epoch: the epoch, from 0, and the logs by name. The first
/// epoch decides the columns; without validation "val_" columns are added. Missing numbers are "NA".
/// Lines end in a line feed (in Keras also a carriage return).
class CSVLogger final : public Callback {
 public:
  /// Options, with their defaults.
  struct Options {
    std::string path = {};  ///< required
    char separator = ',';   ///< no quote and no line end
    bool append = false;    ///< to an existing file, without a second header
  };
  /// ValueError for options out of range.
  explicit CSVLogger(Options options);
  ~CSVLogger() override;
  CSVLogger(const CSVLogger&) = delete;
  CSVLogger& operator=(const CSVLogger&) = delete;

  /// IoError when the file cannot be written.
  void on_train_begin(Run& run) override;
  void on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) override;
  void on_train_end(Run& run, const Logs& logs) override;
  [[nodiscard]] std::string name() const override { return "CSVLogger"; }
  void save(TrainingProgress& progress) const override;
  /// Removes the lines that will be written again.
  void load(const TrainingProgress& progress) override;

 private:
  struct File;
  Options options_;
  std::unique_ptr<File> file_;
  std::optional<std::vector<std::string>> keys_;
  bool header_ = true;
};

/// Writes the logs for TensorBoard, as "epoch_<name>" and "batch_<name>". Training and learning rate go
/// to the folder's train/, validation to its validation/, also as "evaluation_<name>_vs_iterations".
class TensorBoard final : public Callback {
 public:
  /// Options, with their defaults.
  struct Options {
    std::string log_dir = "logs";     ///< folder of the event files
    std::int64_t update_freq = 0;     ///< batches between "batch_" records; 0: none
    std::int64_t histogram_freq = 0;  ///< epochs between histograms of the weights; 0: none
  };
  /// ValueError for options out of range.
  explicit TensorBoard(Options options);
  TensorBoard() : TensorBoard(Options()) {}
  ~TensorBoard() override;
  TensorBoard(const TensorBoard&) = delete;
  TensorBoard& operator=(const TensorBoard&) = delete;

  void on_train_begin(Run& run) override;
  void on_train_batch_end(Run& run, std::int64_t batch, const Logs& logs) override;
  void on_test_batch_end(Run& run, std::int64_t batch, const Logs& logs) override;
  void on_test_end(Run& run, const Logs& logs) override;
  void on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) override;
  void on_train_end(Run& run, const Logs& logs) override;
  [[nodiscard]] std::string name() const override { return "TensorBoard"; }
  void save(TrainingProgress& progress) const override;
  void load(const TrainingProgress& progress) override;

 private:
  EventWriter& train(const Run& run);
  EventWriter& validation();

  Options options_;
  std::unique_ptr<EventWriter> train_, validation_;
  std::int64_t test_batches_ = 0;
  bool lead_ = true;  // this rank writes
};

/// Saves during training. A run that starts again after an interruption continues at the saved batch,
/// with the same bits. The end of training removes the checkpoints.
class BackupAndRestore final : public Callback {
 public:
  /// Options, with their defaults.
  struct Options {
    std::string backup_dir = {};    ///< required
    std::int64_t save_freq = 0;     ///< 0: after every epoch; otherwise after so many batches
    bool delete_checkpoint = true;  ///< at the end, unless a signal ended the run
  };
  /// ValueError for options out of range.
  explicit BackupAndRestore(Options options);
  ~BackupAndRestore() override;
  BackupAndRestore(const BackupAndRestore&) = delete;
  BackupAndRestore& operator=(const BackupAndRestore&) = delete;

  std::optional<TrainingProgress> restore(Run& run) override;
  void on_train_begin(Run& run) override;
  void on_train_batch_end(Run& run, std::int64_t batch, const Logs& logs) override;
  void on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) override;
  void on_train_end(Run& run, const Logs& logs) override;
  [[nodiscard]] std::string name() const override { return "BackupAndRestore"; }
  void save(TrainingProgress& progress) const override;
  void load(const TrainingProgress& progress) override;

 private:
  Checkpoints& checkpoints();

  Options options_;
  std::unique_ptr<Checkpoints> checkpoints_;
  std::int64_t batches_ = 0;  // since the last was saved
};

/// Hooks from functions; unset ones do nothing.
class LambdaCallback final : public Callback {
 public:
  /// A hook that gets the run.
  using AtRun = std::function<void(Run&)>;
  /// A hook that gets an epoch or a batch.
  using AtIndex = std::function<void(Run&, std::int64_t)>;
  /// A hook after a batch.
  using AtBatchEnd = std::function<void(Run&, std::int64_t, const Logs&)>;
  /// A hook after an epoch, which may add to the logs.
  using AtEpochEnd = std::function<void(Run&, std::int64_t, Logs&)>;
  /// A hook at the end.
  using AtEnd = std::function<void(Run&, const Logs&)>;
  /// Options, with their defaults.
  struct Options {
    AtIndex on_epoch_begin = {};         ///< before each epoch
    AtEpochEnd on_epoch_end = {};        ///< after each epoch
    AtRun on_train_begin = {};           ///< before the first epoch
    AtEnd on_train_end = {};             ///< after the last epoch
    AtIndex on_train_batch_begin = {};   ///< before each batch
    AtBatchEnd on_train_batch_end = {};  ///< after each batch
    AtRun on_test_begin = {};            ///< before a validation
    AtEnd on_test_end = {};              ///< after a validation
    AtIndex on_test_batch_begin = {};    ///< before each of its batches
    AtBatchEnd on_test_batch_end = {};   ///< after each of its batches
  };
  /// Makes a callback of these functions.
  explicit LambdaCallback(Options options) : options_(std::move(options)) {}

  void on_train_begin(Run& run) override { call(options_.on_train_begin, run); }
  void on_train_end(Run& run, const Logs& logs) override { call(options_.on_train_end, run, logs); }
  void on_epoch_begin(Run& run, std::int64_t epoch) override {
    call(options_.on_epoch_begin, run, epoch);
  }
  void on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) override {
    call(options_.on_epoch_end, run, epoch, logs);
  }
  void on_train_batch_begin(Run& run, std::int64_t batch) override {
    call(options_.on_train_batch_begin, run, batch);
  }
  void on_train_batch_end(Run& run, std::int64_t batch, const Logs& logs) override {
    call(options_.on_train_batch_end, run, batch, logs);
  }
  void on_test_begin(Run& run) override { call(options_.on_test_begin, run); }
  void on_test_end(Run& run, const Logs& logs) override { call(options_.on_test_end, run, logs); }
  void on_test_batch_begin(Run& run, std::int64_t batch) override {
    call(options_.on_test_batch_begin, run, batch);
  }
  void on_test_batch_end(Run& run, std::int64_t batch, const Logs& logs) override {
    call(options_.on_test_batch_end, run, batch, logs);
  }
  [[nodiscard]] std::string name() const override { return "LambdaCallback"; }

 private:
  template <class F, class... Args> static void call(const F& function, Args&&... args) {
    if (function) function(std::forward<Args>(args)...);
  }

  Options options_;
};

}  // namespace xtape
