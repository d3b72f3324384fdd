#include <xtape/run/callback.hpp>

#include "base/check.hpp"

#include <cmath>

namespace xtape {

using detail::fail;

Monitor::Monitor(std::string owner, std::string monitor, MonitorMode mode, double min_delta)
    : owner_(std::move(owner)),
      monitor_(std::move(monitor)),
      mode_(mode),
      min_delta_(std::abs(min_delta)) {
  if (monitor_.empty()) {
    fail<ValueError>(owner_, "no number to watch: monitor is '', expected a name as 'val_loss'");
  }
  detail::check_number(owner_, "min_delta", min_delta);
}

void Monitor::begin(const Run& run, std::optional<double> first) {
  best = first;
  warned_ = false;
  if (mode_ != MonitorMode::automatic) {
    higher_ = mode_ == MonitorMode::max;
    return;
  }
  const std::string bare = monitor_.starts_with("val_") ? monitor_.substr(4) : monitor_;
  for (const Metric* metric : run.metrics()) {
    if (metric->name() == bare) {
      higher_ = metric->higher_is_better();
      return;
    }
  }
  if (bare != "loss") {
    fail<ValueError>(owner_, "direction unknown: monitor is '", monitor_,
                     "', expected 'loss' or the name of one of fit's metrics, or either with "
                     "'val_' in front; set mode to MonitorMode::max or MonitorMode::min");
  }
  higher_ = false;
}

bool Monitor::better(double value, std::optional<double> reference) const {
  if (std::isnan(value)) return false;
  if (!reference) return true;
  return higher_ ? value - min_delta_ > *reference : value + min_delta_ < *reference;
}

const double* Monitor::find(const Run& run, const Logs& logs) {
  const double* value = logs.find(monitor_);
  if (value == nullptr && !warned_) {
    warned_ = true;
    run.say(owner_ + ": number missing: monitor is '" + monitor_ +
            "', expected one of the logs: " + logs.names());
  }
  return value;
}

void Monitor::save(TrainingProgress& progress) const {
  if (best) progress.numbers["best"] = *best;
  progress.numbers["warned"] = warned_ ? 1 : 0;
}

void Monitor::load(const TrainingProgress& progress) {
  best.reset();
  const auto found = progress.numbers.find("best");
  if (found != progress.numbers.end()) best = found->second;
  const auto warned = progress.numbers.find("warned");
  warned_ = warned != progress.numbers.end() && warned->second != 0;
}

}  // namespace xtape
