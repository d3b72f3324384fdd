#include "data/gzip.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"

#include <filesystem>

using namespace xtape;
using namespace xtape::test;

namespace {

std::vector<std::byte> to_bytes(std::string_view text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

std::vector<std::string> lines(std::string_view text, const TextOptions& options = {}) {
  return parse_lines(to_bytes(text), "file", options);
}

std::vector<std::vector<std::string>> rows(std::string_view text, const TsvOptions& options = {}) {
  return parse_tsv(to_bytes(text), "file", options);
}

template <class F> std::uint64_t format_error(F&& fn, const std::string& message) {
  try {
    fn();
  } catch (const FormatError& e) {
    CHECK(std::string(e.what()) == message);
    return e.offset;
  }
  FAIL("no FormatError");
  return 0;
}

/// "one\ntwo\n", as Python's gzip.compress(..., mtime=0) has it.
const unsigned char kGzip[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03,
                               0xcb, 0xcf, 0x4b, 0xe5, 0x2a, 0x29, 0xcf, 0xe7, 0x02, 0x00,
                               0xe6, 0x0b, 0xba, 0x12, 0x08, 0x00, 0x00, 0x00};

std::vector<std::byte> gzip_bytes() {
  return to_bytes({reinterpret_cast<const char*>(kGzip), sizeof kGzip});
}

bool with_zlib() {
  try {
    data::gunzip(gzip_bytes(), "file", 100);
  } catch (const IoError& e) {
    CHECK_THAT(e.what(), ContainsSubstring("built without zlib"));
    WARN("built without zlib: gzip is not tested");
    return false;
  }
  return true;
}

}  // namespace

TEST_CASE("lines end in either way, and the last may not end at all") {
  using Lines = std::vector<std::string>;
  CHECK(lines("one\ntwo\n") == Lines{"one", "two"});
  CHECK(lines("one\r\ntwo") == Lines{"one", "two"});
  CHECK(lines("\xEF\xBB\xBFone\n\n\r\nf\xC3\xBCr") == Lines{"one", "", "", "f\xC3\xBCr"});
  CHECK(lines("\n") == Lines{""});
  CHECK(lines("a\rb\n") == Lines{"a\rb"});
  CHECK(lines("a\r") == Lines{"a\r"});  // no end of a line
}

TEST_CASE("what is no text is refused with its place") {
  CHECK(format_error([] { lines(""); },
                     "file: empty file: expected at least one line (at byte 0)") == 0);
  CHECK(format_error([] { lines("\xEF\xBB\xBF"); },
                     "file: empty file: expected at least one line (at byte 3)") == 3);
  CHECK(format_error([] { lines("good\nb\xFFz\n"); },
                     "file: line 2: malformed UTF-8: byte 2 of the line is 255, which begins no "
                     "character, expected UTF-8; convert the file (at byte 6)") == 6);
  CHECK(format_error([] { lines(std::string_view("a\nb\0c", 5)); },
                     "file: line 2: NUL byte: byte 2 of the line is 0, expected text; is this "
                     "UTF-8? (at byte 3)") == 3);
  CHECK(format_error([] { lines("1234\n12345\n", {.max_line = 4}); },
                     "file: line 2: too long: it has 5 bytes, expected at most 4; is this text? "
                     "(at byte 9)") == 9);
  CHECK_THROWS_WITH(lines("12345", {.max_bytes = 4}), ContainsSubstring("text too long"));
  // Overlong, surrogate, beyond Unicode, cut off, a lone continuation.
  for (const char* bad : {"\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                          "\xF0\x9F\x98", "\x80", "\xC3\n"}) {
    CHECK_THROWS_AS(lines(bad), FormatError);
  }
  CHECK(lines("1234\r\n", {.max_line = 4}).size() == 1);
}

TEST_CASE("a table has as many columns as asked for") {
  using Rows = std::vector<std::vector<std::string>>;
  CHECK(rows("a\tb\nc\td\r\n") == Rows{{"a", "b"}, {"c", "d"}});
  CHECK(rows("x\ty\n1\t2\n", {.header = true}) == Rows{{"1", "2"}});
  CHECK(rows("a\t\n\tb\n\t\n", {.empty_fields = true}) == Rows{{"a", ""}, {"", "b"}, {"", ""}});
  CHECK(rows("\n", {.empty_fields = true}) == Rows{{""}});
  CHECK(format_error([] { rows("a\tb\nc\n"); },
                     "file: line 2: ragged: it has 1 columns, expected 2 as in the first line, "
                     "separated by tabs (at byte 4)") == 4);
  CHECK(format_error([] { rows("a\tb\tc\n", {.columns = 2}); },
                     "file: line 1: ragged: it has 3 columns, expected 2, separated by tabs (at "
                     "byte 0)") == 0);
  CHECK(format_error([] { rows("a\tb\nc\t\n"); },
                     "file: line 2: empty field: column 2 has 0 bytes, expected text; fill it, or "
                     "remove the line (at byte 6)") == 6);
  CHECK_THROWS_WITH(rows("a\tb\n\n", {.columns = 2}), ContainsSubstring("line 2: ragged"));
  CHECK_THROWS_WITH(rows("a\tb\n", {.header = true}), ContainsSubstring("a header alone"));
  CHECK_THROWS_AS(rows(""), FormatError);
}

TEST_CASE("files are read, and the file system's refusals are told") {
  const Directory directory;
  write_file(directory / "t.tsv", "a\tb\n");
  CHECK(read_lines(directory / "t.tsv") == std::vector<std::string>{"a\tb"});
  CHECK(read_tsv(directory / "t.tsv").at(0).at(1) == "b");
  CHECK_THROWS_AS(read_lines(directory / "none"), IoError);
  CHECK_THROWS_AS(read_tsv(directory / ""), IoError);
  write_file(directory / "bad", "a\n\xFF\n");
  CHECK_THROWS_WITH(read_lines(directory / "bad"),
                    ContainsSubstring((directory / "bad") + ": line 2:"));
}

TEST_CASE("gzip is told by its first bytes") {
  if (!with_zlib()) return;
  const std::vector<std::byte> bytes = gzip_bytes();
  CHECK(parse_lines(bytes) == std::vector<std::string>{"one", "two"});
  std::vector<std::byte> twice = bytes;  // members one behind another
  twice.insert(twice.end(), bytes.begin(), bytes.end());
  CHECK(parse_lines(twice).size() == 4);
  CHECK_THROWS_WITH(data::gunzip(bytes, "file", 7),
                    ContainsSubstring("more than 7 bytes once decompressed"));
  CHECK(data::gunzip(bytes, "file", 8) == "one\ntwo\n");
}

TEST_CASE("every truncation and every flipped bit of a gzip file is seen") {
  if (!with_zlib()) return;
  const std::vector<std::byte> bytes = gzip_bytes();
  for (std::size_t length = 2; length < bytes.size(); ++length) {
    CHECK_THROWS_WITH(parse_lines({bytes.data(), length}), ContainsSubstring("truncated gzip"));
  }
  std::size_t harmless = 0;
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::vector<std::byte> altered = bytes;
    altered[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    try {
      const std::vector<std::string> read = parse_lines(altered);
      CHECK(read == parse_lines(bytes));
      ++harmless;
    } catch (const FormatError&) {
    }
  }
  // Time and system, a flag for text, and what fills up the last byte of compressed data.
  CHECK(harmless == 6 * 8 + 1 + 6);
  std::vector<std::byte> longer = bytes;
  longer.push_back(std::byte{0});
  CHECK_THROWS_WITH(parse_lines(longer),
                    ContainsSubstring("bytes behind the end of gzip: there are 1"));
}

TEST_CASE("tokens are characters, or what stands between spaces") {
  using Words = std::vector<std::string>;
  CHECK(tokenize("a\xC3\xA9 \xE2\x82\xAC\xF0\x9F\x98\x80", TokenKind::characters) ==
        Words{"a", "\xC3\xA9", " ", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"});
  CHECK(tokenize("  the  big\thouse \n", TokenKind::spaces) == Words{"the", "big", "house"});
  CHECK(tokenize("", TokenKind::characters).empty());
  CHECK(tokenize(" \t ", TokenKind::spaces).empty());
  CHECK_THROWS_WITH(tokenize("a\xFF", TokenKind::spaces),
                    "tokenize: malformed UTF-8: byte 1 of the text begins no character, expected "
                    "UTF-8: text is 'a\\xff'");
  const std::string text = "na\xC3\xAFve caf\xC3\xA9";
  for (const TokenKind kind : {TokenKind::characters, TokenKind::spaces}) {
    CHECK(join_tokens(tokenize(text, kind), kind) == text);
  }
  CHECK(join_tokens({}, TokenKind::spaces).empty());
}
