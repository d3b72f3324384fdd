#pragma once
// A checked text line by line, for the readers of lines, tables and vocabularies.

#include "io/text.hpp"

#include <xtape/data/text.hpp>

namespace xtape::data {

inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// A reason not to use a line, and the byte where it lies.
struct LineFault {
  std::size_t at = 0;
  std::string what = {};  // empty for a good line
};

/// Looks for the faults that the readers refuse: more than max_line bytes, NUL, malformed UTF-8. `size` is that of
/// the whole line, of which the caller may have the beginning only.
LineFault find_fault(std::string_view line, std::size_t size, std::size_t max_line);

/// A text's lines in order.
class Lines {
 public:
  /// Decompresses gzip. FormatError for an empty text.
  Lines(io::Bytes bytes, const std::string& name, const TextOptions& options);
  Lines(const Lines&) = delete;  // its views point into itself
  Lines& operator=(const Lines&) = delete;

  /// Goes to the next line; false at the end. FormatError.
  bool next();
  [[nodiscard]] std::string_view line() const { return line_; }
  /// The bytes of the whole text.
  [[nodiscard]] std::size_t size() const { return text_.size(); }
  /// Whether the text ends with the end of a line.
  [[nodiscard]] bool complete() const { return !text_.empty() && text_.back() == '\n'; }
  /// Throws FormatError "name: line 3: parts (at byte offset)", `column` bytes into this line.
  template <class... Parts>
  [[noreturn]] void fail(std::size_t column, const Parts&... parts) const {
    source_.fail(begin_ + column, "line ", number_, ": ", parts...);
  }

 private:
  io::Source source_;
  std::size_t max_line_;
  std::string decompressed_;
  std::string_view text_;
  std::string_view line_;
  std::size_t begin_ = 0;  // of the line
  std::size_t next_ = 0;   // of the one behind it
  std::size_t number_ = 0;
};

}  // namespace xtape::data
