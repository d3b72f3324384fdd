#pragma once
// Paths with placeholders in braces, as Python's str.format fills them.

#include <xtape/run/history.hpp>

#include <string>

namespace xtape::detail {

/// Fills "{name}" and "{name:format}" of the pattern from the logs. A format is [0][width][d] for whole
/// numbers and [0][width][.digits]f, e or g for all. "{{" and "}}" are braces. ValueError for an unknown
/// name and a malformed pattern.
std::string fill_path(const std::string& who, const std::string& pattern, const Logs& logs);

/// Throws ValueError for a malformed pattern.
void check_path(const std::string& who, const std::string& pattern);

}  // namespace xtape::detail
