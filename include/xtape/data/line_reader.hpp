#pragma once
/// \file
/// LineReader: the lines of a stream one after the other, good and bad ones, in the memory of one line.
///
///     LineReader lines(STDIN_FILENO, "standard input");
///     while (lines.next()) {
///       if (lines.fault().empty()) use(lines.line());
///     }

#include <xtape/data/text.hpp>

#include <memory>
#include <string>

namespace xtape {

/// Reads text as read_lines does: UTF-8, plain or compressed with gzip, "\n" or "\r\n", a byte order mark
/// skipped. A line that read_lines would refuse is one of its lines, with a fault. An empty text has no line.
class LineReader {
 public:
  /// Opens a regular file. IoError; FormatError for one of more than max_bytes, as it is on the disk. Other
  /// streams have no such limit.
  explicit LineReader(const std::string& path, const TextOptions& options = {});
  /// Reads an open descriptor, which stays open; `name` is for messages.
  LineReader(int descriptor, const std::string& name, const TextOptions& options = {});
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// Goes to the next line; false at the end. IoError, and FormatError for damaged gzip.
  bool next();
  /// Returns the line without its end; an empty text for a line with a fault.
  [[nodiscard]] const std::string& line() const noexcept;
  /// Returns "name: line 3: what is wrong with it", or an empty text.
  [[nodiscard]] const std::string& fault() const noexcept;
  /// Returns the number of the line, from 1 on.
  [[nodiscard]] std::size_t number() const noexcept;
  /// Returns "name: line 3", for messages about the line.
  [[nodiscard]] std::string place() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace xtape
