#pragma once
// Checks of options, one place for the wording: "<who>: <option> out of range: <option> is <value>,
// expected <range>".

#include "base/message.hpp"

#include <cmath>

namespace xtape::detail {

template <class V>
void check_option(bool good, const char* who, const char* option, const V& value,
                  const char* expected) {
  if (good) return;
  fail<ValueError>(who, option, " out of range: ", option, " is ", value, ", expected ", expected);
}

inline void check_positive(const char* who, const char* option, double value) {
  check_option(value > 0 && std::isfinite(value), who, option, value, "a positive number");
}

inline void check_not_negative(const char* who, const char* option, double value) {
  check_option(value >= 0 && std::isfinite(value), who, option, value,
               "a finite number, 0 or more");
}

/// 0 to 1, or below 1.
inline void check_unit(const char* who, const char* option, double value, bool one_allowed) {
  check_option(value >= 0 && (value < 1 || (one_allowed && value == 1)), who, option, value,
               one_allowed ? "0 to 1" : "at least 0 and below 1");
}

/// What keeps a quotient finite must not vanish when it becomes a T.
template <class T>
void check_epsilon(const char* who, double epsilon, const char* option = "epsilon") {
  check_option(static_cast<T>(epsilon) > 0 && std::isfinite(epsilon), who, option, epsilon,
               "a positive number of the weights' type");
}

}  // namespace xtape::detail
