#pragma once
// Checks of the states that metrics load.

#include "base/message.hpp"

#include <cmath>
#include <cstdint>
#include <span>

namespace xtape::detail {

inline void check_state(const std::string& who, std::span<const double> state, std::size_t n) {
  if (state.size() == n) return;
  fail<ValueError>(who, "state of another metric: state has ", state.size(), " numbers, expected ",
                   n);
}

/// Returns a count that was saved as a double. ValueError unless it is whole and below 2^53.
inline std::int64_t state_count(const std::string& who, double value) {
  if (value >= 0 && value < 9007199254740992.0 && value == std::floor(value)) {
    return static_cast<std::int64_t>(value);
  }
  fail<ValueError>(who, "state out of range: a count is ", value, ", expected a whole number");
}

}  // namespace xtape::detail
