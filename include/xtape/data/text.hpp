#pragma once
/// \file
/// Text from files, and tokens from text. Files are UTF-8, plain or compressed with gzip (told by
/// their first bytes; the library must have been built with zlib). Lines end with "\n" or "\r\n", a
/// byte order mark is left out, and what follows the last line's end counts as a line unless it is
/// empty.
///
/// IoError for what the file system refuses. FormatError, with the line, for malformed UTF-8, NUL
/// bytes, lines over the limit, an empty file and damaged gzip; `offset` is in the text before
/// lines are split, or in the compressed file if it is that which is damaged.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace xtape {

/// What read_lines takes at most.
struct TextOptions {
  std::size_t max_line = std::size_t{1} << 20U;   ///< bytes of one line
  std::size_t max_bytes = std::size_t{1} << 32U;  ///< of the whole text, once decompressed
};

/// The lines of a file, without their ends. Empty ones are kept.
std::vector<std::string> read_lines(const std::string& path, const TextOptions& options = {});
/// The same of bytes in memory; `name` is for messages.
std::vector<std::string> parse_lines(std::span<const std::byte> bytes,
                                     const std::string& name = "text",
                                     const TextOptions& options = {});

/// What read_tsv expects.
struct TsvOptions {
  std::size_t columns = 0;    ///< of every line; 0 for as many as the first line has
  bool further = false;       ///< a line may have further columns (several right answers)
  bool header = false;        ///< the first line has names of columns, and is left out
  bool empty_fields = false;  ///< whether a field may be empty
  TextOptions text = {};
};

/// The rows of a file of tab-separated values: there are no quotes and no escapes. FormatError also
/// for a line with fewer or more columns, an empty field unless allowed, and a header alone.
std::vector<std::vector<std::string>> read_tsv(const std::string& path,
                                               const TsvOptions& options = {});
/// The same of bytes in memory; `name` is for messages.
std::vector<std::vector<std::string>> parse_tsv(std::span<const std::byte> bytes,
                                                const std::string& name = "tsv",
                                                const TsvOptions& options = {});

/// What a token is: a character (Unicode code point), or what stands between spaces.
enum class TokenKind { characters, spaces };

/// The tokens of a text. Spaces, tabs and ends of lines separate tokens, however many there are.
/// ValueError for malformed UTF-8.
std::vector<std::string> tokenize(std::string_view text, TokenKind kind);

/// The text of tokens: tokenize's inverse, up to the kind and number of separators.
std::string join_tokens(const std::vector<std::string>& tokens, TokenKind kind);

}  // namespace xtape
