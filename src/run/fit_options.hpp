#pragma once
// What fit refuses before any work.

#include <xtape/run/fit.hpp>

#include "base/check.hpp"

namespace xtape::detail {

/// The options, unless one is out of range or lacks another it needs (ValueError).
template <class T>
FitOptions<T> checked_fit_options(FitOptions<T> o) {
  const char* who = "fit";
  const auto positive = [&](const char* name, const std::optional<std::int64_t>& value) {
    if (value) check_option(*value > 0, who, name, *value, "a positive number");
  };
  check_option(o.epochs >= 0, who, "epochs", o.epochs, "0 or more");
  check_option(o.initial_epoch >= 0, who, "initial_epoch", o.initial_epoch, "0 or more");
  positive("steps_per_epoch", o.steps_per_epoch);
  positive("validation_steps", o.validation_steps);
  positive("validation_freq", o.validation_freq);
  if (o.clip_norm) check_positive(who, "clip_norm", *o.clip_norm);
  check_option(o.save_steps >= 0, who, "save_steps", o.save_steps, "0 or more");
  check_option(o.save_epochs >= 0, who, "save_epochs", o.save_epochs, "0 or more");
  if (o.checkpoints == nullptr && (o.resume || o.save_steps > 0 || !o.best_monitor.empty())) {
    fail<ValueError>(who, "no checkpoints: ",
                     o.resume           ? "resume is true"
                     : o.save_steps > 0 ? "save_steps is set"
                                        : "best_monitor is set",
                     " but checkpoints is null, expected the address of a Checkpoints");
  }
  if (!o.validation && o.validation_steps) {
    fail<ValueError>(who, "no validation: validation_steps is ", *o.validation_steps,
                     " but there are no batches for it, expected {batches, step}");
  }
  return o;
}

}  // namespace xtape::detail
