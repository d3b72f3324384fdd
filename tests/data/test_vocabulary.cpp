#include "support/catch.hpp"
#include "support/files.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

using Words = std::vector<std::string>;
using Ids = std::vector<std::int64_t>;

Vocabulary parse(std::string_view text) {
  return Vocabulary::parse(std::as_bytes(std::span(text)), "file");
}

}  // namespace

TEST_CASE("ids follow frequency, then code points") {
  const auto v = Vocabulary::build({{"b", "\xC3\xA9", "a", "z"}, {"\xF0\x9F\x98\x80", "z", "a"}});
  CHECK(v.tokens() ==
        Words{"<pad>", "<unk>", "<start>", "<end>", "a", "z", "b", "\xC3\xA9", "\xF0\x9F\x98\x80"});
  CHECK(v.size() == 9);
  CHECK(v.specials() == 4);
  CHECK(Ids{v.pad(), v.unknown(), v.start(), v.end()} == Ids{0, 1, 2, 3});
  CHECK(v.id("z") == 5);
  CHECK(v.id("y") == 1);
  CHECK(v.token(5) == "z");
  CHECK(v.contains("z"));
  CHECK_FALSE(v.contains("y"));
  CHECK_THROWS_WITH(v.token(9),
                    "Vocabulary: id out of range: id is 9, expected at least 0 and below 9");
  CHECK_THROWS_AS(v.token(-1), ValueError);
}

TEST_CASE("rare tokens and those beyond the size are left out") {
  const std::vector<Words> texts = {{"a", "a", "a", "b", "b", "c", "<unk>"}};
  CHECK(Vocabulary::build(texts, {.min_frequency = 2}).size() == 6);
  CHECK(Vocabulary::build(texts, {.max_size = 5}).tokens().back() == "a");
  CHECK(Vocabulary::build(texts, {.max_size = 4}).size() == 4);
  CHECK(Vocabulary::build(texts).size() == 7);  // the text's <unk> is the special one
  CHECK(Vocabulary::build({}).size() == 4);
  CHECK_THROWS_WITH(Vocabulary::build(texts, {.max_size = 3}), ContainsSubstring("max_size is 3"));
  CHECK_THROWS_WITH(Vocabulary::build(texts, {.min_frequency = 0}),
                    ContainsSubstring("min_frequency is 0"));
  CHECK_THROWS_WITH(Vocabulary::build({{"a", ""}}), ContainsSubstring("empty token"));
  CHECK_THROWS_WITH(Vocabulary::build({{"\xFF"}}), ContainsSubstring("token is '\\xff'"));
  CHECK_THROWS_WITH(Vocabulary::build(texts, {.specials = {"x", "x"}}),
                    "Vocabulary: token given twice: token 1 is 'x' as is token 0, expected every "
                    "token once");
}

TEST_CASE("encoding and decoding") {
  const auto v = Vocabulary::build({tokenize("abba", TokenKind::characters)});
  CHECK(v.encode(tokenize("bad", TokenKind::characters)) == Ids{5, 4, 1});
  CHECK(v.encode({"a"}, {.start = true, .end = true}) == Ids{2, 4, 3});
  CHECK(v.decode(Ids{2, 4, 3, 0}) == Words{"<start>", "a", "<end>", "<pad>"});
  CHECK(v.decode_text(Ids{2, 4, 1, 0, 5, 3, 4}) == Words{"a", "<unk>", "b"});
  CHECK(v.decode_text(Ids{}).empty());
  CHECK_THROWS_AS(v.decode(Ids{6}), ValueError);
  CHECK_THROWS_AS(v.decode_text(Ids{-1}), ValueError);
}

TEST_CASE("special tokens may be others, and fewer") {
  const Vocabulary plain({"a", "b"}, 0);
  CHECK(plain.id("a") == 0);
  CHECK_THROWS_WITH(plain.id("c"), ContainsSubstring("token is 'c', expected one of the 2 known"));
  CHECK_THROWS_WITH(plain.pad(),
                    "Vocabulary: no token for pad: special tokens are 0, expected 1 "
                    "or more");
  const Vocabulary padded({"_", "a"}, 1);
  CHECK(padded.pad() == 0);
  CHECK_THROWS_AS(padded.id("c"), ValueError);
  CHECK_THROWS_AS(padded.encode({"a"}, {.end = true}), ValueError);
  CHECK(Vocabulary({"P", "U", "S", "E", "MASK"}, 5).id("other") == 1);
  CHECK_THROWS_WITH(Vocabulary({"a"}), ContainsSubstring("specials is 4"));
}

TEST_CASE("saved and loaded it is the same, whatever the tokens") {
  const Directory directory;
  const Vocabulary v({"<pad>", "<unk>", " ", "\n", "\t", "\\", "\\n", "\r", "a b", "\xE2\x82\xAC",
                      "\xEF\xBB\xBF", "vocabulary\t1\t4", "\x01"},
                     2);
  v.save(directory / "v.txt");
  CHECK(Vocabulary::load(directory / "v.txt") == v);
  CHECK(parse(v.to_text()) == v);
  CHECK(Vocabulary({"<pad>", " ", "a\\"}, 1).to_text() ==
        "vocabulary\t1\t1\t3\n<pad>\n\\s\na\\\\\n");
  CHECK(parse("vocabulary\t1\t1\t2\r\nx\r\ny\r\n").tokens() == Words{"x", "y"});
  CHECK(parse("vocabulary\t1\t0\t0\n").size() == 0);
  CHECK_THROWS_AS(Vocabulary::load(directory / "none"), IoError);
  CHECK_THROWS_AS(v.save(directory / "none/v.txt"), IoError);
}

TEST_CASE("a malformed file is refused with its line") {
  const auto refused = [](std::string_view text, const std::string& message) {
    try {
      parse(text);
      FAIL("no error for " << text);
    } catch (const FormatError& e) {
      CHECK_THAT(e.what(), ContainsSubstring(message));
    }
  };
  refused("", "file: empty file");
  refused("words\n", "line 1: no vocabulary: it is 'words'");
  refused("vocabulary\t2\t1\t1\nx\n", "line 1: no vocabulary");
  for (const char* number :
       {"", "-1", "1x", "01", "99999999999999999999", "+1", " 1", "1\t", "2"}) {
    refused(std::string("vocabulary\t1\t") + number + "\t1\nx\n", "line 1: no vocabulary");
  }
  for (const char* number : {"", "-1", "1x", "01", "99999999999999999999", "1\t"}) {
    refused(std::string("vocabulary\t1\t1\t") + number + "\nx\n", "line 1: no vocabulary");
  }
  refused("vocabulary\t1\t1\t2\na\n",
          "line 2: truncated or altered: the last line is token 1, expected 2 tokens");
  refused("vocabulary\t1\t1\t1\na\nb\n", "line 3: truncated or altered: the last line is token 2");
  const std::string header = "vocabulary\t1\t1\t2\n";
  refused(header + "a\nb\na\n", "line 4: token given twice: it is 'a' as is line 2");
  refused(header + "a\n\nb\n", "line 3: empty token");
  refused(header + "a\\x\n", "line 2: unknown escape");
  refused(header + "a\\\n", "line 2: unknown escape");
  refused(header + "a\tb\n", "line 2: separator in a token");
  refused(header + "a b\n", "line 2: separator in a token");
  refused(header + "\xFF\n", "line 2: malformed UTF-8");
  refused(header + std::string("a\0b\n", 4), "line 2: NUL byte");
  const std::string whole = Vocabulary({"a", "b", "cc"}, 2).to_text();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CHECK_THROWS_AS(parse(std::string_view(whole).substr(0, length)), FormatError);
  }
}

TEST_CASE("a file beyond 64 MiB is no vocabulary, and is not read") {
  const Directory directory;
  const std::string path = directory / "vocabulary.txt";
  write_file(path, "vocabulary\t1\t0\t1\n");
  std::filesystem::resize_file(path, (std::size_t{64} << 20U) + 1);  // sparse
  CHECK(contains(error_of<FormatError>([&] { static_cast<void>(Vocabulary::load(path)); }),
                 "too large: it has 67108865 bytes, expected at most 67108864"));
}
