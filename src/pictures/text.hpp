#pragma once
// Text of SVG files: numbers, labels, axes.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace xtape::pictures {

/// Returns a number in at most `digits` significant digits, in every locale.
std::string number(double value, int digits = 6);

/// Appends strings and numbers.
inline void put(std::string&) {}
template <class... Rest> void put(std::string& out, std::string_view text, const Rest&... rest);
template <class... Rest> void put(std::string& out, double value, const Rest&... rest) {
  out += number(value);
  put(out, rest...);
}
template <class... Rest> void put(std::string& out, std::string_view text, const Rest&... rest) {
  out += text;
  put(out, rest...);
}

/// Throws ValueError unless the text is UTF-8; `who` and `what` are for the message.
void check_utf8(const std::string& who, const std::string& what, const std::string& text);

/// Escapes a text in UTF-8 for XML.
std::string xml_text(const std::string& text);

/// Makes a label of a token: at most `widest` columns, spaces and control characters as signs.
struct Label {
  std::string text;       // as it stands in XML
  std::size_t width = 0;  // in columns of a monospaced font
};
Label label(const std::string& token, std::size_t widest = 24);

/// Begins a file of this size in pixels.
std::string svg_begin(double width, double height);

/// Appends the title of a picture, unless it is empty.
void put_title(std::string& out, double x, double y, const std::string& title);

/// Returns round numbers in [low, high], about `count` of them; at least two.
std::vector<double> ticks(double low, double high, int count, bool whole = false);
/// Returns the number of significant digits that tell these ticks apart.
int digits_of(const std::vector<double>& ticks);
/// Returns round numbers on a logarithmic axis.
std::vector<double> log_ticks(double low, double high, int count);

}  // namespace xtape::pictures
