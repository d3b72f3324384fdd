#pragma once
// The state of callbacks and metrics in a checkpoint: numbers and texts by name.

#include "base/message.hpp"

#include <xtape/run/training_progress.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace xtape::detail {

/// Returns the count of this name. ValueError when it is missing or no count.
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

inline void put_count(TrainingProgress& progress, const char* name, std::int64_t value) {
  progress.numbers[name] = static_cast<double>(value);
}

/// Returns the text of this name, or null.
inline const std::string* text_in(const TrainingProgress& progress, const std::string& name) {
  const auto found = progress.texts.find(name);
  return found == progress.texts.end() ? nullptr : &found->second;
}

/// Returns the lines of a text, without their ends.
inline std::vector<std::string> lines_in(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

/// Adds numbers and texts to the progress, with a prefix before their names.
inline void put_below(TrainingProgress& progress, const std::string& prefix, TrainingProgress own) {
  for (const auto& [name, value] : own.numbers) progress.numbers[prefix + name] = value;
  for (auto& [name, text] : own.texts) progress.texts[prefix + name] = std::move(text);
}

/// Returns the progress with those numbers and texts alone whose names have the prefix, without it.
inline TrainingProgress below(const TrainingProgress& progress, const std::string& prefix) {
  const auto select = [&](const auto& all) {
    std::decay_t<decltype(all)> found;
    for (auto it = all.lower_bound(prefix); it != all.end() && it->first.starts_with(prefix);
         ++it) {
      found.emplace(it->first.substr(prefix.size()), it->second);
    }
    return found;
  };
  TrainingProgress own = progress;
  own.numbers = select(progress.numbers);
  own.texts = select(progress.texts);
  return own;
}

}  // namespace xtape::detail
