// Callbacks that set the learning rate.

#include <xtape/run/callbacks.hpp>

#include "base/check.hpp"
#include "base/numbers.hpp"
#include "run/state.hpp"

namespace xtape {
namespace {

constexpr const char* kPlateau = "ReduceLROnPlateau";
constexpr const char* kScheduler = "LearningRateScheduler";

void check_settable(const Run& run, const char* who) {
  if (!run.scheduled()) return;
  detail::fail<ValueError>(who,
                           "learning rate cannot be set: the optimizer's is a schedule, "
                           "expected a number; leave one of the two out");
}

/// The rate as Keras's callbacks print it.
std::string rate_text(double rate) {
  return detail::number_text(rate, std::chars_format::general, 6);
}

}  // namespace

ReduceLROnPlateau::ReduceLROnPlateau(Options options)
    : options_(std::move(options)),
      monitor_(kPlateau, options_.monitor, options_.mode, options_.min_delta) {
  detail::check_option(options_.factor > 0 && options_.factor < 1, kPlateau, "factor",
                       options_.factor, "above 0 and below 1");
  detail::check_whole(kPlateau, "patience", options_.patience);
  detail::check_whole(kPlateau, "cooldown", options_.cooldown);
  detail::check_not_negative(kPlateau, "min_lr", options_.min_lr);
}

void ReduceLROnPlateau::on_train_begin(Run& run) {
  check_settable(run, kPlateau);
  monitor_.begin(run);
  wait_ = cooldown_ = 0;
}

void ReduceLROnPlateau::on_epoch_end(Run& run, std::int64_t epoch, Logs& logs) {
  const double old = run.learning_rate();
  logs.set("learning_rate", old);
  const double* current = monitor_.find(run, logs);
  if (current == nullptr) return;
  if (cooldown_ > 0) {
    --cooldown_;
    wait_ = 0;
  }
  if (monitor_.better(*current, monitor_.best)) {
    monitor_.best = *current;
    wait_ = 0;
    return;
  }
  // Compared in float, as in Keras: a rate that differs from min_lr by rounding is not reduced again.
  const bool arrived = static_cast<float>(old) <= static_cast<float>(options_.min_lr);
  if (cooldown_ > 0 || ++wait_ < options_.patience || arrived) return;
  const double rate = std::max(old * options_.factor, options_.min_lr);
  run.set_learning_rate(rate);
  if (options_.verbose) {
    run.say("Epoch " + std::to_string(epoch + 1) +
            ": ReduceLROnPlateau reducing learning rate to " + rate_text(rate) + ".");
  }
  cooldown_ = options_.cooldown;
  wait_ = 0;
}

void ReduceLROnPlateau::save(TrainingProgress& progress) const {
  monitor_.save(progress);
  detail::put_count(progress, "wait", wait_);
  detail::put_count(progress, "cooldown", cooldown_);
}

void ReduceLROnPlateau::load(const TrainingProgress& progress) {
  const std::int64_t waited = detail::count_in(progress, kPlateau, "wait");
  cooldown_ = detail::count_in(progress, kPlateau, "cooldown");
  wait_ = waited;
  monitor_.load(progress);
}

LearningRateScheduler::LearningRateScheduler(Function function, bool verbose)
    : function_(std::move(function)), verbose_(verbose) {
  if (!function_) {
    detail::fail<ValueError>(kScheduler,
                             "no function: function is empty, expected one from the "
                             "epoch and the rate to a rate");
  }
}

void LearningRateScheduler::on_train_begin(Run& run) { check_settable(run, kScheduler); }

void LearningRateScheduler::on_epoch_begin(Run& run, std::int64_t epoch) {
  const double rate = function_(epoch, run.learning_rate());
  detail::check_positive(kScheduler, "rate of the function", rate);
  run.set_learning_rate(rate);
  if (verbose_) {
    run.say("Epoch " + std::to_string(epoch + 1) +
            ": LearningRateScheduler setting learning rate to " + rate_text(rate) + ".");
  }
}

void LearningRateScheduler::on_epoch_end(Run& run, std::int64_t, Logs& logs) {
  logs.set("learning_rate", run.learning_rate());
}

}  // namespace xtape
