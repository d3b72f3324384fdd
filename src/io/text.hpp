#pragma once
// Bytes of files: where they come from and go, UTF-8, and texts as messages show them.

#include "base/message.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace xtape::io {

using Bytes = std::span<const std::byte>;

/// Takes the bytes of a writer.
using Sink = std::function<void(Bytes)>;

/// The name of a file, for its errors.
class Source {
 public:
  explicit Source(std::string name) : name_(std::move(name)) {}
  [[nodiscard]] const std::string& name() const { return name_; }

  /// Throws FormatError "name: parts (at byte offset)".
  template <class... Parts>
  [[noreturn]] void fail(std::uint64_t offset, const Parts&... parts) const {
    throw FormatError(detail::message(name_, parts..., " (at byte ", offset, ")"), offset);
  }

 private:
  std::string name_;
};

inline Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Returns the bytes of the well-formed UTF-8 character at the beginning of the text; 0 for none.
std::size_t character_length(std::string_view text) noexcept;
/// Returns where the first malformed character begins; the size of a text that is UTF-8.
std::size_t malformed_at(std::string_view text) noexcept;
inline bool valid_utf8(std::string_view text) noexcept { return malformed_at(text) == text.size(); }

/// Returns the last `digits` hexadecimal digits of a number.
std::string hex(std::uint64_t value, std::size_t digits);

/// Shortens a text from a file for a message, and escapes characters that could disturb a terminal.
std::string escaped(std::string_view text, std::size_t longest);
/// Escapes and quotes a name for a message.
std::string printable(std::string_view name);

}  // namespace xtape::io
