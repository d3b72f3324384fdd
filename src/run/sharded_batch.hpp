#pragma once
// A batch of fit in shards: their losses, metrics and gradients, added in an order that depends on the
// count of shards alone.

#include "run/gradient_tree.hpp"
#include "run/merging.hpp"
#include "run/reducer.hpp"

#include <xtape/run/fit.hpp>

namespace xtape::detail {

/// The results of one shard beside its gradients.
struct ShardNumbers {
  std::int64_t shard = 0;
  std::size_t examples = 0;
  double loss = 0, weight = 1, tokens = 0;
  bool weighted = false;
  States metrics;
};

/// The sums over the shards of a batch.
template <class T> struct BatchSum {
  double loss = 0;  // the mean by weights, with the penalties of weights
  double weight = 0, tokens = 0;
  std::optional<Gradients<T>> gradients;  // of the loss; empty unless it is finite
};

/// The position of a batch, and what the ranks tell each other with it.
struct BatchTurn {
  std::int64_t epoch, batch, step, steps;
  bool signalled = false;      // to any rank, afterwards
  std::uint32_t checksum = 0;  // of the weights, when ranks are to be compared
  bool same = true;            // ranks have the same checksum, afterwards
};

template <class T> class ShardedBatch {
 public:
  /// All must outlive it. ValueError for batches that cannot be cut, and metrics without a state.
  ShardedBatch(const Params<T>& params, Feed<T>& feed, Tape<T>& tape, const FitOptions<T>& options);

  /// Starts an epoch at this batch.
  void begin(std::int64_t epoch, std::int64_t batch);
  /// Runs the step on the shards of the next batch. Errors as fit.
  BatchSum<T> run(BatchTurn& turn);

 private:
  ShardNumbers run_shard(std::int64_t step, bool last);
  void check_weights(const std::vector<ShardNumbers>& shards) const;
  void add_penalties(BatchSum<T>& sum);
  std::vector<ShardNumbers> gather(const std::vector<ShardNumbers>& own, BatchTurn& turn);

  const Params<T>& params_;
  Feed<T>& feed_;
  Tape<T>& tape_;
  const std::vector<Metric*>& metrics_;
  Team* team_;  // null if alone
  Shards shards_;
  GradientTree<T> tree_;
  std::optional<Reducer<T>> reducer_;
  bool used_ = false;   // the present shard was run
  bool begun_ = false;  // the reducer has the gradients of this batch
};

/// Throws TapeError for a loss that has no gradients.
template <class T> void check_tracked(const Var<T>& loss);

}  // namespace xtape::detail
