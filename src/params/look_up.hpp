#pragma once
// Choosing by name, with an error that lists the names.

#include "base/message.hpp"

#include <initializer_list>
#include <string>
#include <utility>

namespace xtape::detail {

/// The value that goes with a name. ValueError listing all names when there is none; `hint` says
/// what else one may pass.
template <class V>
V look_up(const char* op, const char* what, const std::string& name,
          const std::initializer_list<std::pair<const char*, V>>& known,
          const char* hint = "pass one of these") {
  std::string names;
  for (const auto& [label, value] : known) {
    if (name == label) return value;
    names += ' ';
    names += label;
  }
  fail<ValueError>(op, "unknown name: ", what, " is '", name, "', expected one of:", names, "; ",
                   hint);
}

}  // namespace xtape::detail
