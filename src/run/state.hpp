#pragma once
// Reading back what a callback saved.

#include "base/message.hpp"

#include <xtape/run/training_progress.hpp>

#include <cmath>

namespace xtape::detail {

/// A count of this name. ValueError when it is not there.
inline std::int64_t count_in(const TrainingProgress& progress, const char* who, const char* name) {
  const auto found = progress.numbers.find(name);
  const double value = found == progress.numbers.end() ? -1 : found->second;
  if (value >= 0 && value < 9007199254740992.0 && value == std::floor(value)) {
    return static_cast<std::int64_t>(value);
  }
  fail<ValueError>(who, "state out of form: '", name, "' is ",
                   found == progress.numbers.end() ? "missing" : std::to_string(value),
                   ", expected a count; the checkpoint was not written by this callback");
}

/// A text of this name; null when it is not there.
inline const std::string* text_in(const TrainingProgress& progress, const std::string& name) {
  const auto found = progress.texts.find(name);
  return found == progress.texts.end() ? nullptr : &found->second;
}

inline void put_count(TrainingProgress& progress, const char* name, std::int64_t value) {
  progress.numbers[name] = static_cast<double>(value);
}

}  // namespace xtape::detail
