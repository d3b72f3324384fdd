#pragma once
/// \file
/// Text from files, and tokens from text. Files are UTF-8, plain or compressed with gzip (told by
/// their first bytes; the library must have been built with zlib). Lines end with "\n" or "\r\n", a
/// byte order mark is skipped. Text behind the last line end is a line.
///
/// IoError for what the file system refuses. FormatError, with the line, for malformed UTF-8, NUL
/// bytes, lines over the limit, an empty file and damaged gzip; `offset` is in the text before
/// lines are split, or in the compressed file when that is damaged.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace xtape {

/// Limits of read_lines.
struct TextOptions {
  std::size_t max_line = std::size_t{1} << 20U;   ///< bytes of one line
  std::size_t max_bytes = std::size_t{1} << 32U;  ///< of the whole text, once decompressed
};

/// Returns the lines of a file, without their ends; empty lines too.
std::vector<std::string> read_lines(const std::string& path, const TextOptions& options = {});
/// Reads bytes in memory; `name` is for messages.
std::vector<std::string> parse_lines(std::span<const std::byte> bytes,
                                     const std::string& name = "text",
                                     const TextOptions& options = {});

/// Options of read_tsv.
struct TsvOptions {
  std::size_t columns = 0;    ///< of every line; 0 for as many as the first line has
  bool further = false;       ///< a line may have more columns (several right answers)
  bool header = false;        ///< the first line has names of columns and is skipped
  bool empty_fields = false;  ///< whether a field may be empty
  TextOptions text = {};
};

/// The rows of a file of tab-separated values: there are no quotes and no escapes. FormatError also
/// for a line with fewer or more columns, an empty field unless allowed, and a header alone.
std::vector<std::vector<std::string>> read_tsv(const std::string& path,
                                               const TsvOptions& options = {});
/// Reads bytes in memory; `name` is for messages.
std::vector<std::vector<std::string>> parse_tsv(std::span<const std::byte> bytes,
                                                const std::string& name = "tsv",
                                                const TsvOptions& options = {});

/// The kind of tokens: characters (Unicode code points), or words between spaces.
enum class TokenKind { characters, spaces };

/// Returns the tokens of a text. Any number of spaces, tabs and line ends separates words.
/// ValueError for malformed UTF-8.
std::vector<std::string> tokenize(std::string_view text, TokenKind kind);

/// Joins tokens into a text: the inverse of tokenize, with single spaces between words.
std::string join_tokens(const std::vector<std::string>& tokens, TokenKind kind);

}  // namespace xtape
