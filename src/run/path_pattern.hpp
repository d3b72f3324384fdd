#pragma once
// Paths with placeholders in braces, as Python's str.format fills them.

#include <xtape/run/history.hpp>

#include <string>

namespace xtape::detail {

/// The pattern with "{name}" and "{name:format}" filled in from the logs. A format is [0][width][d] for
/// whole numbers and [0][width][.digits]f, e or g for all; without one whole numbers are written as
/// such. "{{" and "}}" are braces. ValueError for a name that is not there and a malformed pattern.
std::string fill_path(const std::string& who, const std::string& pattern, const Logs& logs);

/// ValueError for a malformed pattern, whatever its names.
void check_path(const std::string& who, const std::string& pattern);

}  // namespace xtape::detail
