// LineReader: what read_lines reads, but line by line, from anything, and with the faults among the lines.
#include "support/catch.hpp"
#include "support/files.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

using namespace xtape;
using namespace xtape::test;

namespace {

struct Read {
  std::vector<std::string> lines, faults;
  bool operator==(const Read&) const = default;
};

Read all_of(LineReader& reader) {
  Read read;
  while (reader.next()) {
    CHECK(reader.number() == read.lines.size() + 1);
    CHECK((reader.fault().empty() || reader.line().empty()));
    read.lines.push_back(reader.line());
    read.faults.push_back(reader.fault());
  }
  CHECK_FALSE(reader.next());
  return read;
}

/// Reads through a pipe whose writer sends so many bytes at a time.
Read through_pipe(const std::string& text, std::size_t piece, const TextOptions& options = {}) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  std::thread writer([&] {
    for (std::size_t at = 0; at < text.size(); at += piece) {
      const std::string part = text.substr(at, piece);
      if (::write(ends[1], part.data(), part.size()) < 0) break;
    }
    ::close(ends[1]);
  });
  LineReader reader(ends[0], "name", options);
  const Read read = all_of(reader);
  writer.join();
  ::close(ends[0]);
  return read;
}

Read from_file(const std::string& text, const TextOptions& options = {}) {
  const Directory directory;
  write_file(directory / "name", text);
  LineReader reader(directory / "name", options);
  Read read = all_of(reader);
  for (std::string& fault : read.faults) {
    if (!fault.empty()) fault = fault.substr(fault.find("/name: ") + 1);
  }
  return read;
}

/// "one\ntwo\n", as Python's gzip.compress(..., mtime=0) has it.
std::string gzip_text() {
  const unsigned char bytes[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03,
                                 0xcb, 0xcf, 0x4b, 0xe5, 0x2a, 0x29, 0xcf, 0xe7, 0x02, 0x00,
                                 0xe6, 0x0b, 0xba, 0x12, 0x08, 0x00, 0x00, 0x00};
  return {reinterpret_cast<const char*>(bytes), sizeof bytes};
}

bool with_zlib() {
  try {
    static_cast<void>(parse_lines(as_bytes(gzip_text())));
    return true;
  } catch (const IoError&) {
    WARN("built without zlib: gzip is not tested");
    return false;
  }
}

}  // namespace

TEST_CASE("a stream has the lines that read_lines finds in the file") {
  std::vector<std::string> texts{"one\ntwo\n", "one\r\ntwo", "\xEF\xBB\xBFone\n\n\r\nf\xC3\xBCr",
                                 "\n",         "\r\n",       "a\rb\n",
                                 "a\r",        "a",          "\xEF\xBB\xBF\n"};
  texts.emplace_back(70000, 'x');
  texts.back() += "\r\nend\n";
  if (with_zlib()) texts.insert(texts.end(), {gzip_text(), gzip_text() + gzip_text()});
  for (const std::string& text : texts) {
    INFO(text.substr(0, 40));
    const std::vector<std::string> expected = parse_lines(as_bytes(text));
    const Read file = from_file(text);
    CHECK(file.lines == expected);
    CHECK(file.faults == std::vector<std::string>(expected.size()));
    for (const std::size_t piece : {1U, 2U, 3U, 7U, 4096U}) {
      if (text.size() / piece > 10000) continue;
      CHECK(through_pipe(text, piece) == file);
    }
  }
}

TEST_CASE("an empty text has no line") {
  for (const char* text : {"", "\xEF\xBB\xBF", "\xEF", "\x1F"}) {
    const std::size_t lines = std::string(text).size() == 1 ? 1 : 0;
    CHECK(from_file(text).lines.size() == lines);
    CHECK(through_pipe(text, 1).lines.size() == lines);
  }
}

TEST_CASE("a bad line is one of the lines, and says what read_lines says") {
  const TextOptions options{.max_line = 8};
  for (const std::string& bad : {std::string("b\xFFz"), std::string("a\0b", 3), std::string(9, 'x'),
                                 std::string(100000, 'y'), std::string("\xC3")}) {
    INFO(bad.substr(0, 20));
    const std::string text = "good\n" + bad + "\r\n\nlast";
    std::string expected;
    try {
      static_cast<void>(parse_lines(as_bytes(text), "name", options));
    } catch (const FormatError& e) {
      expected = e.what();
      expected = expected.substr(0, expected.find(" (at byte"));
    }
    REQUIRE_THAT(expected, ContainsSubstring("line 2"));
    const Read file = from_file(text, options);
    CHECK(file.lines == std::vector<std::string>{"good", "", "", "last"});
    CHECK(file.faults == std::vector<std::string>{"", expected, "", ""});
    CHECK(through_pipe(text, 4096, options) == file);
    if (bad.size() < 100) CHECK(through_pipe(text, 1, options) == file);
  }
  // The end of a line does not count.
  CHECK(from_file("12345678\r\n12345678", options).faults == std::vector<std::string>{"", ""});
}

TEST_CASE("what is no stream of text is refused") {
  const Directory directory;
  CHECK_THROWS_AS(LineReader(directory / "none"), IoError);
  CHECK_THROWS_WITH(LineReader(directory.path()), ContainsSubstring("not a regular file"));
  const int folder = ::open(directory.path().c_str(), O_RDONLY | O_CLOEXEC);
  LineReader unreadable(folder, "standard input");
  CHECK_THROWS_WITH(unreadable.next(), ContainsSubstring("standard input: cannot be read"));
  ::close(folder);
  LineReader closed(folder, "standard input");
  CHECK_THROWS_AS(closed.next(), IoError);
  if (!with_zlib()) return;
  // The lines before the damage are there.
  const std::string whole = gzip_text();
  write_file(directory / "cut", whole + whole.substr(0, 10));
  LineReader cut(directory / "cut");
  CHECK((cut.next() && cut.line() == "one"));
  CHECK((cut.next() && cut.line() == "two"));
  CHECK_THROWS_WITH(cut.next(), ContainsSubstring("truncated gzip"));
}
