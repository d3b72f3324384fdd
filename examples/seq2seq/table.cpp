// Tables with a header: comma-separated values, as RFC 4180 describes them.

#include "corpus.hpp"

#include <algorithm>

namespace seq2seq {

namespace {

/// The records of a text, one after the other.
class Records {
 public:
  Records(std::string name, const xp::TextLines& lines) : name_(std::move(name)), lines_(lines) {}

  /// Reads the next record; false at the end. A line end inside quotes becomes a space.
  bool next(std::vector<std::string>& fields) {
    if (line_ == lines_.size()) return false;
    first_ = line_ + 1;
    fields.assign(1, "");
    bool quoted = false, closed = false;  // inside quotes; behind them
    while (true) {
      const std::string_view text = lines_.view(line_++);
      for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted && c == '"') {
          const bool doubled = i + 1 < text.size() && text[i + 1] == '"';
          if (doubled) fields.back() += text[++i];
          quoted = doubled;
          closed = !doubled;
        } else if (quoted) {
          fields.back() += c;
        } else if (c == ',') {
          fields.emplace_back();
          closed = false;
        } else if (c == '"' && fields.back().empty() && !closed) {
          quoted = true;
        } else if (c == '"' || closed) {
          fail("a quote inside a field: expected quotes around the whole field; double the quote");
        } else {
          fields.back() += c;
        }
      }
      if (!quoted) return true;
      if (line_ == lines_.size()) {
        fail("open quote: the file ends inside it, expected a second quote; close the field");
      }
      fields.back() += ' ';
    }
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw xp::FormatError(name_ + ": line " + std::to_string(first_) + ": " + what);
  }

 private:
  std::string name_;
  const xp::TextLines& lines_;
  std::size_t line_ = 0, first_ = 0;
};

/// Returns the places of columns in a header.
std::vector<std::size_t> places(const std::string& path, const std::vector<std::string>& header,
                                const std::vector<std::string>& columns) {
  if (columns.empty()) return {0, 1};
  if (columns.size() == 1) {
    throw xp::ValueError("--columns: one name: it is '" + columns[0] +
                         "', expected those of source and target at least; add the other");
  }
  std::vector<std::size_t> all;
  for (const std::string& column : columns) {
    const auto at = std::find(header.begin(), header.end(), column);
    if (at == header.end()) {
      std::string names;
      for (const std::string& name : header) names += (names.empty() ? "'" : ", '") + name + "'";
      throw xp::ValueError("--columns: no such column: it is '" + column + "', expected one of " +
                           names + " as in " + path + "; name one of them");
    }
    all.push_back(static_cast<std::size_t>(at - header.begin()));
  }
  return all;
}

}  // namespace

bool has_header(const std::string& path) {
  return path.ends_with(".csv") || path.ends_with(".csv.gz");
}

std::vector<Pair> read_table(const std::string& path, const std::vector<std::string>& columns,
                             std::int64_t limit) {
  const xp::TextLines lines = xp::read_lines(path);
  Records records(path, lines);
  std::vector<std::string> header, fields;
  records.next(header);
  if (header.size() < 2) {
    records.fail("no columns: the header has 1, expected 2 or more, separated by commas");
  }
  const std::vector<std::size_t> chosen = places(path, header, columns);
  std::vector<Pair> pairs;
  while (records.next(fields)) {
    if (fields.size() != header.size()) {
      records.fail("ragged: it has " + std::to_string(fields.size()) + " columns, expected " +
                   std::to_string(header.size()) +
                   " as the header; put text with commas in quotes");
    }
    Pair pair{fields[chosen[0]], {fields[chosen[1]]}};
    for (std::size_t k = 2; k < chosen.size(); ++k) {
      if (!fields[chosen[k]].empty()) pair.targets.push_back(fields[chosen[k]]);
    }
    pairs.push_back(std::move(pair));
    if (limit != 0 && static_cast<std::int64_t>(pairs.size()) == limit) break;
  }
  return pairs;
}

}  // namespace seq2seq
