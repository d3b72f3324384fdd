#pragma once
// One batch of fit: its loss, its gradients, and the update.

#include "run/sharded_batch.hpp"

#include <xtape/run/run.hpp>

namespace xtape::detail {

template <class T> class Learner {
 public:
  /// All must outlive it. ValueError for batches that cannot be cut, and fewer shards than ranks.
  Learner(Params<T>& params, Optimizer<T>& optimizer, Feed<T>& feed, Tape<T>& tape, Run& run,
          const FitOptions<T>& options);

  /// Starts an epoch at this batch.
  void begin(std::int64_t epoch, std::int64_t batch);
  /// Throws ValueError unless there is another batch, as far as that is known before its step.
  void check_more(const TrainingProgress& at, std::int64_t steps);
  /// Runs the step on the present batch, and updates.
  void learn(const TrainingProgress& at, std::int64_t steps);
  /// Moves to the next batch.
  void next();
  /// Whether a signal came to any rank until the last batch.
  [[nodiscard]] bool signalled() const;

  Mean loss{"loss"}, norm{"gradient_norm"};
  double tokens = 0;              // of this epoch
  bool warned_nonfinite = false;  // the user knows of a loss or gradients that are not finite

 private:
  void learn_whole(const TrainingProgress& at);
  void learn_sharded(const TrainingProgress& at, std::int64_t steps);
  bool add_loss(double value, double weight, double count, const TrainingProgress& at);
  void update(Gradients<T> gradients, const TrainingProgress& at);
  void tell_left_out(const std::string& why, const std::string& more, const TrainingProgress& at);

  Params<T>& params_;
  Optimizer<T>& optimizer_;
  Feed<T>& feed_;
  Tape<T>& tape_;
  Run& run_;
  const FitOptions<T>& options_;
  std::optional<ShardedBatch<T>> shards_;
  std::int64_t batches_ = 0;  // of this run
  bool signalled_ = false;    // to any rank
};

}  // namespace xtape::detail
