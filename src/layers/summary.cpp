#include <xtape/layers/summary.hpp>

#include "base/message.hpp"
#include "base/numbers.hpp"

#include <xtape/tape/tape_state.hpp>

#include <algorithm>
#include <cmath>

namespace xtape {

using detail::fail;
using detail::LayerCall;

namespace {

using Lines = std::vector<std::string>;

/// Returns the number of characters of a text in UTF-8.
std::size_t length(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

std::string repeated(const char* text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

/// Returns the first `count` characters.
std::string first(const std::string& text, std::size_t count) {
  std::size_t at = 0;
  for (std::size_t n = 0; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80U && n++ == count) break;
  }
  return text.substr(0, at);
}

/// Returns lines broken at spaces. A word that is too long ends in an ellipsis.
Lines wrapped(const std::string& text, std::size_t width) {
  Lines lines(1);
  for (std::size_t at = 0; at < text.size();) {
    // One word with the spaces behind it; the first word also has those before it.
    const std::size_t begin = text.find_first_not_of(' ', at);
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::size_t next = std::min(text.find_first_not_of(' ', end), text.size());
    const std::string word = text.substr(at, end - at);
    if (!lines.back().empty() && length(lines.back()) + length(word) > width) lines.emplace_back();
    lines.back() += text.substr(at, next - at);
    at = next;
  }
  for (std::string& line : lines) {
    line.erase(line.find_last_not_of(' ') + 1);
    if (length(line) > width) line = first(line, width - 1) + "…";
  }
  return lines;
}

enum class Align { left, right, center };

std::string padded(const std::string& text, std::size_t width, Align align) {
  const std::size_t room = width - length(text);
  const std::size_t before = align == Align::left ? 0 : align == Align::right ? room : room / 2;
  return std::string(before, ' ') + text + std::string(room - before, ' ');
}

std::string with_commas(std::size_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string memory(std::size_t bytes) {
  double size = static_cast<double>(bytes);
  const char* units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
  std::size_t unit = 0;
  for (; unit < 5 && size >= 1024; ++unit) size /= 1024;
  return detail::fixed(size, 2) + " " + units[unit];
}

/// The lines of a table in Keras's form.
class Table {
 public:
  Table(Lines header, std::vector<Align> align, std::vector<double> ends, std::size_t line_length)
      : align_(std::move(align)) {
    // Keras's columns end at fractions of the line. Borders and margins take equal parts of each column.
    std::size_t end = 0;
    std::size_t total = 0;
    for (const double fraction : ends) {
      const auto next = static_cast<std::size_t>(fraction * static_cast<double>(line_length));
      if (next < end + 4) {
        fail<ValueError>("summary", "line too short: line_length is ", line_length,
                         ", expected room for ", ends.size(), " columns; make it longer");
      }
      widths_.push_back(next - end);
      total += next - end + 2;
      end = next;
    }
    double excess = static_cast<double>(total + ends.size() + 1) - static_cast<double>(line_length);
    for (std::size_t i = 0; i < widths_.size(); ++i) {
      const double part = std::nearbyint(excess / static_cast<double>(widths_.size() - i));
      excess -= part;
      widths_[i] -= std::min(widths_[i] - 1, static_cast<std::size_t>(part));
    }
    rule("┏", "━", "┳", "┓");
    row(header, "┃");
    rule("┡", "━", "╇", "┩");
  }
  void add(const Lines& cells) {
    if (filled_) rule("├", "─", "┼", "┤");
    row(cells, "│");
    filled_ = true;
  }
  std::string finish() {
    rule("└", "─", "┴", "┘");
    return std::move(text_);
  }

 private:
  void rule(const char* left, const char* line, const char* middle, const char* right) {
    text_ += left;
    for (std::size_t i = 0; i < widths_.size(); ++i) {
      text_ += (i == 0 ? "" : middle) + repeated(line, widths_[i] + 2);
    }
    text_ += std::string(right) + "\n";
  }
  void row(const Lines& cells, const char* border) {
    std::vector<Lines> columns;
    std::size_t height = 0;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      columns.push_back(wrapped(cells[i], widths_[i]));
      height = std::max(height, columns[i].size());
    }
    for (std::size_t k = 0; k < height; ++k) {
      for (std::size_t i = 0; i < cells.size(); ++i) {
        const std::string cell = k < columns[i].size() ? columns[i][k] : "";
        text_ += std::string(border) + " " + padded(cell, widths_[i], align_[i]) + " ";
      }
      text_ += std::string(border) + "\n";
    }
  }

  std::vector<Align> align_;
  std::vector<std::size_t> widths_;
  bool filled_ = false;
  std::string text_;
};

bool below(const std::string& path, const std::string& scope) {
  return scope.empty() ||
         (path.size() > scope.size() && path.compare(0, scope.size() + 1, scope + "/") == 0);
}

std::string relative(const std::string& path, const std::string& scope) {
  return scope.empty() ? path : path.substr(scope.size() + 1);
}

bool at_or_below(const std::string& path, const std::string& scope) {
  return path == scope || below(path, scope);
}

/// A layer with the layers inside it.
struct Entry {
  std::string path;
  std::string type;
  std::string shape = "?";
  std::vector<Entry> inner = {};
};

/// Puts a layer inside the innermost entry above it and around the entries below it.
void insert(std::vector<Entry>& entries, const LayerCall& call) {
  for (Entry& e : entries) {
    if (e.path == call.path) {
      e.shape = to_string(call.output);
      return;
    }
    if (below(call.path, e.path)) return insert(e.inner, call);
  }
  Entry fresh{call.path, call.type, to_string(call.output), {}};
  std::vector<Entry> kept;
  std::optional<std::size_t> place;
  for (Entry& e : entries) {
    if (below(e.path, call.path)) {
      if (!place) place = kept.size();
      fresh.inner.push_back(std::move(e));
    } else {
      kept.push_back(std::move(e));
    }
  }
  kept.insert(kept.begin() + static_cast<std::ptrdiff_t>(place.value_or(kept.size())),
              std::move(fresh));
  entries = std::move(kept);
}

template <class T> class Summary {
 public:
  Summary(const Params<T>& params, const std::vector<LayerCall>& calls,
          const SummaryOptions& options)
      : options_(options) {
    for (const Parameter<T>& p : params.all()) {
      if (below(p.path(), options.scope)) parameters_.push_back(p);
    }
    for (const LayerCall& call : calls) {
      if (!call.path.empty() && below(call.path, options.scope)) insert(entries_, call);
    }
    if (parameters_.empty() && entries_.empty()) {
      fail<ParameterError>("summary", "nothing to show: there is no layer or parameter below '",
                           options.scope, "', expected one; give the path of a scope");
    }
    // A parameter of no called layer stands under its scope's name.
    for (const Parameter<T>& p : parameters_) {
      const bool known = std::any_of(entries_.begin(), entries_.end(),
                                     [&](const Entry& e) { return at_or_below(p.path(), e.path); });
      if (known) continue;
      const std::size_t slash = p.path().rfind('/');
      const std::string parent = slash == std::string::npos ? "" : p.path().substr(0, slash);
      const bool inside = !parent.empty() && below(parent, options.scope);
      entries_.push_back({inside ? parent : p.path(), "", "?", {}});
    }
  }

  std::string text() {
    Lines header{"Layer (type)", "Output Shape", "Param #"};
    std::vector<Align> align{Align::left, Align::left, Align::right};
    std::vector<double> ends{0.45, 0.80, 1.0};
    if (options_.show_trainable) {
      header.emplace_back("Trainable");
      align.push_back(Align::center);
      for (double& e : ends) e *= 0.90;
      ends.push_back(1.0);
    }
    Table table(std::move(header), std::move(align), std::move(ends), options_.line_length);
    for (const Entry& e : entries_) rows(table, e, options_.scope, 0);
    std::size_t counts[2] = {0, 0};
    for (const Parameter<T>& p : parameters_) {
      if (p.built()) counts[p.trainable() ? 1 : 0] += p.value().size();
    }
    const auto line = [](const char* what, std::size_t n) {
      return " " + std::string(what) + " params: " + with_commas(n) + " (" + memory(n * sizeof(T)) +
             ")\n";
    };
    return "Model: \"" + options_.name + "\"\n" + table.finish() +
           line("Total", counts[0] + counts[1]) + line("Trainable", counts[1]) +
           line("Non-trainable", counts[0]) + products_line();
  }

 private:
  /// Returns a line about products that are rounded.
  static std::string products_line() {
    const Products products = default_products();
    if (sizeof(T) != sizeof(float) || products == Products::float32) return "";
    return " Products: " + describe(products) + "\n";
  }

  void rows(Table& table, const Entry& e, const std::string& above, std::size_t level) const {
    std::size_t count = 0;
    bool any = false, built = true, trainable = false;
    for (const Parameter<T>& p : parameters_) {
      if (!at_or_below(p.path(), e.path)) continue;
      any = true;
      trainable = trainable || p.trainable();
      built = built && p.built();
      if (p.built()) count += p.value().size();
    }
    std::string name = level == 0 ? "" : std::string(3 * level, ' ') + "└ ";
    name += relative(e.path, above) + (e.type.empty() ? "" : " (" + e.type + ")");
    Lines cells{name, e.shape, built ? with_commas(count) : with_commas(count) + " (unbuilt)"};
    if (options_.show_trainable) cells.emplace_back(any ? (trainable ? "Y" : "N") : "-");
    table.add(cells);
    if (!options_.expand_nested) return;
    for (const Entry& inner : e.inner) rows(table, inner, e.path, level + 1);
  }

  const SummaryOptions& options_;
  std::vector<Parameter<T>> parameters_;
  std::vector<Entry> entries_;
};

}  // namespace

template <class T>
std::string detail::summary(const Params<T>& params, const std::function<void(Tape<T>&)>& run,
                            const SummaryOptions& options) {
  std::vector<LayerCall> calls;
  if (run) {
    Tape<T> tape({.record = false});
    detail::TapeState<T>* state = tape.context().state;
    struct Listening {
      detail::TapeState<T>* state;
      ~Listening() { state->calls = nullptr; }
    } listening{state};
    state->calls = &calls;
    run(tape);
  }
  return Summary<T>(params, calls, options).text();
}

template <class T> std::string summary(const Params<T>& params, const SummaryOptions& options) {
  return detail::summary<T>(params, {}, options);
}

#define XTAPE_INSTANTIATE(T)                                                                   \
  template std::string detail::summary(const Params<T>&, const std::function<void(Tape<T>&)>&, \
                                       const SummaryOptions&);                                 \
  template std::string summary(const Params<T>&, const SummaryOptions&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
