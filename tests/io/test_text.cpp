// UTF-8 and printable names.
#include "io/text.hpp"
#include "support/catch.hpp"

#include <string>

using namespace xtape;

TEST_CASE("characters of UTF-8, and where a text ceases to be UTF-8") {
  struct Case {
    std::string text;
    std::size_t length, malformed;
  };
  const Case cases[] = {
      {"", 0, 0},
      {"a\xFF", 1, 1},
      {std::string("\0b", 2), 1, 2},
      {"\u00e9x", 2, 3},
      {"\u20ac\x80", 3, 3},
      {"\U0010FFFF", 4, 4},
      {"\xC1\xBF", 0, 0},          // overlong
      {"\xE0\x9F\xBF", 0, 0},      // overlong
      {"\xED\xA0\x80", 0, 0},      // a surrogate
      {"\xF4\x90\x80\x80", 0, 0},  // beyond U+10FFFF
      {"ab\xE2\x82", 1, 2},        // cut off
      {"\x80", 0, 0},
  };
  for (const Case& c : cases) {
    INFO(io::printable(c.text));
    CHECK(io::character_length(c.text) == c.length);
    CHECK(io::malformed_at(c.text) == c.malformed);
    CHECK(io::valid_utf8(c.text) == (c.malformed == c.text.size()));
  }
}

TEST_CASE("texts for messages") {
  CHECK(io::hex(0x1AF, 2) == "af");
  CHECK(io::hex(0x1AF, 5) == "001af");
  CHECK(io::printable("a\x1b[\u00e9") == "'a\\x1b[\u00e9'");
  CHECK(io::escaped("\xFF", 9) == "\\xff");
  CHECK(io::escaped("a\u00e9b", 2) == "a...");  // not within a character
}
