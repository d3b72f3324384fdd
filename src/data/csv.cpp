#include <xtape/data/csv.hpp>

#include "base/check.hpp"
#include "data/lines.hpp"
#include "io/file.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

namespace xtape {

using detail::fail;

namespace {

constexpr std::string_view kBlank = " \t";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(kBlank) + 1);
}

/// Cuts a line into its fields, without spaces around them and without quotes.
void cut(const data::Lines& lines, char separator, std::vector<std::string>& fields) {
  const std::string_view line = lines.line();
  fields.clear();
  for (std::size_t at = 0;; ++at) {
    std::size_t end = std::min(line.find(separator, at), line.size());
    const std::size_t quote = line.find_first_not_of(separator == '\t' ? " " : kBlank, at);
    if (quote >= end || line[quote] != '"') {
      fields.emplace_back(trimmed(line.substr(at, end - at)));
    } else {
      std::string field;
      std::size_t next = quote + 1;
      for (;; ++next) {
        if (next >= line.size()) {
          lines.fail(quote, "quote without end: column ", fields.size() + 1,
                     " has no closing quote in its line, expected one; a quote inside is doubled");
        }
        if (line[next] == '"' && (++next == line.size() || line[next] != '"')) break;
        field += line[next];
      }
      end = std::min(line.find(separator, next), line.size());
      if (!trimmed(line.substr(next, end - next)).empty()) {
        lines.fail(next, "text behind a quote: column ", fields.size() + 1,
                   " goes on after its closing quote, expected a separator");
      }
      fields.push_back(std::move(field));
    }
    if (end == line.size()) return;
    at = end;
  }
}

/// Returns the number in a field. FormatError unless it is finite, or missing where that is allowed.
double number_in(const data::Lines& lines, std::string_view field, const std::string& column,
                 bool missing) {
  if (field.empty() || field == "NA" || field == "nan" || field == "NaN") {
    if (missing) return std::numeric_limits<double>::quiet_NaN();
    lines.fail(0, "missing number: column ", io::printable(column), " is ", io::printable(field),
               ", expected a number; fill it, or set CsvOptions::missing");
  }
  std::string_view digits = field;
  if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc() && end == digits.data() + digits.size() && std::isfinite(value)) {
    return value;
  }
  lines.fail(0, "no number: column ", io::printable(column), " is ", io::printable(field),
             ", expected a finite number; name columns of text in CsvOptions::text");
}

void check_separator(char separator) {
  const bool bad = separator == '"' || separator == ' ' || separator == '\n' || separator == '\r' ||
                   separator == '\0' || static_cast<unsigned char>(separator) >= 0x80;
  detail::check_option(!bad, "read_csv", "separator", static_cast<int>(separator),
                       "a character of ASCII other than a quote, a space or a line end");
}

}  // namespace

CsvTable parse_csv(std::span<const std::byte> bytes, const std::string& name,
                   const CsvOptions& options) {
  check_separator(options.separator);
  data::Lines lines(bytes, name, options.limits);
  CsvTable table;
  std::vector<std::string> fields;
  std::vector<std::vector<double>*> numbers;  // of each column; null for text
  std::vector<TextLines*> texts;
  for (bool first = true; lines.next(); first = false) {
    cut(lines, options.separator, fields);
    if (first) {
      for (std::size_t i = 0; i < fields.size(); ++i) {
        table.columns_.push_back(options.header ? fields[i] : std::to_string(i));
      }
      const std::set<std::string> names(table.columns_.begin(), table.columns_.end());
      if (names.size() != table.columns_.size() || names.contains("")) {
        lines.fail(0, "names of columns out of form: ", names.size(), " of ", table.columns_.size(),
                   " differ", names.contains("") ? " and one is empty" : "",
                   ", expected a name for each; set header to false if there is none");
      }
      for (const std::string& text : options.text) {
        if (!names.contains(text)) table.refuse(text, {});
        table.texts_[text];
      }
      for (const std::string& column : table.columns_) {
        const auto text = table.texts_.find(column);
        texts.push_back(text == table.texts_.end() ? nullptr : &text->second);
        numbers.push_back(texts.back() == nullptr ? &table.numbers_[column] : nullptr);
      }
      if (options.header) continue;
    }
    if (fields.size() != numbers.size()) {
      lines.fail(0, "ragged: it has ", fields.size(), " columns, expected ", numbers.size(),
                 " as in the first line");
    }
    for (std::size_t i = 0; i < fields.size(); ++i) {
      if (texts[i] != nullptr) {
        texts[i]->push_back(fields[i]);
      } else {
        numbers[i]->push_back(number_in(lines, fields[i], table.columns_[i], options.missing));
      }
    }
    ++table.rows_;
  }
  if (table.rows_ == 0) lines.fail(0, "a header alone: there are 0 rows, expected 1 or more");
  return table;
}

CsvTable read_csv(const std::string& path, const CsvOptions& options) {
  const io::FileBytes file(path, options.limits.max_bytes);
  return io::reading(path, file.bytes().size(),
                     [&] { return parse_csv(file.bytes(), path, options); });
}

/// Throws ParameterError for a column that is not there, or is not of this kind, if one is given.
void CsvTable::refuse(const std::string& column, std::optional<bool> text) const {
  std::string fitting;
  for (const std::string& each : columns_) {
    if (fitting.size() < 500 && (!text || texts_.contains(each) == *text))
      fitting += " " + io::printable(each);
  }
  const bool there = std::find(columns_.begin(), columns_.end(), column) != columns_.end();
  fail<ParameterError>("CsvTable",
                       there ? "wrong kind of column: " : "no such column: ", io::printable(column),
                       " is not a column",
                       !text   ? ""
                       : *text ? " of text"
                               : " of numbers",
                       ", expected one of:", fitting.empty() ? " (none)" : fitting,
                       there ? "; CsvOptions::text says which columns hold text" : "");
}

const std::vector<double>& CsvTable::number_column(const std::string& name) const {
  const auto found = numbers_.find(name);
  if (found == numbers_.end()) refuse(name, false);
  return found->second;
}

template <class T> Array<T> CsvTable::numbers(const std::vector<std::string>& columns) const {
  Array<T> out(Shape{rows_, columns.size()});
  for (std::size_t k = 0; k < columns.size(); ++k) {
    const std::vector<double>& column = number_column(columns[k]);
    for (std::size_t i = 0; i < rows_; ++i) {
      if (std::abs(column[i]) > static_cast<double>(std::numeric_limits<T>::max())) {
        fail<ValueError>("CsvTable", "number out of range: row ", i, " of column ",
                         io::printable(columns[k]), " is ", column[i],
                         ", expected one that the type of the array holds; take double");
      }
      out.data()[i * columns.size() + k] = static_cast<T>(column[i]);
    }
  }
  return out;
}

template <class T> Array<T> CsvTable::numbers() const {
  std::vector<std::string> names;
  for (const std::string& column : columns_) {
    if (numbers_.contains(column)) names.push_back(column);
  }
  return numbers<T>(names);
}

template Array<float> CsvTable::numbers() const;
template Array<double> CsvTable::numbers() const;
template Array<float> CsvTable::numbers(const std::vector<std::string>&) const;
template Array<double> CsvTable::numbers(const std::vector<std::string>&) const;

Array<std::int64_t> CsvTable::integers(const std::string& column) const {
  const std::vector<double>& values = number_column(column);
  Array<std::int64_t> out(Shape{rows_});
  for (std::size_t i = 0; i < rows_; ++i) {
    const double value = values[i];
    if (!(std::abs(value) <= 9007199254740992.0) || value != std::floor(value)) {
      fail<ValueError>("CsvTable", "no whole number: row ", i, " of ", io::printable(column),
                       " is ", value, ", expected one, at most 2^53; numbers() gives fractions");
    }
    out.data()[i] = static_cast<std::int64_t>(value);
  }
  return out;
}

Categories CsvTable::categories(const std::string& column) const {
  const auto found = texts_.find(column);
  if (found == texts_.end()) refuse(column, true);
  std::map<std::string, std::int64_t> ids;
  for (const std::string& text : found->second) ids[text] = 0;
  Categories out{Array<std::int64_t>(Shape{rows_}), {}};
  for (auto& [text, id] : ids) {
    id = static_cast<std::int64_t>(out.names.size());
    out.names.push_back(text);
  }
  std::size_t row = 0;
  for (const std::string& text : found->second) out.ids.data()[row++] = ids[text];
  return out;
}

}  // namespace xtape
