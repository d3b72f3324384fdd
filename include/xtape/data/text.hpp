#pragma once
/// \file
/// Text from files, and tokens from text. Files are UTF-8, plain or compressed with gzip (told by
/// their first bytes; the library must have been built with zlib). Lines end with "\n" or "\r\n", a
/// byte order mark is skipped. Text behind the last line end is a line.
///
/// Memory is at most four times the text, however short its lines are, and what unpacks to more than 200
/// times its size (beyond 64 MiB) is refused. IoError for what the file system refuses. FormatError, with
/// the line, for malformed UTF-8, NUL bytes, lines over the limit, an empty file and damaged gzip;
/// `offset` is in the text before lines are split, or in the compressed file when that is damaged.

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace xtape {

namespace detail {

/// Iterates over what operator[] returns.
template <class Rows> class RowIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = typename Rows::value_type;
  using difference_type = std::ptrdiff_t;
  using pointer = void;
  using reference = value_type;
  RowIterator(const Rows* rows, std::size_t at) : rows_(rows), at_(at) {}
  value_type operator*() const { return (*rows_)[at_]; }
  RowIterator& operator++() {
    ++at_;
    return *this;
  }
  RowIterator operator++(int) { return {rows_, at_++}; }
  friend bool operator==(const RowIterator&, const RowIterator&) = default;

 private:
  const Rows* rows_;
  std::size_t at_;
};

}  // namespace detail

/// The lines of a text, in one string and with few marks, so that short lines take no more memory than the
/// text. A line is made when it is asked for; copy them into a vector to change them.
class TextLines {
 public:
  /// The type of the elements.
  using value_type = std::string;
  /// Returns the number of lines.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Returns whether there are no lines.
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// The line without its end. ValueError for one that is not there.
  [[nodiscard]] std::string operator[](std::size_t line) const { return std::string(view(line)); }
  /// Returns a copy of a line. ValueError if there is no such line.
  [[nodiscard]] std::string at(std::size_t line) const { return (*this)[line]; }
  /// Returns a view of a line. ValueError if there is no such line.
  [[nodiscard]] std::string_view view(std::size_t line) const;
  /// Returns an iterator to the first one.
  [[nodiscard]] detail::RowIterator<TextLines> begin() const { return {this, 0}; }
  /// Returns the end of the range.
  [[nodiscard]] detail::RowIterator<TextLines> end() const { return {this, size_}; }
  /// Copies all lines.
  operator std::vector<std::string>() const { return {begin(), end()}; }  // NOLINT: as it was
  /// Compares line by line.
  friend bool operator==(const TextLines& a, const TextLines& b) { return a.text_ == b.text_; }
  /// Compares line by line.
  friend bool operator==(const TextLines& a, const std::vector<std::string>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

  /// Makes room for a text, lines and their ends.
  void reserve(std::size_t bytes) { text_.reserve(bytes); }
  /// Appends a line.
  void push_back(std::string_view line);

 private:
  std::string text_;                // each line ends with "\n"
  std::vector<std::size_t> marks_;  // where every 16th line begins
  std::size_t size_ = 0;
};

/// The rows of a table, kept as TextLines.
class TextTable {
 public:
  /// The type of the elements.
  using value_type = std::vector<std::string>;
  TextTable() = default;
  /// Splits lines at tabs when they are read.
  explicit TextTable(TextLines lines) : lines_(std::move(lines)) {}
  /// Returns the number of rows.
  [[nodiscard]] std::size_t size() const noexcept { return lines_.size(); }
  /// Returns whether there are no rows.
  [[nodiscard]] bool empty() const noexcept { return lines_.empty(); }
  /// The fields of a row. ValueError for one that is not there.
  [[nodiscard]] std::vector<std::string> operator[](std::size_t row) const;
  /// Returns the fields of a row. ValueError if there is no such row.
  [[nodiscard]] std::vector<std::string> at(std::size_t row) const { return (*this)[row]; }
  /// Returns an iterator to the first one.
  [[nodiscard]] detail::RowIterator<TextTable> begin() const { return {this, 0}; }
  /// Returns the end of the range.
  [[nodiscard]] detail::RowIterator<TextTable> end() const { return {this, size()}; }
  /// Copies all rows.
  operator std::vector<std::vector<std::string>>() const { return {begin(), end()}; }  // NOLINT
  /// Compares row by row.
  friend bool operator==(const TextTable& a, const TextTable& b) = default;
  /// Compares row by row.
  friend bool operator==(const TextTable& a, const std::vector<std::vector<std::string>>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  TextLines lines_;
};

/// Limits of read_lines.
struct TextOptions {
  std::size_t max_line = std::size_t{1} << 20U;   ///< bytes of one line
  std::size_t max_bytes = std::size_t{1} << 32U;  ///< of the whole text, once decompressed
};

/// Returns the lines of a file, without their ends; empty lines too.
TextLines read_lines(const std::string& path, const TextOptions& options = {});
/// Reads bytes in memory; `name` is for messages.
TextLines parse_lines(std::span<const std::byte> bytes, const std::string& name = "text",
                      const TextOptions& options = {});

/// Options of read_tsv.
struct TsvOptions {
  std::size_t columns = 0;    ///< of every line; 0 for as many as the first line has
  bool further = false;       ///< a line may have more columns (several right answers)
  bool header = false;        ///< the first line has names of columns and is skipped
  bool empty_fields = false;  ///< whether a field may be empty
  TextOptions text = {};      ///< limits of the file and its lines
};

/// The rows of a file of tab-separated values: there are no quotes and no escapes. FormatError also
/// for a line with fewer or more columns, an empty field unless allowed, and a header alone.
TextTable read_tsv(const std::string& path, const TsvOptions& options = {});
/// Reads bytes in memory; `name` is for messages.
TextTable parse_tsv(std::span<const std::byte> bytes, const std::string& name = "tsv",
                    const TsvOptions& options = {});

/// The kind of tokens: characters (Unicode code points), or words between spaces.
enum class TokenKind { characters, spaces };

/// Returns the tokens of a text. Any number of spaces, tabs and line ends separates words.
/// ValueError for malformed UTF-8.
std::vector<std::string> tokenize(std::string_view text, TokenKind kind);

/// Joins tokens into a text: the inverse of tokenize, with single spaces between words.
std::string join_tokens(const std::vector<std::string>& tokens, TokenKind kind);

}  // namespace xtape
