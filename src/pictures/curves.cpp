#include "base/message.hpp"
#include "pictures/text.hpp"

#include <xtape/pictures/pictures.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace xtape {
namespace {

using pictures::put;

constexpr const char* kCurves = "curves_svg";
constexpr double kWidth = 400, kHeight = 220;  // of the field of a diagram
constexpr double kLeft = 70, kTop = 40, kRight = 26, kBottom = 46;
constexpr std::size_t kMostPoints = 2000;  // drawn one by one
constexpr std::size_t kMostDots = 40;
constexpr std::array<const char*, 2> kLineColours = {"#1f6fb2", "#d9621e"};

/// One curve of a diagram: training comes first, in the first colour.
struct Line {
  const std::vector<double>* values;
  std::size_t colour;
  const char* what;
};

struct Diagram {
  std::string name;
  bool log;
  std::vector<Line> lines;
};

struct Point {
  double at, value;
};

bool is_validation(const std::string& name) { return name.rfind("val_", 0) == 0; }

const std::vector<double>* find(const Curves& curves, const std::string& name) {
  for (const auto& [other, values] : curves) {
    if (other == name) return &values;
  }
  return nullptr;
}

void check(const Curves& curves, const CurvesOptions& o) {
  pictures::check_utf8(kCurves, "title", o.title);
  pictures::check_utf8(kCurves, "x_title", o.x_title);
  bool any = false;
  for (const auto& [name, values] : curves) {
    pictures::check_utf8(kCurves, "name", name);
    any = any || !values.empty();
    if (find(curves, name) != &values) {
      detail::fail<ValueError>(kCurves, "name given twice: '", name,
                               "', expected each once; put its values into one curve");
    }
  }
  if (!any) {
    detail::fail<ValueError>(kCurves, "nothing to draw: there are ", curves.size(),
                             " curves without a value, expected at least one value; train first");
  }
  if (!std::isfinite(o.first) || !std::isfinite(o.step) || o.step <= 0) {
    detail::fail<ValueError>(kCurves, "axis out of range: first is ", o.first, " and step is ",
                             o.step, ", expected finite numbers and a positive step");
  }
  for (const std::string& name : o.log) {
    const std::vector<double>* const both[] = {find(curves, name), find(curves, "val_" + name)};
    if (both[0] == nullptr && both[1] == nullptr) {
      detail::fail<ValueError>(kCurves, "unknown name in log: there is no curve '", name,
                               "', expected one of those given; correct the name");
    }
    for (const std::vector<double>* values : both) {
      for (std::size_t i = 0; values != nullptr && i < values->size(); ++i) {
        if ((*values)[i] <= 0) {
          detail::fail<ValueError>(
              kCurves, "no logarithm: element ", i, " of '", name, "' is ", (*values)[i],
              ", expected positive values on a logarithmic axis; take it out of log");
        }
      }
    }
  }
}

std::vector<Diagram> diagrams_of(const Curves& curves, const CurvesOptions& o) {
  std::vector<Diagram> out;
  const auto add = [&](const std::string& name, Line line) {
    const auto same = [&name](const Diagram& d) { return d.name == name; };
    auto at = std::find_if(out.begin(), out.end(), same);
    if (at == out.end()) {
      const bool log = std::find(o.log.begin(), o.log.end(), name) != o.log.end();
      at = out.insert(out.end(), {name, log, {}});
    }
    at->lines.insert(line.colour == 0 ? at->lines.begin() : at->lines.end(), line);
  };
  for (const auto& [name, values] : curves) {
    if (is_validation(name)) {
      add(name.substr(4), {&values, 1, "validation"});
    } else {
      add(name, {&values, 0, "training"});
    }
  }
  return out;
}

// An axis. part(value) is 0 at its low end and 1 at its high end.
struct Axis {
  double low, high;
  bool log = false;
  [[nodiscard]] double part(double value) const {
    return log ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low))
               : (value - low) / (high - low);
  }
};

// Differences of larger values overflow, as do ratios of smaller ones.
bool drawable(double value, bool log) {
  return std::abs(value) <= 1e300 && (!log || value >= 1e-300);
}

Axis vertical(const Diagram& d) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const Line& line : d.lines) {
    for (const double value : *line.values) {
      if (!drawable(value, d.log)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (low > high) return d.log ? Axis{0.1, 1, true} : Axis{0, 1};
  if (d.log) {
    const double space = std::max(std::exp(0.06 * (std::log(high) - std::log(low))), 1.05);
    return {std::max(low / space, 1e-304), std::min(high, 1e304 / space) * space, true};
  }
  const double span = high - low;
  const double most = std::max(std::abs(low), std::abs(high));
  // The space around equal values is a part of their size, so that the ticks are short numbers.
  const double space = std::max({0.05 * span, span > 0 ? 1e-12 * most : 0.1 * most, 1e-300});
  if (most == 0) return {0, 1};
  return {low >= 0 && low < 0.3 * span ? 0 : low - space, high + space};
}

/// Returns the values to draw, in runs without gaps.
std::vector<std::vector<Point>> runs(const std::vector<double>& values, bool log,
                                     const CurvesOptions& o) {
  std::vector<std::vector<Point>> out;
  bool gap = true;
  const auto add = [&](std::size_t i) {
    if (i == values.size() || !drawable(values[i], log)) {
      gap = true;
      return;
    }
    if (gap) out.emplace_back();
    gap = false;
    out.back().push_back({o.first + o.step * static_cast<double>(i), values[i]});
  };
  const std::size_t bucket =
      values.size() > kMostPoints ? (values.size() + kMostPoints / 2 - 1) / (kMostPoints / 2) : 1;
  for (std::size_t begin = 0; begin < values.size(); begin += bucket) {
    const std::size_t end = std::min(begin + bucket, values.size());
    std::size_t least = values.size();
    std::size_t greatest = values.size();
    for (std::size_t i = begin; i < end; ++i) {
      if (!drawable(values[i], log)) continue;
      if (least == values.size() || values[i] < values[least]) least = i;
      if (greatest == values.size() || values[i] > values[greatest]) greatest = i;
    }
    add(std::min(least, greatest));
    if (least != greatest) add(std::max(least, greatest));
  }
  return out;
}

void put_axes(std::string& out, const Diagram& d, const Axis& x, const Axis& y,
              const CurvesOptions& o) {
  put(out, "<g font-size=\"11\" stroke=\"none\">\n");
  const std::vector<double> marks =
      y.log ? pictures::log_ticks(y.low, y.high, 6) : pictures::ticks(y.low, y.high, 5);
  const int digits = y.log ? 6 : pictures::digits_of(marks);
  for (const double tick : marks) {
    const double at = kHeight * (1 - y.part(tick));
    put(out, "<path d=\"M0 ", at, "h", kWidth, "\" stroke=\"#e2e2e2\"/><text class=\"tick\" ",
        "text-anchor=\"end\" x=\"-8\" y=\"", at + 4, "\">", pictures::number(tick, digits),
        "</text>\n");
  }
  const bool whole = o.first == std::floor(o.first) && o.step == std::floor(o.step);
  for (const double tick : pictures::ticks(x.low, x.high, 7, whole)) {
    const double at = kWidth * x.part(tick);
    put(out, "<path d=\"M", at, " ", kHeight, "v5\" stroke=\"#888\"/><text class=\"tick\" ",
        "text-anchor=\"middle\" x=\"", at, "\" y=\"", kHeight + 18, "\">",
        pictures::number(tick, 12), "</text>\n");
  }
  put(out, "<text class=\"axis\" text-anchor=\"middle\" fill=\"#666\" x=\"", kWidth / 2, "\" y=\"",
      kHeight + 36, "\">", pictures::xml_text(o.x_title), "</text>\n</g>\n",
      "<text class=\"name\" font-size=\"13\" font-weight=\"bold\" x=\"0\" y=\"-12\">",
      pictures::label(d.name, 30).text, y.log ? " (log)" : "", "</text>\n");
}

void put_legend(std::string& out, const Diagram& d) {
  if (d.lines.size() == 1 && d.lines[0].colour == 0) return;
  double at = kWidth;
  for (auto line = d.lines.rbegin(); line != d.lines.rend(); ++line) {
    at -= line->colour == 0 ? 60 : 68;
    put(out, "<text class=\"legend\" font-size=\"11\" x=\"", at, "\" y=\"-12\">", line->what,
        "</text><path d=\"M", at - 24, " -16h18\" stroke=\"", kLineColours[line->colour],
        "\" stroke-width=\"2.5\"/>\n");
    at -= 40;
  }
}

void put_line(std::string& out, const Line& line, const Axis& x, const Axis& y,
              const CurvesOptions& o) {
  const char* colour = kLineColours[line.colour];
  for (const std::vector<Point>& run : runs(*line.values, y.log, o)) {
    if (run.size() > 1) {
      put(out, "<polyline class=\"", line.what, "\" fill=\"none\" stroke=\"", colour,
          "\" stroke-width=\"2\" stroke-linejoin=\"round\" points=\"");
      for (const Point& p : run) {
        put(out, &p == run.data() ? "" : " ", kWidth * x.part(p.at), ",",
            kHeight * (1 - y.part(p.value)));
      }
      put(out, "\"/>\n");
    }
    if (run.size() > 1 && line.values->size() > kMostDots) continue;
    for (const Point& p : run) {
      put(out, "<circle class=\"", line.what, "\" cx=\"", kWidth * x.part(p.at), "\" cy=\"",
          kHeight * (1 - y.part(p.value)), "\" r=\"2.8\" fill=\"", colour, "\"><title>",
          pictures::number(p.value), "</title></circle>\n");
    }
  }
}

}  // namespace

std::string curves_svg(const Curves& curves, const CurvesOptions& options) {
  check(curves, options);
  const std::vector<Diagram> diagrams = diagrams_of(curves, options);
  std::size_t longest = 1;
  for (const auto& [name, values] : curves) longest = std::max(longest, values.size());
  Axis x{options.first, options.first + options.step * static_cast<double>(longest - 1)};
  if (longest == 1) x = {x.low - options.step, x.high + options.step};

  const std::size_t across = std::min<std::size_t>(2, diagrams.size());
  const std::size_t down = (diagrams.size() + across - 1) / across;
  const double step_x = kLeft + kWidth + kRight;
  const double step_y = kTop + kHeight + kBottom;
  const double top = options.title.empty() ? 0 : 32;
  std::string out = pictures::svg_begin(step_x * static_cast<double>(across),
                                        top + step_y * static_cast<double>(down));
  pictures::put_title(out, 16, 26, options.title);
  for (std::size_t i = 0; i < diagrams.size(); ++i) {
    const Diagram& d = diagrams[i];
    const Axis y = vertical(d);
    put(out, "<g class=\"diagram\" transform=\"translate(",
        kLeft + step_x * static_cast<double>(i % across), " ",
        top + kTop + step_y * static_cast<double>(i / across), ")\">\n");
    put_axes(out, d, x, y, options);
    put(out, "<rect class=\"frame\" width=\"", kWidth, "\" height=\"", kHeight,
        "\" fill=\"none\" stroke=\"#888\"/>\n");
    put_legend(out, d);
    for (const Line& line : d.lines) put_line(out, line, x, y, options);
    put(out, "</g>\n");
  }
  return out + "</svg>\n";
}

}  // namespace xtape
