#include <xtape/run/checkpoints.hpp>
#include <xtape/run/fit.hpp>
#include <xtape/run/run.hpp>

#include "base/instantiate.hpp"
#include "params/layer_state.hpp"
#include "run/averages.hpp"
#include "run/evaluate.hpp"
#include "run/fit_options.hpp"
#include "run/learner.hpp"
#include "run/ranks.hpp"
#include "run/state.hpp"

#include <cmath>

namespace xtape::detail {
namespace {

constexpr const char* kMonitor = "fit/monitor/";

/// One run of fit.
template <class T> class Fit {
 public:
  Fit(Params<T>& params, Optimizer<T>& optimizer, Feed<T>& feed, FitOptions<T> options)
      : params_(params),
        optimizer_(optimizer),
        feed_(feed),
        options_(checked_fit_options(std::move(options))),
        callbacks_(options_.callbacks),
        team_(options_.team),
        bar_(lead() ? options_.progress : ProgressOptions{.style = ProgressStyle::none}),
        run_(params, optimizer,
             {options_.epochs, options_.metrics, messages(), options_.configuration, team_}),
        tape_(tape_options()),
        learner_(params, optimizer, feed, tape_, run_, options_) {
    if (options_.initial_epoch < options_.epochs) steps_of(options_.initial_epoch);
    if (options_.validation) {
      count_steps("fit", options_.validation.feed(), 0, options_.validation_steps);
    }
    if (!options_.best_monitor.empty()) {
      best_.emplace("fit", options_.best_monitor, options_.best_mode);
      best_->begin(run_);
    }
  }

  History run() {
    if (team_ != nullptr) {
      if (const std::string state = state_path(params_); !state.empty()) {
        fail<ValueError>("fit", "state of a layer in a team: '", state,
                         "' would differ between ranks, expected layers without moving averages; "
                         "train without a team, or use LayerNormalization");
      }
      compare<ValueError>(*team_, facts_of_program<T>());
      compare<ValueError>(*team_, facts_of(options_, feed_));
    }
    restore();
    if (team_ != nullptr) compare<ValueError>(*team_, facts_of(params_, optimizer_));
    callbacks_.call(&Callback::on_train_begin, run_);
    agree("on_train_begin");
    if (run_.resumed()) {
      callbacks_.load(run_, progress_);
      if (progress_.numbers.count("fit/stopping") != 0) run_.stop();
    }
    try {
      train();
    } catch (...) {
      try {
        optimizer_.finalize(params_);
      } catch (const Error&) {  // the user must see the first exception
      }
      throw;
    }
    optimizer_.finalize(params_);
    callbacks_.call(&Callback::on_train_end, run_, epoch_logs_);
    history_.interrupted = run_.interrupted();
    history_.stopped = run_.stopping() && !run_.interrupted();
    return std::move(history_);
  }

 private:
  [[nodiscard]] bool lead() const { return team_ == nullptr || team_->lead(); }
  /// Messages and the bar may go to one terminal.
  [[nodiscard]] Messages messages() {
    return [this](const std::string& text) {
      bar_.clear();
      if (options_.message) return options_.message(text);
      std::fprintf(stderr, "%s\n", text.c_str());
    };
  }
  [[nodiscard]] TapeOptions tape_options() const {
    return {.training = true, .seed = options_.seed, .check_finite = options_.check_finite};
  }
  std::int64_t steps_of(std::int64_t epoch) const {
    return count_steps("fit", feed_, epoch, options_.steps_per_epoch);
  }
  // Ranks that go on differently would wait for each other.
  void agree(const char* hook) const {
    if (team_ != nullptr && !callbacks_.empty()) {
      detail::agree(*team_, run_, options_.callbacks, hook);
    }
  }

  /// The sums of an epoch: loss, norm of the gradients, metrics.
  [[nodiscard]] std::vector<Metric*> sums() {
    std::vector<Metric*> all{&learner_.loss, &learner_.norm};
    all.insert(all.end(), options_.metrics.begin(), options_.metrics.end());
    return all;
  }
  static std::string sum_key(const Metric& metric, std::size_t i) {
    return "metrics/" + metric.name() + "/" + std::to_string(i);
  }

  // Loads the history, the monitor and the sums of the epoch from the progress of a checkpoint.
  void load_epoch() {
    history_.load(progress_);
    if (best_) best_->load(below(progress_, kMonitor));
    learner_.warned_nonfinite = progress_.numbers.count("fit/told") != 0;
    if (progress_.batch == 0) return;
    const std::int64_t steps = steps_of(progress_.epoch);
    const std::int64_t then = count_in(progress_, "fit", "fit/steps");
    if (steps != then || progress_.batch > steps) {
      fail<ValueError>("fit", "other batches: steps of epoch ", progress_.epoch, " is ", steps,
                       ", expected ", then, " as when the checkpoint was saved after ",
                       progress_.batch, "; resume with the same batches and options");
    }
    for (Metric* metric : sums()) {
      std::vector<double> state;
      for (std::size_t i = 0;; ++i) {
        const auto it = progress_.numbers.find(sum_key(*metric, i));
        if (it == progress_.numbers.end()) break;
        state.push_back(it->second);
      }
      metric->load_state(state);
    }
  }

  // Runs the model once when no step is left to be done: loaded values wait for the first call. A team
  // compares the weights first, and a rank may have no part of the first batch.
  void make_layers() {
    const bool over = progress_.epoch >= options_.epochs;
    const bool ended = progress_.batch > 0 && (progress_.numbers.count("fit/stopping") != 0 ||
                                               progress_.batch >= steps_of(progress_.epoch));
    if (options_.epochs == 0 || (team_ == nullptr && !over && !ended)) return;
    bool built = true;
    for (const Parameter<T>& p : params_.all()) built = built && p.built();
    if (built) return;
    Tape<T> tape({.record = false});
    const std::int64_t epoch = over ? options_.epochs - 1 : progress_.epoch;
    if (options_.shards > 1) {
      feed_.begin(epoch, 0, {options_.shards, 0, options_.shards});
    } else {
      feed_.begin(epoch, 0);
    }
    if (feed_.more()) static_cast<void>(feed_.run(tape));
    feed_.end();
  }

  void restore() {
    progress_.epoch = options_.initial_epoch;
    progress_.tape_seed = options_.seed;
    std::optional<TrainingProgress> found;
    if (options_.checkpoints != nullptr && lead()) options_.checkpoints->lock();
    if (options_.resume) {
      found = run_.restore(*options_.checkpoints);
      for (const SkippedCheckpoint& skipped : options_.checkpoints->skipped()) {
        run_.say("fit: passed over: " + skipped.reason);
      }
    }
    if (!found) found = callbacks_.restore(run_);
    if (!found) {
      if (team_ != nullptr) make_layers();
      return;
    }
    progress_ = std::move(*found);
    if (progress_.arithmetic != arithmetic()) {
      run_.say("fit: the checkpoint has arithmetic " + std::to_string(progress_.arithmetic) +
               ", this is " + std::to_string(arithmetic()) +
               ": the run goes on, but not with the bits of one program (docs/arithmetic.md)");
      progress_.arithmetic = arithmetic();
    }
    run_.set_resumed(true);
    run_.set_epoch(progress_.epoch);
    run_.set_step(progress_.step);
    if (progress_.tape_seed != tape_.seed()) {
      fail<ValueError>("fit", "another seed: seed is ", options_.seed, ", expected ",
                       progress_.tape_seed, " as in the checkpoint; resume with the same options");
    }
    const std::int64_t shards =
        progress_.numbers.count("fit/shards") == 0 ? 1 : count_in(progress_, "fit", "fit/shards");
    if (shards != options_.shards) {
      fail<ValueError>("fit", "another number of shards: shards is ", options_.shards,
                       ", expected ", shards,
                       " as in the checkpoint; resume with the same options");
    }
    tape_.set_random_index(progress_.random_index);
    make_layers();
    load_epoch();
  }

  void save(bool now, bool is_best) {
    if (now && options_.checkpoints != nullptr) run_.save_soon(*options_.checkpoints, is_best);
    if (!run_.wants_save()) return;
    progress_.random_index = tape_.random_index();
    progress_.numbers.clear();
    progress_.texts.clear();
    if (run_.stopping()) progress_.numbers["fit/stopping"] = 1;
    if (learner_.warned_nonfinite) progress_.numbers["fit/told"] = 1;
    if (options_.shards > 1) put_count(progress_, "fit/shards", options_.shards);
    if (best_) {
      TrainingProgress own;
      best_->save(own);
      put_below(progress_, kMonitor, std::move(own));
    }
    if (progress_.batch > 0) {
      put_count(progress_, "fit/steps", steps_);
      for (const Metric* metric : sums()) {
        const std::vector<double> state = metric->state();
        for (std::size_t i = 0; i < state.size(); ++i) {
          progress_.numbers[sum_key(*metric, i)] = state[i];
        }
      }
    }
    history_.save(progress_);
    callbacks_.save(progress_);
    run_.save_now(progress_);
    if (now) saved_ = true;
  }

  void fill(Logs& logs) const {
    fill_logs(logs, learner_.loss, options_.metrics);
    if (!options_.log_optimizer) return;
    logs.set("learning_rate", optimizer_.learning_rate());
    logs.set("gradient_norm", learner_.norm.result());
  }

  std::string tail(bool last) const {
    std::string out;
    const double seconds = bar_.elapsed();
    if (learner_.tokens > 0 && seconds > 0) {
      char text[64];
      std::snprintf(text, sizeof text, " - %.0f tokens/s", learner_.tokens / seconds);
      out += text;
    }
    const std::int64_t left = options_.epochs - progress_.epoch - 1;
    if (last && left > 0) {
      const double each = (seconds_ + seconds) / static_cast<double>(epochs_done_ + 1);
      out += " - " + format_seconds(each * static_cast<double>(left)) + " left";
    }
    return out;
  }

  void train_batch(std::int64_t batch) {
    learner_.check_more(progress_, steps_);
    if (!callbacks_.empty()) callbacks_.call(&Callback::on_train_batch_begin, run_, batch);
    learner_.learn(progress_, steps_);
    saved_ = false;
    progress_.batch = batch + 1;
    run_.set_step(++progress_.step);
    const bool due = bar_.due(batch + 1);
    if (due || !callbacks_.empty()) fill(batch_logs_);
    if (!callbacks_.empty()) {
      callbacks_.call(&Callback::on_train_batch_end, run_, batch, batch_logs_);
      agree("on_train_batch_end");
    }
    if (due) bar_.update(batch + 1, batch_logs_, tail(false));
    save(options_.save_steps > 0 && progress_.step % options_.save_steps == 0, false);
  }

  // Returns whether the epoch was finished: no signal came.
  bool train_epoch(std::int64_t first) {
    const std::int64_t epoch = progress_.epoch;
    steps_ = steps_of(epoch);
    learner_.tokens = 0;
    batch_logs_.clear();
    if (first == 0) {
      for (Metric* metric : sums()) metric->reset();
      callbacks_.call(&Callback::on_epoch_begin, run_, epoch);
    }
    bar_.begin("Epoch " + std::to_string(epoch + 1) + "/" + std::to_string(options_.epochs), steps_,
               first);
    const auto goes_on = [&](std::int64_t batch) {
      return batch < steps_ && !(batch > 0 && run_.stopping());
    };
    if (!goes_on(first)) return true;  // resumed between the last batch and the epoch's end
    learner_.begin(epoch, first);
    for (std::int64_t batch = first;;) {
      train_batch(batch);
      if (learner_.signalled()) {
        feed_.end();
        return false;
      }
      if (!goes_on(++batch)) break;
      learner_.next();
    }
    feed_.end();
    return true;
  }

  void end_epoch() {
    const std::int64_t epoch = progress_.epoch;
    const std::int64_t batches = progress_.batch;
    epoch_logs_.clear();
    fill(epoch_logs_);
    std::optional<Averages<T>> averages(std::in_place, params_, optimizer_);
    if (options_.validation && (epoch + 1) % options_.validation_freq == 0) {
      const Logs logs =
          run_test(params_, options_.validation.feed(), options_.metrics, options_.validation_steps,
                   {&callbacks_, &run_}, nullptr, {options_.shards > 1, team_});
      for (const auto& [name, value] : logs) epoch_logs_.set("val_" + name, value);
    }
    callbacks_.call(&Callback::on_epoch_end, run_, epoch, epoch_logs_);
    averages.reset();
    agree("on_epoch_end");
    history_.add(epoch, epoch_logs_);
    bar_.finish(batches, epoch_logs_, tail(!run_.stopping()));
    seconds_ += bar_.elapsed();
    ++epochs_done_;
    progress_.epoch = epoch + 1;
    progress_.batch = 0;
    saved_ = false;
    bool is_best = false;
    if (best_) {
      const double* value = best_->find(run_, epoch_logs_);
      is_best = value != nullptr && best_->better(*value, best_->best);
      if (is_best) best_->best = *value;
    }
    const bool last = progress_.epoch == options_.epochs || run_.stopping();
    const bool planned = options_.save_epochs > 0 && progress_.epoch % options_.save_epochs == 0;
    save(planned || is_best || last || learner_.signalled(), is_best);
  }

  void train() {
    while (progress_.epoch < options_.epochs) {
      const std::int64_t first = progress_.batch;
      if (run_.stopping() && first == 0) break;
      run_.set_epoch(progress_.epoch);
      const bool finished = train_epoch(first);
      if (finished) end_epoch();
      const bool more = progress_.epoch < options_.epochs && !(finished && run_.stopping());
      if (learner_.signalled() && more) {
        if (!finished) {
          fill(batch_logs_);
          bar_.finish(progress_.batch, batch_logs_, " - interrupted");
        }
        if (!saved_) save(true, false);
        run_.set_interrupted(true);
        return;
      }
    }
  }

  Params<T>& params_;
  Optimizer<T>& optimizer_;
  Feed<T>& feed_;
  FitOptions<T> options_;
  CallbackList callbacks_;
  Team* team_;  // null if alone
  ProgressBar bar_;
  RunOf<T> run_;
  Tape<T> tape_;
  Learner<T> learner_;
  TrainingProgress progress_;
  History history_;
  std::optional<Monitor> best_;
  Logs batch_logs_, epoch_logs_;
  std::int64_t steps_ = 0;        // of this epoch
  bool saved_ = true;             // the last checkpoint has the present state
  double seconds_ = 0;            // of the epochs that this call completed
  std::int64_t epochs_done_ = 0;  // by this call
};

}  // namespace

template <class T>
History fit(Params<T>& params, Optimizer<T>& optimizer, Feed<T>& feed, FitOptions<T> options) {
  Team* const team = options.team;
  std::optional<Fit<T>> run;  // gradients that are under way need it until the team has ended
  return ending_team(
      team, [&] { return run.emplace(params, optimizer, feed, std::move(options)).run(); });
}
XTAPE_FOR_REALS(fit);

}  // namespace xtape::detail
