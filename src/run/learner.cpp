#include "run/learner.hpp"

#include "base/instantiate.hpp"
#include "run/evaluate.hpp"
#include "run/ranks.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reductions.hpp>
#include <xtape/run/stop_signals.hpp>

#include <cmath>

namespace xtape::detail {

template <class T>
Learner<T>::Learner(Params<T>& params, Optimizer<T>& optimizer, Feed<T>& feed, Tape<T>& tape,
                    Run& run, const FitOptions<T>& options)
    : params_(params),
      optimizer_(optimizer),
      feed_(feed),
      tape_(tape),
      run_(run),
      options_(options) {
  check_ranks("fit", options.team, options.shards);
  if (options.shards > 1) shards_.emplace(params, feed, tape, options);
}

template <class T> void Learner<T>::begin(std::int64_t epoch, std::int64_t batch) {
  if (shards_) {
    shards_->begin(epoch, batch);
  } else {
    feed_.begin(epoch, static_cast<std::size_t>(batch));
  }
}

template <class T> void Learner<T>::check_more(const TrainingProgress& at, std::int64_t steps) {
  if (!shards_ && !feed_.more()) fail_short("fit", at.epoch, at.batch, steps);
}

template <class T> void Learner<T>::next() {
  if (!shards_) feed_.next();  // shards move on when the next one is needed
}

template <class T> bool Learner<T>::signalled() const {
  if (options_.team != nullptr) return signalled_;
  return options_.signals != nullptr && options_.signals->requested();
}

// Adds the loss of a batch, and returns whether it is finite. Tells the first that is not.
template <class T>
bool Learner<T>::add_loss(double value, double weight, double count, const TrainingProgress& at) {
  loss.update(value, weight);
  tokens += count;
  if (std::isfinite(value)) return true;
  tape_.clear();
  tell_left_out("loss is not finite: it is " + std::to_string(value),
                "; lower the learning rate, or look at that batch", at);
  return false;
}

// Says once in a run that the update of the present batch was left out.
template <class T>
void Learner<T>::tell_left_out(const std::string& why, const std::string& more,
                               const TrainingProgress& at) {
  if (!warned_nonfinite) {
    run_.say("fit: " + why + " in batch " + std::to_string(at.batch) + " of epoch " +
             std::to_string(at.epoch) + ", whose update was left out" + more);
  }
  warned_nonfinite = true;
}

template <class T> void Learner<T>::update(Gradients<T> gradients, const TrainingProgress& at) {
  try {
    if (options_.log_optimizer || options_.clip_norm) {
      const double size = gradients.global_norm();
      if (std::isfinite(size)) {
        norm.update(size);
        if (options_.clip_norm && size > *options_.clip_norm) {
          gradients.scale(*options_.clip_norm / size);
        }
      } else if (options_.clip_norm) {
        gradients.clip_global_norm(*options_.clip_norm);  // throws, naming the parameter
      }
    }
    optimizer_.step(params_, gradients, {.allow_missing = options_.allow_missing});
  } catch (const NonFiniteError& e) {
    tell_left_out("gradients are not finite", std::string(" (") + e.what() + ")", at);
  }
}

template <class T> void Learner<T>::learn_whole(const TrainingProgress& at) {
  const StepResult<T> result = feed_.run(tape_);
  double value = checked_loss("fit", result);
  check_tracked(result.loss);
  const Var<T> penalties = tape_.penalties(params_);
  const Var<T> total = penalties.tracked() ? sum(result.loss) + penalties : result.loss;
  if (penalties.tracked()) value = static_cast<double>(total.item());
  if (add_loss(value, result.weight, result.tokens, at)) update(tape_.backward(total), at);
}

template <class T> void Learner<T>::learn_sharded(const TrainingProgress& at, std::int64_t steps) {
  BatchTurn turn{at.epoch, at.batch, at.step, steps};
  Team* const team = options_.team;
  if (team != nullptr) {
    team->set_step(at.step);
    turn.signalled = options_.signals != nullptr && options_.signals->requested();
    // Also after the first update: other options of the optimizer show then.
    if (batches_ == 1 || at.step % options_.verify_steps == 0) turn.checksum = checksum(params_);
  }
  BatchSum<T> sum = shards_->run(turn);
  signalled_ = turn.signalled;
  if (!turn.same) {
    compare<TeamError>(*team, facts_of(params_, optimizer_));
    fail<TeamError>("fit", "weights differed for a moment: the checksums of ranks differ in step ",
                    at.step, ", expected equal ones; a processor or its memory is not reliable");
  }
  ++batches_;
  if (!add_loss(sum.loss, sum.weight, sum.tokens, at)) return;
  update(std::move(*sum.gradients), at);
}

template <class T> void Learner<T>::learn(const TrainingProgress& at, std::int64_t steps) {
  if (shards_) {
    learn_sharded(at, steps);
  } else {
    learn_whole(at);
  }
}

template class Learner<float>;
template class Learner<double>;

}  // namespace xtape::detail
