#include "io/text.hpp"

namespace xtape::io {

std::size_t character_length(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead < 0x80                    ? 1
                             : lead >= 0xC2 && lead <= 0xDF ? 2
                             : lead >= 0xE0 && lead <= 0xEF ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
  if (length > text.size()) return 0;
  for (std::size_t k = 1; k < length; ++k) {
    const auto next = static_cast<unsigned char>(text[k]);
    // The second byte rules out overlong forms, surrogates, and what lies beyond U+10FFFF.
    const unsigned char low = k > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = k > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (next < low || next > high) return 0;
  }
  return length;
}

std::size_t malformed_at(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = character_length(text.substr(at));
    if (length == 0) break;
    at += length;
  }
  return at;
}

std::string hex(std::uint64_t value, std::size_t digits) {
  std::string out(digits, '0');
  for (std::size_t i = digits; i-- > 0; value >>= 4U) out[i] = "0123456789abcdef"[value & 15U];
  return out;
}

std::string escaped(std::string_view text, std::size_t longest) {
  const bool cut = text.size() > longest;
  while (cut && longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xC0U) == 0x80) {
    --longest;
  }
  text = text.substr(0, longest);
  const bool plain = valid_utf8(text);
  std::string out;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u == 0x7F || (u > 0x7F && !plain)) {
      out += "\\x" + hex(u, 2);
    } else {
      out += c;
    }
  }
  return cut ? out + "..." : out;
}

std::string printable(std::string_view name) { return "'" + escaped(name, 120) + "'"; }

}  // namespace xtape::io
