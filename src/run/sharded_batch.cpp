#include "run/sharded_batch.hpp"

#include "base/check.hpp"
#include "base/instantiate.hpp"
#include "run/evaluate.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reductions.hpp>

namespace xtape::detail {

namespace {

// Random operations of one shard. Step s and shard v have the indices from (s count + v) 2^16 on.
constexpr std::uint64_t kOperations = 65536;

template <class T> bool any_penalized(const Params<T>& params) {
  for (const Parameter<T>& p : params.all()) {
    if (p.built() && p.trainable() && p.regularizer()) return true;
  }
  return false;
}

}  // namespace

template <class T> void check_tracked(const Var<T>& loss) {
  if (loss.tracked()) return;
  fail<TapeError>("fit",
                  "loss without gradients: the loss of the step does not depend on a "
                  "trainable parameter through the tape, expected a tracked loss; give the model "
                  "tape.input(x), and detach nothing on the way");
}
XTAPE_FOR_REALS(check_tracked);

template <class T>
ShardedBatch<T>::ShardedBatch(const Params<T>& params, Feed<T>& feed, Tape<T>& tape,
                              const FitOptions<T>& options)
    : params_(params),
      feed_(feed),
      tape_(tape),
      metrics_(options.metrics),
      team_(options.team),
      shards_(shards_of(team_, options.shards)),
      tree_(shards_) {
  if (!feed.sharded()) {
    fail<ValueError>("fit", "batches cannot be cut: shards is ", options.shards,
                     ", expected 1 for a list of batches; give Batches, or a source with "
                     "epoch(epoch, first, shards)");
  }
  check_states("fit", metrics_);
  if (team_ != nullptr) reducer_.emplace(params, *team_, options.shards);
}

template <class T> void ShardedBatch<T>::begin(std::int64_t epoch, std::int64_t batch) {
  feed_.begin(epoch, static_cast<std::size_t>(batch), shards_);
  used_ = false;
}

template <class T> ShardNumbers ShardedBatch<T>::run_shard(std::int64_t step, bool last) {
  const ShardPlace place = feed_.place();
  const std::uint64_t first =
      static_cast<std::uint64_t>(step * shards_.count + place.shard) * kOperations;
  tape_.set_random_index(first);
  for (Metric* metric : metrics_) metric->reset();
  const StepResult<T> result = feed_.run(tape_);
  if (tape_.random_index() - first > kOperations) {
    fail<ValueError>("fit", "random operations of a shard: there are ",
                     tape_.random_index() - first, ", expected at most ", kOperations,
                     "; make one dropout of several");
  }
  ShardNumbers numbers{place.shard,
                       place.examples,
                       checked_loss("fit", result),
                       result.weight,
                       result.tokens,
                       result.weighted,
                       {}};
  check_tracked(result.loss);
  const Var<T> penalties = tape_.penalties();
  const Var<T> total = penalties.tracked() ? sum(result.loss) + penalties : result.loss;
  numbers.loss = static_cast<double>(total.item());
  if (std::isfinite(numbers.loss)) {
    // Those of weights follow once for the batch; asking for them tells the tape so.
    if (any_penalized(params_)) static_cast<void>(tape_.penalties(params_));
    const Var<T> seed(full<T>(total.shape(), static_cast<T>(result.weight)));
    if (last && reducer_) {  // others may have all of theirs
      begun_ = true;
      reducer_->begin(tree_.take_before(place.shard));
      reducer_->end(tape_.backward(total, {.seed = seed, .watch = &*reducer_}));
    } else {
      tree_.add(place.shard, tape_.backward(total, {.seed = seed}));
    }
  } else {
    tape_.clear();
  }
  numbers.metrics = states_of(metrics_);
  return numbers;
}

template <class T>
void ShardedBatch<T>::check_weights(const std::vector<ShardNumbers>& shards) const {
  double weight = 0;
  for (const ShardNumbers& shard : shards) {
    weight += shard.weight;
    if (shard.weighted || shard.examples == shards.front().examples) continue;
    fail<ValueError>("fit", "shards of different sizes: shard ", shard.shard, " has ",
                     shard.examples, " examples and shard ", shards.front().shard, " has ",
                     shards.front().examples,
                     ", expected a weight of each; return StepResult(loss, weight) with the number "
                     "of examples or tokens that the loss is the mean of");
  }
  if (weight > 0) return;
  fail<ValueError>("fit",
                   "batch without weight: the weights of its shards are 0, expected a "
                   "positive sum; leave out examples that do not count");
}

// The gradients have the factor of the batch's weight, as all others; scale() takes it out.
template <class T> void ShardedBatch<T>::add_penalties(BatchSum<T>& sum) {
  if (any_penalized(params_)) {
    const Var<T> penalties = tape_.penalties(params_);
    sum.loss += static_cast<double>(penalties.item());
    if (sum.gradients && std::isfinite(sum.loss) && penalties.tracked()) {
      const Var<T> seed(full<T>(penalties.shape(), static_cast<T>(sum.weight)));
      sum.gradients->add(tape_.backward(penalties, {.seed = seed}));
    }
    tape_.clear();
  }
  if (!std::isfinite(sum.loss)) sum.gradients.reset();
  if (!sum.gradients) return;
  sum.gradients = in_order(params_, *sum.gradients);
  sum.gradients->scale(1.0 / sum.weight);
}

// Returns the numbers of all shards: those of rank 0 first. Ranks have ascending shards.
template <class T>
std::vector<ShardNumbers> ShardedBatch<T>::gather(const std::vector<ShardNumbers>& own,
                                                  BatchTurn& turn) {
  std::string mine;
  put<bool>(mine, turn.signalled);
  put<std::uint32_t>(mine, turn.checksum);
  reducer_->put(mine);
  for (const ShardNumbers& n : own) {
    put<std::int64_t>(mine, n.shard);
    put<std::uint64_t>(mine, n.examples);
    for (const double number : {n.loss, n.weight, n.tokens}) put<double>(mine, number);
    put<bool>(mine, n.weighted);
    put_numbers(mine, n.metrics);
  }
  std::vector<ShardNumbers> shards;
  bool same = true;
  const std::vector<std::string> all = team_->all_gather(mine, [this] { reducer_->poll(); });
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    Reader reader(all[rank]);
    turn.signalled = reader.get<bool>() || turn.signalled;
    same = reader.get<std::uint32_t>() == turn.checksum && same;
    reducer_->get(reader, static_cast<int>(rank));
    while (!reader.done()) {
      ShardNumbers& n = shards.emplace_back();
      n.shard = reader.get<std::int64_t>();
      n.examples = reader.get<std::uint64_t>();
      for (double* number : {&n.loss, &n.weight, &n.tokens}) *number = reader.get<double>();
      n.weighted = reader.get<bool>();
      n.metrics = get_numbers(reader);
    }
  }
  turn.same = same;
  return shards;
}

template <class T> BatchSum<T> ShardedBatch<T>::run(BatchTurn& turn) {
  const States before = states_of(metrics_);
  std::vector<ShardNumbers> shards;
  for (bool last = false; !last; used_ = true) {
    if (used_) feed_.next();
    used_ = false;
    if (!feed_.more() || feed_.place().batch != static_cast<std::size_t>(turn.batch)) break;
    last = feed_.place().shard + 1 == shards_.end;
    shards.push_back(run_shard(turn.step, last));
  }
  tape_.set_random_index(static_cast<std::uint64_t>((turn.step + 1) * shards_.count) * kOperations);
  auto nodes = tree_.take();
  if (team_ != nullptr) {
    if (!std::exchange(begun_, false)) {
      reducer_->begin(std::move(nodes));
      reducer_->end();
    }
    shards = gather(shards, turn);
  }
  if (shards.empty()) fail_short("fit", turn.epoch, turn.batch, turn.steps);
  check_weights(shards);
  std::vector<States> states;
  BatchSum<T> sum;
  for (ShardNumbers& shard : shards) {
    states.push_back(std::move(shard.metrics));
    sum.loss += shard.loss * shard.weight;
    sum.weight += shard.weight;
    sum.tokens += shard.tokens;
  }
  merge_after(metrics_, before, states);
  sum.loss /= sum.weight;
  sum.gradients = team_ == nullptr ? std::move(nodes.front().sum) : reducer_->result();
  if (!sum.gradients) sum.gradients.emplace();  // no parameter has one: the optimizer says so
  add_penalties(sum);
  return sum;
}

template class ShardedBatch<float>;
template class ShardedBatch<double>;

}  // namespace xtape::detail
