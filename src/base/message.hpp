#pragma once
// The form of error messages.

#include <xtape/base/error.hpp>

#include <sstream>
#include <string>

namespace xtape::detail {

/// Returns "op: " and the parts, which are anything that prints. `op` is empty for a layer in the root scope.
template <class... Parts> std::string message(const std::string& op, const Parts&... parts) {
  std::ostringstream out;
  out << (op.empty() ? "layer" : op.c_str()) << ": ";
  (out << ... << parts);
  return out.str();
}

/// Throws an E with such a message.
template <class E, class... Parts>
[[noreturn]] void fail(const std::string& op, const Parts&... parts) {
  throw E(message(op, parts...));
}

}  // namespace xtape::detail
