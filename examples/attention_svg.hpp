#pragma once
// A picture of attention: a row for each written character, a column for each read one.

#include <xtape/xtape.hpp>

#include <cstdio>
#include <fstream>
#include <string>

namespace examples {

inline std::string xml_text(char c) {
  switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case ' ': return "&#x2423;";  // a visible space
    default: return std::string(1, c);
  }
}

/// Writes the weights (target characters, source characters) as an SVG file. The exact weight of a
/// cell is its title. IoError when the file cannot be written.
inline void write_attention_svg(const std::string& path, const std::string& source,
                                const std::string& target, const xtape::Array<double>& weights) {
  constexpr int kCell = 24, kLeft = 48, kTop = 56;
  const int width = kLeft + kCell * static_cast<int>(source.size()) + 16;
  const int height = kTop + kCell * static_cast<int>(target.size()) + 16;
  char line[400];
  std::string svg = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  std::snprintf(line, sizeof line,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                "font-family=\"monospace\" font-size=\"15\" text-anchor=\"middle\">\n"
                "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
                "<text x=\"%d\" y=\"18\" font-size=\"12\" text-anchor=\"start\" fill=\"#555\">"
                "read: columns, written: rows; darker = more attention</text>\n",
                width, height, 12);
  svg += line;
  for (std::size_t j = 0; j < source.size(); ++j) {
    std::snprintf(line, sizeof line, "<text class=\"source\" x=\"%d\" y=\"%d\">%s</text>\n",
                  kLeft + kCell * static_cast<int>(j) + kCell / 2, kTop - 10,
                  xml_text(source[j]).c_str());
    svg += line;
  }
  for (std::size_t i = 0; i < target.size(); ++i) {
    const int y = kTop + kCell * static_cast<int>(i);
    std::snprintf(line, sizeof line, "<text class=\"target\" x=\"%d\" y=\"%d\">%s</text>\n",
                  kLeft - 18, y + 17, xml_text(target[i]).c_str());
    svg += line;
    for (std::size_t j = 0; j < source.size(); ++j) {
      const double w = weights(i, j);
      std::snprintf(line, sizeof line,
                    "<rect class=\"cell\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" "
                    "fill=\"#0b4f8a\" fill-opacity=\"%.3f\" stroke=\"#e4e4e4\"><title>%.9f</title>"
                    "</rect>\n",
                    kLeft + kCell * static_cast<int>(j), y, kCell, kCell, w, w);
      svg += line;
    }
  }
  svg += "</svg>\n";
  std::ofstream file(path, std::ios::binary);
  file << svg;
  file.close();
  if (!file) throw xtape::IoError(path + ": cannot be written: expected a writable path");
}

}  // namespace examples
