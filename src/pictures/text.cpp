#include "pictures/text.hpp"

#include "io/file.hpp"

#include <xtape/pictures/pictures.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace xtape {
namespace pictures {
namespace {

/// The code point at `at` of a text in UTF-8. Moves `at` behind it.
std::int64_t decode(const std::string& text, std::size_t& at) {
  const std::size_t length =
      std::max<std::size_t>(1, io::character_length(std::string_view(text).substr(at)));
  const auto byte = [&] { return static_cast<unsigned char>(text[at++]); };
  std::int64_t code = byte();
  if (length > 1) code &= 0x7F >> length;
  for (std::size_t i = 1; i < length; ++i) code = code * 64 + (byte() & 0x3F);
  return code;
}

void encode(std::int64_t code, std::string& out) {
  const auto add = [&out](std::int64_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return add(code);
  if (code < 0x800) {
    add(0xC0 | code >> 6);
  } else if (code < 0x10000) {
    add(0xE0 | code >> 12);
    add(0x80 | (code >> 6 & 0x3F));
  } else {
    add(0xF0 | code >> 18);
    add(0x80 | (code >> 12 & 0x3F));
    add(0x80 | (code >> 6 & 0x3F));
  }
  add(0x80 | (code & 0x3F));
}

void encode_xml(std::int64_t code, std::string& out) {
  switch (code) {
    case '&': out += "&amp;"; return;
    case '<': out += "&lt;"; return;
    case '>': out += "&gt;"; return;
    case '"': out += "&quot;"; return;
    case 0xFFFE:
    case 0xFFFF: code = 0xFFFD; break;  // XML has no way to say these, nor those below 32
    default: break;
  }
  encode(code < 32 ? 0x2400 + code : code == 127 ? 0x2421 : code, out);
}

bool in(std::int64_t code, std::int64_t first, std::int64_t last) {
  return first <= code && code <= last;
}

/// Columns of a terminal, roughly: East Asian characters and pictures take two, accents none.
std::size_t columns(std::int64_t c) {
  if (in(c, 0x300, 0x36F) || in(c, 0x200B, 0x200F) || in(c, 0x20D0, 0x20FF) ||
      in(c, 0xFE00, 0xFE0F)) {
    return 0;
  }
  const bool wide = in(c, 0x1100, 0x115F) || in(c, 0x2E80, 0xA4CF) || in(c, 0xAC00, 0xD7A3) ||
                    in(c, 0xF900, 0xFAFF) || in(c, 0xFE30, 0xFE6F) || in(c, 0xFF00, 0xFF60) ||
                    in(c, 0xFFE0, 0xFFE6) || in(c, 0x1F300, 0x1FAFF) || in(c, 0x20000, 0x3FFFD);
  return wide ? 2 : 1;
}

}  // namespace

std::string number(double value, int digits) {
  std::array<char, 64> buffer;
  if (value == 0) value = 0;  // no -0
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::general, digits)
                       .ptr;
  return {buffer.data(), end};
}

void check_utf8(const std::string& who, const std::string& what, const std::string& text) {
  const std::size_t at = io::malformed_at(text);
  if (at == text.size()) return;
  detail::fail<ValueError>(who, what, " is not UTF-8: byte ", at, " is ",
                           static_cast<int>(static_cast<unsigned char>(text[at])),
                           ", expected a complete character; decode it before");
}

std::string xml_text(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) encode_xml(decode(text, at), out);
  return out;
}

Label label(const std::string& token, std::size_t widest) {
  Label whole;
  Label part;  // fits together with the sign of omission
  for (std::size_t at = 0; at < token.size();) {
    const std::int64_t code = decode(token, at);
    whole.width += columns(code);
    encode_xml(code == ' ' ? 0x2423 : code, whole.text);
    if (whole.width < widest) part = whole;
  }
  if (whole.width <= widest) return whole;
  return {part.text + "…", part.width + 1};
}

std::string svg_begin(double width, double height) {
  std::string out;
  put(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" ",
      "width=\"", width, "\" height=\"", height, "\" viewBox=\"0 0 ", width, " ", height,
      "\" font-family=\"'DejaVu Sans',Verdana,Arial,sans-serif\" font-size=\"12\" fill=\"#333\">\n",
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
  return out;
}

void put_title(std::string& out, double x, double y, const std::string& title) {
  if (title.empty()) return;
  put(out, "<text class=\"title\" x=\"", x, "\" y=\"", y,
      "\" font-size=\"15\" font-weight=\"bold\">", xml_text(title), "</text>\n");
}

std::vector<double> ticks(double low, double high, int count, bool whole) {
  const double rough = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double m : {1.0, 2.0, 5.0}) {
    if (m * power >= rough * 0.7) {
      step = m * power;
      break;
    }
  }
  if (whole) step = std::max(1.0, step);
  std::vector<double> out;
  const double slack = 1e-9 * (high - low);
  for (double i = std::ceil((low - slack) / step); i * step <= high + slack; ++i) {
    out.push_back(i * step);
  }
  return out;
}

int digits_of(const std::vector<double>& ticks) {
  if (ticks.size() < 2) return 6;
  const double most = std::max(std::abs(ticks.front()), std::abs(ticks.back()));
  const double ratio = most / (ticks[1] - ticks[0]);
  return std::clamp(static_cast<int>(std::ceil(std::log10(ratio))) + 2, 6, 15);
}

std::vector<double> log_ticks(double low, double high, int count) {
  const double decades = std::log10(high) - std::log10(low);
  std::vector<double> out;
  const int every = std::max(1, static_cast<int>(std::ceil(decades / count)));
  for (int e = static_cast<int>(std::floor(std::log10(low))); std::pow(10.0, e) <= high; ++e) {
    if (e % every != 0) continue;
    for (const double m : {1.0, 2.0, 5.0}) {
      const double value = m * std::pow(10.0, e);
      if ((m == 1 || decades < 2.5) && value >= low && value <= high) out.push_back(value);
    }
  }
  return out.size() < 3 ? ticks(low, high, count) : out;
}

}  // namespace pictures

void write_text(const std::string& path, const std::string& text) { io::write_file(path, text); }

}  // namespace xtape
