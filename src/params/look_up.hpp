#pragma once
// Choosing by name, with an error that lists the names.

#include "base/message.hpp"

#include <initializer_list>
#include <string>
#include <utility>

namespace xtape::detail {

/// Returns the value that goes with a name. A row may hold several names, with spaces between them.
/// ValueError listing all names when there is none; `hint` says what else one may pass.
template <class V>
V look_up(const char* op, const char* what, const std::string& name,
          const std::initializer_list<std::pair<const char*, V>>& known,
          const char* hint = "pass one of these") {
  std::string names;
  for (const auto& [row, value] : known) {
    names += ' ';
    names += row;
    const std::string padded = ' ' + std::string(row) + ' ';
    const bool one = name.find(' ') == std::string::npos;
    if (one && padded.find(' ' + name + ' ') != std::string::npos) return value;
  }
  fail<ValueError>(op, "unknown name: ", what, " is '", name, "', expected one of:", names, "; ",
                   hint);
}

/// Returns the object that default options make, for the rows of a catalogue.
template <class Object, class Options> Object made() { return Options{}; }

}  // namespace xtape::detail
