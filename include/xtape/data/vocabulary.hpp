#pragma once
/// \file
/// Vocabulary: tokens as numbers and back.
///
///     const auto words = Vocabulary::build(sentences, {.min_frequency = 2});
///     const auto ids = words.encode(tokenize("the house", TokenKind::spaces), {.end = true});
///
/// The file is UTF-8 text. Its first line is "vocabulary 1 <special tokens> <all tokens>", two counts,
/// separated by tabs. Then comes one token a line in the order of ids, special ones first. In a token `\\`
/// stands for a backslash, and `\n`, `\t`, `\r` and `\s` for newline, tab, carriage return and space.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace xtape {

/// Options of Vocabulary::build.
struct VocabularyOptions {
  std::size_t min_frequency = 1;  ///< rarer tokens are left out
  std::size_t max_size = 0;       ///< the most tokens, special ones included; 0 for no limit
  /// Padding, unknown, start and end, in this order, then others of your own. Fewer may be given.
  std::vector<std::string> specials = {"<pad>", "<unk>", "<start>", "<end>"};
};

/// The tokens that encode adds.
struct EncodeOptions {
  bool start = false;  ///< whether the start token is put before the others
  bool end = false;    ///< whether the end token is put behind the others
};

/// A fixed list of tokens; the index of a token is its id. A token is UTF-8, not empty and without NUL.
/// A token of a text that is spelled as a special token is that special token.
class Vocabulary {
 public:
  /// Special tokens first, then by falling frequency, and by code points where it is equal.
  /// ValueError for options out of range, tokens that cannot be, and special tokens given twice.
  static Vocabulary build(const std::vector<std::vector<std::string>>& texts,
                          const VocabularyOptions& options = {});
  /// These tokens, the first `specials` of which are special. ValueError as build, and for a token
  /// given twice.
  explicit Vocabulary(std::vector<std::string> tokens, std::size_t specials = 4);

  /// Returns the number of tokens, special ones included.
  [[nodiscard]] std::size_t size() const noexcept { return tokens_.size(); }
  /// Returns the number of special tokens.
  [[nodiscard]] std::size_t specials() const noexcept { return specials_; }
  /// Returns all tokens, in the order of their ids.
  [[nodiscard]] const std::vector<std::string>& tokens() const noexcept { return tokens_; }

  /// The special tokens' ids. ValueError when there are too few special tokens.
  [[nodiscard]] std::int64_t pad() const { return special(0, "pad"); }
  /// Returns the id of the unknown token. ValueError if there is none.
  [[nodiscard]] std::int64_t unknown() const { return special(1, "unknown"); }
  /// Returns the id of the start token. ValueError if there is none.
  [[nodiscard]] std::int64_t start() const { return special(2, "start"); }
  /// Returns the id of the end token. ValueError if there is none.
  [[nodiscard]] std::int64_t end() const { return special(3, "end"); }

  /// Returns whether a token has an id.
  [[nodiscard]] bool contains(const std::string& token) const { return ids_.count(token) != 0; }
  /// The token's id, or unknown(); ValueError naming the token where there is none.
  [[nodiscard]] std::int64_t id(const std::string& token) const;
  /// The token of an id. ValueError for one out of range.
  [[nodiscard]] const std::string& token(std::int64_t id) const;

  /// The tokens' ids, as id() has them.
  [[nodiscard]] std::vector<std::int64_t> encode(const std::vector<std::string>& tokens,
                                                 const EncodeOptions& options = {}) const;
  /// The ids' tokens, one for one.
  [[nodiscard]] std::vector<std::string> decode(std::span<const std::int64_t> ids) const;
  /// The tokens of a sequence a model wrote: up to the first end(), without padding and start.
  [[nodiscard]] std::vector<std::string> decode_text(std::span<const std::int64_t> ids) const;

  /// Writes the file, atomically. IoError.
  void save(const std::string& path) const;
  /// Reads a file. IoError; FormatError, with the line, for whatever save does not write.
  static Vocabulary load(const std::string& path);
  /// Reads bytes in memory; `name` is for messages.
  static Vocabulary parse(std::span<const std::byte> bytes, const std::string& name = "vocabulary");
  /// The file's contents.
  [[nodiscard]] std::string to_text() const;

  /// Compares tokens and special tokens.
  friend bool operator==(const Vocabulary& a, const Vocabulary& b) {
    return a.specials_ == b.specials_ && a.tokens_ == b.tokens_;
  }

 private:
  Vocabulary() = default;
  [[nodiscard]] std::int64_t special(std::size_t place, const char* role) const;

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, std::int64_t> ids_;
  std::size_t specials_ = 0;
};

}  // namespace xtape
