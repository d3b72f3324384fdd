#pragma once
/// \file
/// ShardSum: adds gradients of shards in a loop of your own, alone or in a team.
///
///     ShardSum<float> sum(params, 8, team);       // team may be null
///     for (std::int64_t v = sum.mine().begin; v < sum.mine().end; ++v) {
///       tape.set_random_index(...);               // a function of the step and of v
///       const auto loss = mean_loss(tape, shard_of(batch, v));
///       sum.add(v, tape.backward(loss), examples_in(v));
///     }
///     optimizer.step(params, sum.finish());       // the same bits on every rank, for any team

#include <xtape/base/shards.hpp>
#include <xtape/params/params.hpp>
#include <xtape/run/team.hpp>
#include <xtape/tape/tape.hpp>

#include <memory>

namespace xtape {

/// Sets the gradient of a built parameter. ShapeError unless it has the shape of the parameter.
template <class T>
void set_gradient(Gradients<T>& gradients, const Parameter<T>& parameter, Array<T> gradient);

/// Adds the gradients of the shards of a batch, over all ranks; for loops of one's own.
template <class T> class ShardSum {
 public:
  /// The weighted mean over this many shards. `params` and `team` must outlive it. ValueError for fewer
  /// shards than ranks.
  ShardSum(const Params<T>& params, std::int64_t shards, Team* team = nullptr);
  ~ShardSum();

  /// The shards that this rank computes.
  [[nodiscard]] Shards mine() const noexcept;
  /// Adds the gradients of a shard's mean loss; the weight is the number of samples or tokens in it.
  /// Shards come in ascending order; those without examples may be left out. ValueError for a shard
  /// that is not of this rank or not in order, and for a weight below 0 or not finite.
  void add(std::int64_t shard, Gradients<T> gradients, double weight);
  /// Returns the mean over the shards of all ranks, and begins again. ValueError for weights that are
  /// 0 in all; TeamError. An error while ranks add ends the team (Team::fail).
  [[nodiscard]] Gradients<T> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace xtape
