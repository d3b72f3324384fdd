#pragma once
// Checks of options, one place for the wording: "<who>: <option> out of range: <option> is <value>,
// expected <range>". `who` is a path or the name of an operation.

#include "base/message.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

namespace xtape::detail {

/// Throws ValueError unless `good`. The parts of `expected` are printed one after the other.
template <class Who, class V, class... Expected>
void check_option(bool good, const Who& who, const char* option, const V& value,
                  const Expected&... expected) {
  if (good) return;
  fail<ValueError>(who, option, " out of range: ", option, " is ", value, ", expected ",
                   expected...);
}

template <class Who> void check_number(const Who& who, const char* option, double value) {
  check_option(std::isfinite(value), who, option, value, "a finite number");
}

template <class Who> void check_positive(const Who& who, const char* option, double value) {
  check_option(value > 0 && std::isfinite(value), who, option, value, "a positive number");
}

template <class Who> void check_count(const Who& who, const char* option, std::int64_t value) {
  check_option(value > 0, who, option, value, "a positive number");
}

template <class Who>
void check_whole(const Who& who, const char* option, std::int64_t value,
                 const char* expected = "0 or more") {
  check_option(value >= 0, who, option, value, expected);
}

template <class Who>
void check_positive_integer(const Who& who, const char* option, std::int64_t value) {
  check_option(value > 0, who, option, value, "a positive integer");
}

template <class Who> void check_not_negative(const Who& who, const char* option, double value) {
  check_option(value >= 0 && std::isfinite(value), who, option, value,
               "a finite number, 0 or more");
}

/// The range is 0 to 1, without 1 unless `one_allowed`.
template <class Who>
void check_unit(const Who& who, const char* option, double value, bool one_allowed) {
  check_option(value >= 0 && (value < 1 || (one_allowed && value == 1)), who, option, value,
               one_allowed ? "0 to 1" : "at least 0 and below 1");
}

/// Throws ValueError unless a finite T holds the number.
template <class T, class Who> void check_fits(const Who& who, const char* option, double value) {
  check_option(std::abs(value) <= static_cast<double>(std::numeric_limits<T>::max()), who, option,
               value, "a number that the weights' type holds");
}

/// Throws ValueError unless epsilon is positive as a T, so that it keeps a quotient finite.
template <class T>
void check_epsilon(const char* who, double epsilon, const char* option = "epsilon") {
  check_option(static_cast<T>(epsilon) > 0 && std::isfinite(epsilon), who, option, epsilon,
               "a positive number of the weights' type");
}

}  // namespace xtape::detail
