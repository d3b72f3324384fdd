#include <xtape/data/vocabulary.hpp>

#include "base/check.hpp"
#include "data/lines.hpp"
#include "io/file.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <tuple>
#include <utility>

namespace xtape {
namespace {

// A token takes about 100 bytes of memory, however short it is. Ten million tokens fit.
constexpr std::size_t kMostBytes = std::size_t{64} << 20U;
constexpr std::string_view kHeader = "vocabulary\t1\t";
// kPlain[i] is escaped as a backslash and kLetters[i].
constexpr std::string_view kPlain = "\\\n\t\r ";
constexpr std::string_view kLetters = "\\ntrs";

std::string escape(const std::string& token) {
  std::string line;
  for (const char c : token) {
    const std::size_t at = kPlain.find(c);
    if (at == std::string_view::npos) {
      line += c;
    } else {
      line += '\\';
      line += kLetters[at];
    }
  }
  return line;
}

std::string unescape(const data::Lines& lines) {
  const std::string_view line = lines.line();
  std::string token;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\') {
      const std::size_t at = i + 1 < line.size() ? kLetters.find(line[i + 1]) : kLetters.npos;
      if (at == std::string_view::npos) {
        lines.fail(i, "unknown escape in ", io::printable(line),
                   ", expected \\\\, \\n, \\t, \\r or \\s");
      }
      token += kPlain[at];
      ++i;
    } else if (kPlain.find(line[i]) != std::string_view::npos) {
      lines.fail(i, "separator in a token: line is ", io::printable(line),
                 ", expected \\t, \\r or \\s for tab, carriage return or space");
    } else {
      token += line[i];
    }
  }
  if (token.empty()) lines.fail(0, "empty token: the line has 0 bytes, expected a token");
  return token;
}

/// Reads a number in decimal form and then `last` from the beginning of `text`.
bool take_number(std::string_view& text, std::string_view last, std::size_t& value) {
  const std::size_t length = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto read = std::from_chars(text.data(), text.data() + length, value);
  if (read.ec != std::errc() || (length > 1 && text[0] == '0')) return false;
  text.remove_prefix(length);
  if (text.substr(0, last.size()) != last) return false;
  text.remove_prefix(last.size());
  return true;
}

/// Returns the numbers of special tokens and of all tokens.
std::pair<std::size_t, std::size_t> read_header(const data::Lines& lines) {
  std::string_view rest = lines.line();
  std::pair<std::size_t, std::size_t> counts;
  if (rest.substr(0, kHeader.size()) == kHeader) {
    rest.remove_prefix(kHeader.size());
    if (take_number(rest, "\t", counts.first) && take_number(rest, "", counts.second) &&
        rest.empty() && counts.first <= counts.second) {
      return counts;
    }
  }
  lines.fail(0, "no vocabulary: it is ", io::printable(lines.line()),
             ", expected 'vocabulary', 1, the number of special tokens and that of all, with tabs "
             "between");
}

void check_token(const std::string& token) {
  if (token.empty()) {
    detail::fail<ValueError>("Vocabulary", "empty token: it has 0 bytes, expected 1 or more");
  }
  if (token.find('\0') != std::string::npos || !io::valid_utf8(token)) {
    detail::fail<ValueError>("Vocabulary", "malformed token: token is ", io::printable(token),
                             ", expected UTF-8 without NUL");
  }
}

}  // namespace

Vocabulary::Vocabulary(std::vector<std::string> tokens, std::size_t specials)
    : tokens_(std::move(tokens)), specials_(specials) {
  detail::check_option(specials <= tokens_.size(), "Vocabulary", "specials", specials,
                       "at most the number of tokens");
  ids_.reserve(tokens_.size());
  for (const std::string& token : tokens_) {
    check_token(token);
    const auto id = static_cast<std::int64_t>(ids_.size());
    const auto [at, fresh] = ids_.emplace(token, id);
    if (!fresh) {
      detail::fail<ValueError>("Vocabulary", "token given twice: token ", id, " is ",
                               io::printable(token), " as is token ", at->second,
                               ", expected every token once");
    }
  }
}

Vocabulary Vocabulary::build(const std::vector<std::vector<std::string>>& texts,
                             const VocabularyOptions& options) {
  detail::check_option(options.min_frequency >= 1, "Vocabulary", "min_frequency",
                       options.min_frequency, "1 or more");
  detail::check_option(options.max_size == 0 || options.max_size >= options.specials.size(),
                       "Vocabulary", "max_size", options.max_size,
                       "0, or at least the number of special tokens");
  const Vocabulary special(options.specials, options.specials.size());
  std::unordered_map<std::string, std::size_t> seen;
  for (const auto& text : texts) {
    for (const std::string& token : text) ++seen[token];
  }
  std::vector<std::pair<std::string, std::size_t>> order;
  for (const auto& [token, times] : seen) {
    if (times >= options.min_frequency && !special.contains(token))
      order.emplace_back(token, times);
  }
  // Bytes of UTF-8 sort in the order of code points.
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (options.max_size != 0) {
    order.resize(std::min(order.size(), options.max_size - options.specials.size()));
  }
  std::vector<std::string> tokens = options.specials;
  tokens.reserve(tokens.size() + order.size());
  for (auto& [token, times] : order) tokens.push_back(std::move(token));
  return Vocabulary(std::move(tokens), options.specials.size());
}

std::int64_t Vocabulary::special(std::size_t place, const char* role) const {
  if (place < specials_) return static_cast<std::int64_t>(place);
  detail::fail<ValueError>("Vocabulary", "no token for ", role, ": special tokens are ", specials_,
                           ", expected ", place + 1, " or more");
}

std::int64_t Vocabulary::id(const std::string& token) const {
  const auto at = ids_.find(token);
  if (at != ids_.end()) return at->second;
  if (specials_ > 1) return unknown();
  detail::fail<ValueError>("Vocabulary", "unknown token: token is ", io::printable(token),
                           ", expected one of the ", size(),
                           " known; a second special token stands for all others");
}

const std::string& Vocabulary::token(std::int64_t id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= size()) {
    detail::fail<ValueError>("Vocabulary", "id out of range: id is ", id,
                             ", expected at least 0 and below ", size());
  }
  return tokens_[static_cast<std::size_t>(id)];
}

std::vector<std::int64_t> Vocabulary::encode(const std::vector<std::string>& tokens,
                                             const EncodeOptions& options) const {
  std::vector<std::int64_t> ids;
  ids.reserve(tokens.size() + 2);
  if (options.start) ids.push_back(start());
  for (const std::string& token : tokens) ids.push_back(id(token));
  if (options.end) ids.push_back(end());
  return ids;
}

std::vector<std::string> Vocabulary::decode(std::span<const std::int64_t> ids) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const std::int64_t id : ids) tokens.push_back(token(id));
  return tokens;
}

std::vector<std::string> Vocabulary::decode_text(std::span<const std::int64_t> ids) const {
  std::vector<std::string> tokens;
  for (const std::int64_t id : ids) {
    const std::string& next = token(id);
    if (id == end()) break;
    if (id != pad() && id != start()) tokens.push_back(next);
  }
  return tokens;
}

std::string Vocabulary::to_text() const {
  std::string text(kHeader);
  text += std::to_string(specials_) + '\t' + std::to_string(size()) + '\n';
  for (const std::string& token : tokens_) text += escape(token) + '\n';
  return text;
}

void Vocabulary::save(const std::string& path) const { io::write_file(path, to_text()); }

Vocabulary Vocabulary::parse(std::span<const std::byte> bytes, const std::string& name) {
  data::Lines lines(bytes, name, {});
  lines.next();
  Vocabulary vocabulary;
  std::size_t size = 0;
  std::tie(vocabulary.specials_, size) = read_header(lines);
  while (lines.next()) {
    std::string token = unescape(lines);
    const auto id = static_cast<std::int64_t>(vocabulary.size());
    const auto [at, fresh] = vocabulary.ids_.emplace(token, id);
    if (!fresh) {
      lines.fail(0, "token given twice: it is ", io::printable(token), " as is line ",
                 at->second + 2, ", expected every token once");
    }
    vocabulary.tokens_.push_back(std::move(token));
  }
  if (vocabulary.size() != size || !lines.complete()) {
    lines.fail(0, "truncated or altered: the last line is token ", vocabulary.size(),
               lines.complete() ? "" : " without a newline", ", expected ", size,
               " tokens as the first line says, and a newline behind each");
  }
  return vocabulary;
}

Vocabulary Vocabulary::load(const std::string& path) {
  const io::FileBytes file(path, kMostBytes);
  return io::reading(path, file.bytes().size(), [&] { return parse(file.bytes(), path); });
}

}  // namespace xtape
