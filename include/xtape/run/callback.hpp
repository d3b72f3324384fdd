#pragma once
/// \file
/// Callback: hooks at certain points of a training run. Run: the run as callbacks see it. fit calls the
/// hooks; a loop of your own does so with a RunOf<T> (run/run.hpp).

#include <xtape/io/tensors.hpp>
#include <xtape/metrics/metrics.hpp>
#include <xtape/run/history.hpp>
#include <xtape/run/training_progress.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace xtape {

class Checkpoints;
class EventWriter;
class Team;

/// Receives messages: "Epoch 7: early stopping", and warnings.
using Messages = std::function<void(const std::string&)>;

namespace detail {

/// ValueError for a metric that is null, or whose name is taken.
void check_metrics(const std::vector<Metric*>& metrics);

}  // namespace detail

/// Options of a run that callbacks see.
struct RunOptions {
  std::int64_t epochs = 1;                                ///< how many there will be
  std::vector<Metric*> metrics = {};                      ///< know whether more is better
  Messages message = {};                                  ///< unset: the standard error output
  std::map<std::string, std::string> configuration = {};  ///< see FitOptions
  Team* team = nullptr;                                   ///< the ranks that train together
};

/// A training run as callbacks see it, without the type of its numbers.
class Run {
 public:
  virtual ~Run() = default;
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// The present epoch, from 0.
  [[nodiscard]] std::int64_t epoch() const noexcept { return epoch_; }
  /// How many epochs there will be.
  [[nodiscard]] std::int64_t epochs() const noexcept { return options_.epochs; }
  /// The number of batches trained on.
  [[nodiscard]] std::int64_t step() const noexcept { return step_; }
  /// Whether the run continues from a checkpoint.
  [[nodiscard]] bool resumed() const noexcept { return resumed_; }
  /// Whether a signal ends the run early.
  [[nodiscard]] bool interrupted() const noexcept { return interrupted_; }
  /// Returns the metrics of the run.
  [[nodiscard]] const std::vector<Metric*>& metrics() const noexcept { return options_.metrics; }

  /// Ends the run after this batch and its epoch's validation, or after this epoch.
  void stop() noexcept { stopping_ = true; }
  /// Returns whether the run ends after this batch or epoch.
  [[nodiscard]] bool stopping() const noexcept { return stopping_; }
  /// Whether this rank writes files and prints: rank 0 of a team, or no team. Callbacks run on every
  /// rank and must decide alike.
  [[nodiscard]] bool lead() const noexcept;
  /// Sends a message to the user; not from the other ranks.
  void say(const std::string& text) const;

  /// The learning rate of the next step.
  [[nodiscard]] virtual double learning_rate() const = 0;
  /// ValueError unless positive and finite, and when the optimizer has a schedule.
  virtual void set_learning_rate(double rate) = 0;
  /// Whether the optimizer has a schedule.
  [[nodiscard]] virtual bool scheduled() const = 0;
  /// The number of updates of the optimizer.
  [[nodiscard]] virtual std::int64_t iterations() const = 0;
  /// Returns a copy of all weights; set_weights puts them back.
  [[nodiscard]] virtual Tensors weights() const = 0;
  /// Sets weights. Those not named keep their values, names without a layer wait for one. ShapeError for
  /// another shape.
  virtual void set_weights(const Tensors& weights) = 0;
  /// Writes the weights, as save(params, path).
  virtual void save_weights(const std::string& path) const = 0;
  /// Writes a histogram of each weight, as "<path>/histogram".
  virtual void write_histograms(EventWriter& events, std::int64_t step) const = 0;

  /// Saves a checkpoint after all callbacks of this batch or epoch, because their state is part of it.
  void save_soon(std::string path);
  /// Saves a checkpoint after this batch or epoch.
  void save_soon(Checkpoints& checkpoints, bool is_best = false);
  /// Loads the newest checkpoint; only from Callback::restore.
  virtual std::optional<TrainingProgress> restore(Checkpoints& checkpoints) = 0;

 protected:
  /// Is called by RunOf.
  explicit Run(RunOptions options);

  /// Throws ValueError unless the checkpoint has the configuration of this run.
  void check_configuration(const std::string& path, const TrainingProgress& progress) const;

  /// A save that was asked for.
  struct Request {
    /// The checkpoints, or null for a path.
    Checkpoints* checkpoints;  // or a path
    std::string path;          ///< the path without checkpoints
    bool is_best;              ///< whether it is the best so far
  };
  RunOptions options_;             ///< the options of the run
  std::vector<Request> requests_;  ///< saves that were asked for
  std::int64_t epoch_ = 0;         ///< from 0
  std::int64_t step_ = 0;          ///< from 0
  bool stopping_ = false;          ///< whether it ends after this batch or epoch
  bool interrupted_ = false;       ///< whether a signal ends it
  bool resumed_ = false;           ///< whether it continues another run
};

/// Base class of callbacks: define the hooks you need. Epochs and batches count from 0. An exception
/// from a hook ends the run.
class Callback {
 public:
  virtual ~Callback() = default;

  /// Called before the first epoch.
  virtual void on_train_begin(Run&) {}
  /// Called unless an exception ended the run. The logs are those of the last epoch.
  virtual void on_train_end(Run&, const Logs&) {}
  /// Not called when a run continues in the middle of the epoch.
  virtual void on_epoch_begin(Run&, std::int64_t /*epoch*/) {}
  /// May add to the logs: later callbacks and the history see it. With use_ema the weights are averages.
  virtual void on_epoch_end(Run&, std::int64_t /*epoch*/, Logs&) {}
  /// Called before each batch.
  virtual void on_train_batch_begin(Run&, std::int64_t /*batch*/) {}
  /// The logs are means over the epoch so far.
  virtual void on_train_batch_end(Run&, std::int64_t /*batch*/, const Logs&) {}
  /// Called before a validation or an evaluation.
  virtual void on_test_begin(Run&) {}
  /// The logs have no "val_".
  virtual void on_test_end(Run&, const Logs&) {}
  /// Called before each batch of a validation or an evaluation.
  virtual void on_test_batch_begin(Run&, std::int64_t /*batch*/) {}
  /// Called after each batch of a validation or an evaluation.
  virtual void on_test_batch_end(Run&, std::int64_t /*batch*/, const Logs&) {}

  /// The name of its state in checkpoints; equal names are numbered.
  [[nodiscard]] virtual std::string name() const { return "Callback"; }
  /// Writes the state that another process needs to continue. Names may be those of other callbacks.
  virtual void save(TrainingProgress&) const {}
  /// Reads the state, after on_train_begin. Not called when the checkpoint has none.
  virtual void load(const TrainingProgress&) {}
  /// Called first: may load the state of an earlier run with run.restore().
  virtual std::optional<TrainingProgress> restore(Run&) { return std::nullopt; }

 protected:
  Callback() = default;
  /// Copies, for derived classes.
  Callback(const Callback&) = default;
  /// Copies, for derived classes.
  Callback& operator=(const Callback&) = default;
};

/// In which direction a monitored number gets better.
enum class MonitorMode : std::uint8_t {
  automatic,  ///< the metric's direction; less is better for the loss
  min,
  max
};

/// The best value of a monitored number, for callbacks. NaN is never better.
class Monitor {
 public:
  /// `owner` is for messages. ValueError for an empty name, and a min_delta that is not finite.
  Monitor(std::string owner, std::string monitor, MonitorMode mode, double min_delta = 0);

  /// Finds the direction and sets the best. ValueError when the direction is unknown without a mode.
  void begin(const Run& run, std::optional<double> best = {});
  /// Whether the value is better than the reference, if any, by more than min_delta.
  [[nodiscard]] bool better(double value, std::optional<double> reference) const;
  /// Returns the monitored number, or null with one message per run when it is not in the logs.
  [[nodiscard]] const double* find(const Run& run, const Logs& logs);

  /// Returns the name of the number.
  [[nodiscard]] const std::string& name() const noexcept { return monitor_; }
  std::optional<double> best = {};  ///< the best value so far

  /// Writes the best value.
  void save(TrainingProgress& progress) const;
  /// Reads the best value.
  void load(const TrainingProgress& progress);

 private:
  std::string owner_, monitor_;
  MonitorMode mode_;
  double min_delta_;
  bool higher_ = false;
  bool warned_ = false;
};

}  // namespace xtape
