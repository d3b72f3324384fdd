#include "array/shapes.hpp"
#include "base/instantiate.hpp"
#include "io/text.hpp"
#include "pictures/text.hpp"

#include <xtape/pictures/pictures.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace xtape {
namespace {

using pictures::Label;
using pictures::put;

constexpr const char* kAttention = "attention_svg";
constexpr std::size_t kMostTitles = 20000;
constexpr double kEdge = 14;      // around the picture, and between its parts
constexpr double kWidest = 1400;  // heads beyond it begin another line
constexpr double kLegend = 90;

// From small to large scores, evenly darker.
struct Colour {
  double red, green, blue;
};
constexpr std::array<Colour, 5> kColours = {
    {{255, 255, 255}, {190, 215, 236}, {98, 157, 206}, {24, 92, 155}, {6, 32, 72}}};

std::string colour(double t) {
  const double at = std::clamp(t, 0.0, 1.0) * (kColours.size() - 1);
  const auto i = std::min(static_cast<std::size_t>(at), kColours.size() - 2);
  const double part = at - static_cast<double>(i);
  const auto mix = [part](double a, double b) {
    return static_cast<unsigned>(std::lround(a + (b - a) * part));
  };
  const Colour& a = kColours[i];
  const Colour& b = kColours[i + 1];
  const unsigned code =
      mix(a.red, b.red) << 16U | mix(a.green, b.green) << 8U | mix(a.blue, b.blue);
  return "#" + io::hex(code, 6);
}

std::vector<Label> labels_of(const char* what, const std::vector<std::string>& tokens) {
  std::vector<Label> out;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    pictures::check_utf8(kAttention, std::string(what) + "[" + std::to_string(i) + "]", tokens[i]);
    out.push_back(pictures::label(tokens[i]));
  }
  return out;
}

std::size_t widest(const std::vector<Label>& labels) {
  std::size_t width = 0;
  for (const Label& l : labels) width = std::max(width, l.width);
  return width;
}

// The positions of all parts, in pixels.
struct Layout {
  double cell, font, left, top, above;  // above: the height of labels and titles over the cells
  double map_width, map_height;
  std::size_t per_line, lines;
  bool upright;  // labels of columns

  Layout(std::size_t heads, std::size_t rows, std::size_t columns, std::size_t widest_row,
         std::size_t widest_column, bool names, const AttentionPictureOptions& o) {
    const auto most = static_cast<double>(std::max<std::size_t>({rows, columns, 1}));
    cell = heads > 1 ? std::clamp(std::floor(300 / most), 13.0, 20.0)
                     : std::clamp(std::floor(640 / most), 13.0, 26.0);
    font = std::min(14.0, std::floor(cell * 0.72));
    const double letter = 0.62 * font;
    upright = widest_column <= 1;
    left = kEdge + static_cast<double>(widest_row) * letter + 8 + (o.row_title.empty() ? 0 : 20);
    top = kEdge + (o.title.empty() ? 0 : 26);
    above = (names ? 20 : 0) + (o.column_title.empty() ? 0 : 20) + 6 +
            (upright ? font : static_cast<double>(widest_column) * letter);
    map_width = cell * static_cast<double>(columns);
    map_height = cell * static_cast<double>(rows);
    const double room = (kWidest - left - kLegend) / (map_width + kEdge);
    per_line = std::clamp<std::size_t>(static_cast<std::size_t>(std::max(room, 1.0)), 1, heads);
    lines = (heads + per_line - 1) / per_line;
  }
  [[nodiscard]] double x(std::size_t head) const {
    return left + static_cast<double>(head % per_line) * (map_width + kEdge);
  }
  [[nodiscard]] double y(std::size_t head) const {
    return top + above + static_cast<double>(head / per_line) * (above + map_height + kEdge);
  }
  [[nodiscard]] double right() const { return x(per_line - 1) + map_width; }
  [[nodiscard]] double bottom() const { return y(per_line * lines - 1) + map_height; }
};

void put_row_labels(std::string& out, const Layout& at, double y,
                    const std::vector<Label>& labels) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    put(out, "<text class=\"row\" x=\"", at.left - 6, "\" y=\"",
        y + at.cell * (static_cast<double>(i) + 0.5) + 0.36 * at.font, "\">", labels[i].text,
        "</text>\n");
  }
}

void put_column_labels(std::string& out, const Layout& at, double x, double y,
                       const std::vector<Label>& labels) {
  for (std::size_t j = 0; j < labels.size(); ++j) {
    const double middle = x + at.cell * (static_cast<double>(j) + 0.5);
    if (at.upright) {
      put(out, "<text class=\"column\" text-anchor=\"middle\" x=\"", middle, "\" y=\"", y - 6);
    } else {
      put(out, "<text class=\"column\" text-anchor=\"start\" transform=\"translate(",
          middle + 0.36 * at.font, " ", y - 6, ") rotate(-90)");
    }
    put(out, "\">", labels[j].text, "</text>\n");
  }
}

void put_legend(std::string& out, const Layout& at, double low, double high) {
  const double x = at.right() + 2 * kEdge;
  const double y = at.y(0);
  const double height = std::clamp(at.bottom() - y, 60.0, 240.0);
  put(out, "<defs><linearGradient id=\"scale\" x1=\"0\" y1=\"1\" x2=\"0\" y2=\"0\">");
  for (std::size_t i = 0; i < kColours.size(); ++i) {
    const double t = static_cast<double>(i) / (kColours.size() - 1);
    put(out, "<stop offset=\"", t, "\" stop-color=\"", colour(t), "\"/>");
  }
  put(out, "</linearGradient></defs>\n<rect class=\"scale\" x=\"", x, "\" y=\"", y,
      "\" width=\"14\" height=\"", height, "\" fill=\"url(#scale)\" stroke=\"#888\"/>\n");
  for (const double tick : pictures::ticks(low, high, height < 120 ? 2 : 5)) {
    const double ty = y + height * (1 - (tick - low) / (high - low));
    put(out, "<path d=\"M", x + 14, " ", ty, "h4\" stroke=\"#888\"/><text class=\"tick\" x=\"",
        x + 21, "\" y=\"", ty + 4, "\" font-size=\"11\">", tick, "</text>\n");
  }
}

void check_options(const AttentionPictureOptions& o, const Shape& shape, std::size_t heads) {
  pictures::check_utf8(kAttention, "title", o.title);
  pictures::check_utf8(kAttention, "row_title", o.row_title);
  pictures::check_utf8(kAttention, "column_title", o.column_title);
  for (const std::string& name : o.heads) pictures::check_utf8(kAttention, "name of a head", name);
  if (!o.heads.empty() && o.heads.size() != heads) {
    detail::fail<ValueError>(kAttention, "wrong number of heads: heads has ", o.heads.size(),
                             " names, expected ", heads, " for scores ", to_string(shape));
  }
}

template <class T>
std::pair<double, double> range(const Array<T>& scores, const AttentionPictureOptions& o) {
  double low = 0;
  double high = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double score = static_cast<double>(scores.data()[i]);
    if (!std::isfinite(score)) {
      detail::fail<NonFiniteError>(kAttention, "score is not finite: element ", i, " of ",
                                   to_string(scores.shape()), " is ", score,
                                   ", expected numbers; look at what computed it");
    }
    low = std::min(low, score);
    high = std::max(high, score);
  }
  if (o.maximum) {
    high = *o.maximum;
    if (!std::isfinite(high) || high <= low) {
      detail::fail<ValueError>(kAttention, "maximum out of range: maximum is ", high,
                               ", expected a number above ", low, ", where the colours begin");
    }
  }
  return {low, high > low ? high : low + 1};
}

// Appends a title centred at x, or at y when it is turned.
void put_axis_title(std::string& out, double x, double y, bool turned, const std::string& title) {
  if (title.empty()) return;
  put(out, "<text class=\"axis\" text-anchor=\"middle\" fill=\"#666\" ");
  if (turned) {
    put(out, "transform=\"translate(", x, " ", y, ") rotate(-90)");
  } else {
    put(out, "x=\"", x, "\" y=\"", y);
  }
  put(out, "\">", pictures::xml_text(title), "</text>\n");
}

template <class T>
void put_cells(std::string& out, const Layout& at, std::size_t head, const Array<T>& scores,
               double low, double high) {
  const std::size_t rows = scores.shape()[scores.dimension() - 2];
  const std::size_t columns = scores.shape()[scores.dimension() - 1];
  put(out, "<g stroke=\"#fff\" stroke-width=\"", at.cell < 16 ? 0.5 : 1, "\">\n");
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      const double score = static_cast<double>(scores.data()[(head * rows + i) * columns + j]);
      put(out, "<rect class=\"cell\" x=\"", at.x(head) + at.cell * static_cast<double>(j),
          "\" y=\"", at.y(head) + at.cell * static_cast<double>(i), "\" width=\"", at.cell,
          "\" height=\"", at.cell, "\" fill=\"", colour((score - low) / (high - low)), "\"");
      if (scores.size() > kMostTitles) {
        put(out, "/>\n");
      } else {
        put(out, "><title>", pictures::number(score, 9), "</title></rect>\n");
      }
    }
  }
  put(out, "</g>\n");
}

}  // namespace

template <class T>
std::string attention_svg(const Array<T>& scores, const std::vector<std::string>& row_labels,
                          const std::vector<std::string>& column_labels,
                          const AttentionPictureOptions& options) {
  const Shape& shape = scores.shape();
  if (shape.size() != 2 && shape.size() != 3) {
    detail::fail<ShapeError>(kAttention, "wrong rank: scores is ", to_string(shape),
                             ", expected (rows, columns) or (heads, rows, columns); take one "
                             "sample of a batch");
  }
  const bool named = shape.size() == 3;
  const std::size_t heads = named ? shape[0] : 1;
  const std::size_t rows = shape[shape.size() - 2];
  const std::size_t columns = shape[shape.size() - 1];
  if (row_labels.size() != rows || column_labels.size() != columns || heads == 0) {
    detail::fail<ShapeError>(kAttention, "labels do not fit: scores is ", to_string(shape),
                             ", expected (", row_labels.size(), ", ", column_labels.size(),
                             "), a row and a column for each label; cut off the padding");
  }
  check_options(options, shape, heads);
  const auto [low, high] = range(scores, options);
  const std::vector<Label> down = labels_of("row_labels", row_labels);
  const std::vector<Label> across = labels_of("column_labels", column_labels);
  const Layout at(heads, rows, columns, widest(down), widest(across), named, options);

  const double width = std::max(at.right() + kLegend, 240.0);
  const double height = std::max(at.bottom(), at.y(0) + 66) + kEdge;
  std::string out = pictures::svg_begin(std::ceil(width), std::ceil(height));
  pictures::put_title(out, kEdge, kEdge + 12, options.title);
  for (std::size_t head = 0; head < heads; ++head) {
    const double x = at.x(head);
    const double y = at.y(head);
    const double middle = x + at.map_width / 2;
    const bool first_of_line = head % at.per_line == 0;
    put(out, "<g class=\"head\">\n");
    double line = y - at.above + 12;
    if (named) {
      put(out, "<text class=\"name\" text-anchor=\"middle\" font-weight=\"bold\" x=\"", middle,
          "\" y=\"", line, "\">",
          options.heads.empty() ? "head " + std::to_string(head + 1)
                                : pictures::xml_text(options.heads[head]),
          "</text>\n");
      line += 20;
    }
    put_axis_title(out, middle, line, false, options.column_title);
    put(out, "<g font-family=\"'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"", at.font,
        "\" text-anchor=\"end\">\n");
    if (first_of_line) put_row_labels(out, at, y, down);
    put_column_labels(out, at, x, y, across);
    put(out, "</g>\n");
    if (first_of_line) {
      put_axis_title(out, kEdge + 12, y + at.map_height / 2, true, options.row_title);
    }
    put_cells(out, at, head, scores, low, high);
    put(out, "<rect class=\"frame\" x=\"", x, "\" y=\"", y, "\" width=\"", at.map_width,
        "\" height=\"", at.map_height, "\" fill=\"none\" stroke=\"#888\"/>\n</g>\n");
  }
  put_legend(out, at, low, high);
  return out + "</svg>\n";
}
XTAPE_FOR_REALS(attention_svg);

}  // namespace xtape
