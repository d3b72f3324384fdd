#pragma once
// Numbers as text for people. std::to_chars writes them alike in every locale; printf and streams do not.

#include <charconv>
#include <string>

namespace xtape::detail {

/// Returns what printf writes in the C locale with "%.<digits>f", "%.<digits>e" or "%.<digits>g".
inline std::string number_text(double value, std::chars_format form, int digits) {
  char text
      [1400];  // the largest double has 309 digits, and path patterns allow 999 behind the point
  const auto end = std::to_chars(text, text + sizeof text, value, form, digits);
  return {text, end.ptr};
}

inline std::string fixed(double value, int digits) {
  return number_text(value, std::chars_format::fixed, digits);
}

}  // namespace xtape::detail
