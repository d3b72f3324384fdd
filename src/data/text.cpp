#include "data/gzip.hpp"
#include "data/lines.hpp"
#include "io/file.hpp"

#include <algorithm>
#include <utility>

namespace xtape {
namespace {

constexpr std::size_t kEvery = 16;  // lines between two marks
constexpr std::string_view kSeparators = " \t\n\v\f\r";

std::size_t count_fields(std::string_view line) {
  return static_cast<std::size_t>(std::count(line.begin(), line.end(), '\t')) + 1;
}

}  // namespace

namespace data {

LineFault find_fault(std::string_view line, std::size_t size, std::size_t max_line) {
  if (size > max_line) {
    return {max_line, "too long: it has " + std::to_string(size) + " bytes, expected at most " +
                          std::to_string(max_line) + "; is this text?"};
  }
  if (const std::size_t zero = line.find('\0'); zero != std::string_view::npos) {
    return {zero, "NUL byte: byte " + std::to_string(zero + 1) +
                      " of the line is 0, expected text; is this UTF-8?"};
  }
  if (const std::size_t at = io::malformed_at(line); at != line.size()) {
    return {at, "malformed UTF-8: byte " + std::to_string(at + 1) + " of the line is " +
                    std::to_string(static_cast<unsigned>(static_cast<unsigned char>(line[at]))) +
                    ", which begins no character, expected UTF-8; convert the file"};
  }
  return {};
}

Lines::Lines(io::Bytes bytes, const std::string& name, const TextOptions& options)
    : source_(name), max_line_(options.max_line) {
  if (is_gzip(bytes)) {
    decompressed_ = gunzip(bytes, name, options.max_bytes);
    text_ = decompressed_;
  } else if (bytes.size() > options.max_bytes) {
    source_.fail(options.max_bytes, "text too long: it has ", bytes.size(),
                 " bytes, expected at most ", options.max_bytes, "; split the file");
  } else {
    text_ = io::text_of(bytes);
  }
  if (text_.substr(0, kByteOrderMark.size()) == kByteOrderMark) next_ = kByteOrderMark.size();
  if (next_ == text_.size()) source_.fail(next_, "empty file: expected at least one line");
}

bool Lines::next() {
  if (next_ == text_.size()) return false;
  begin_ = next_;
  ++number_;
  const std::size_t end = std::min(text_.find('\n', begin_), text_.size());
  next_ = std::min(end + 1, text_.size());
  line_ = text_.substr(begin_, end - begin_);
  if (end < text_.size() && !line_.empty() && line_.back() == '\r') line_.remove_suffix(1);
  if (const LineFault fault = find_fault(line_, line_.size(), max_line_); !fault.what.empty()) {
    fail(fault.at, fault.what);
  }
  return true;
}

}  // namespace data

void TextLines::push_back(std::string_view line) {
  if (size_++ % kEvery == 0) marks_.push_back(text_.size());
  text_.append(line);
  text_ += '\n';
}

std::string_view TextLines::view(std::size_t line) const {
  if (line >= size_) {
    detail::fail<ValueError>("TextLines", "line out of range: line is ", line,
                             ", expected 0 or more and below ", size_);
  }
  std::size_t begin = marks_[line / kEvery];
  for (std::size_t i = 0; i < line % kEvery; ++i) begin = text_.find('\n', begin) + 1;
  return std::string_view(text_).substr(begin, text_.find('\n', begin) - begin);
}

std::vector<std::string> TextTable::operator[](std::size_t row) const {
  const std::string_view line = lines_.view(row);
  std::vector<std::string> fields;
  fields.reserve(count_fields(line));
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find('\t', begin), line.size());
    fields.emplace_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return fields;
}

TextLines parse_lines(std::span<const std::byte> bytes, const std::string& name,
                      const TextOptions& options) {
  data::Lines lines(bytes, name, options);
  TextLines all;
  all.reserve(lines.size() + 1);
  while (lines.next()) all.push_back(lines.line());
  return all;
}

TextLines read_lines(const std::string& path, const TextOptions& options) {
  const io::FileBytes file(path, options.max_bytes);
  return io::reading(path, file.bytes().size(),
                     [&] { return parse_lines(file.bytes(), path, options); });
}

TextTable parse_tsv(std::span<const std::byte> bytes, const std::string& name,
                    const TsvOptions& options) {
  data::Lines lines(bytes, name, options.text);
  TextLines rows;
  rows.reserve(lines.size() + 1);
  std::size_t columns = options.columns;
  for (bool first = true; lines.next(); first = false) {
    const std::string_view line = lines.line();
    const std::size_t fields = count_fields(line);
    if (columns == 0) columns = fields;
    if (fields < columns || (fields > columns && !options.further)) {
      lines.fail(0, "ragged: it has ", fields, " columns, expected ", columns,
                 options.further ? " or more" : "",
                 options.columns == 0 ? " as in the first line" : "", ", separated by tabs");
    }
    if (first && options.header) continue;
    std::size_t column = 1;
    for (std::size_t begin = 0; begin <= line.size() && !options.empty_fields; ++column) {
      const std::size_t end = std::min(line.find('\t', begin), line.size());
      if (begin == end) {
        lines.fail(begin, "empty field: column ", column,
                   " has 0 bytes, expected text; fill it, or remove the line");
      }
      begin = end + 1;
    }
    rows.push_back(line);
  }
  if (rows.empty()) lines.fail(0, "a header alone: there are 0 rows, expected 1 or more");
  return TextTable(std::move(rows));
}

TextTable read_tsv(const std::string& path, const TsvOptions& options) {
  const io::FileBytes file(path, options.text.max_bytes);
  return io::reading(path, file.bytes().size(),
                     [&] { return parse_tsv(file.bytes(), path, options); });
}

std::vector<std::string> tokenize(std::string_view text, TokenKind kind) {
  if (const std::size_t at = io::malformed_at(text); at != text.size()) {
    detail::fail<ValueError>("tokenize", "malformed UTF-8: byte ", at,
                             " of the text begins no character, expected UTF-8: text is ",
                             io::printable(text));
  }
  std::vector<std::string> tokens;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t length = 0;
    if (kind == TokenKind::characters) {
      length = io::character_length(text.substr(begin));
    } else {
      begin = text.find_first_not_of(kSeparators, begin);
      if (begin == std::string_view::npos) break;
      length = std::min(text.find_first_of(kSeparators, begin), text.size()) - begin;
    }
    tokens.emplace_back(text.substr(begin, length));
    begin += length;
  }
  return tokens;
}

std::string join_tokens(const std::vector<std::string>& tokens, TokenKind kind) {
  std::string text;
  for (const std::string& token : tokens) {
    if (kind == TokenKind::spaces && &token != tokens.data()) text += ' ';
    text += token;
  }
  return text;
}

}  // namespace xtape
