#pragma once
// The checks of fit's options, before any work.

#include <xtape/run/fit.hpp>

#include "base/check.hpp"

namespace xtape::detail {

inline constexpr std::int64_t kMostShards = 1 << 20;

/// Returns the options. ValueError when one is out of range or lacks another that it needs.
template <class T> FitOptions<T> checked_fit_options(FitOptions<T> o) {
  const char* who = "fit";
  const auto positive = [&](const char* name, const std::optional<std::int64_t>& value) {
    if (value) check_count(who, name, *value);
  };
  check_whole(who, "epochs", o.epochs);
  check_whole(who, "initial_epoch", o.initial_epoch);
  positive("steps_per_epoch", o.steps_per_epoch);
  positive("validation_steps", o.validation_steps);
  positive("validation_freq", o.validation_freq);
  if (o.clip_norm) check_positive(who, "clip_norm", *o.clip_norm);
  check_option(o.shards >= 1 && o.shards <= kMostShards, who, "shards", o.shards, "1 to ",
               kMostShards);
  check_count(who, "verify_steps", o.verify_steps);
  if (o.team != nullptr && o.team->size() == 1) o.team = nullptr;  // nobody to agree with
  check_whole(who, "save_steps", o.save_steps);
  check_whole(who, "save_epochs", o.save_epochs);
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
