#pragma once
// Composing error messages, one place for their form.

#include <xtape/base/error.hpp>

#include <sstream>
#include <string>

namespace xtape::detail {

/// "op: part part part" from anything that prints.
template <class... Parts>
std::string message(const std::string& op, const Parts&... parts) {
  std::ostringstream out;
  out << op << ": ";
  (out << ... << parts);
  return out.str();
}

template <class E, class... Parts>
[[noreturn]] void fail(const std::string& op, const Parts&... parts) {
  throw E(message(op, parts...));
}

}  // namespace xtape::detail
