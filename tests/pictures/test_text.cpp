#include "pictures/text.hpp"

#include "support/catch.hpp"
#include "support/files.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

std::string refused(const std::string& path) {
  try {
    xtape::write_text(path, "text");
  } catch (const IoError& e) {
    return e.what();
  }
  return "";
}

using Numbers = std::vector<double>;

}  // namespace

TEST_CASE("text is written whole or not at all") {
  const Directory folder;
  const std::string path = folder / "a.svg";
  xtape::write_text(path, "one");
  CHECK(read_text(path) == "one");
  const std::string large(1000000, 'x');
  xtape::write_text(path, large);
  CHECK(read_text(path) == large);
  xtape::write_text(path, "");
  CHECK(read_text(path).empty());
  CHECK(folder.files() == std::vector<std::string>{"a.svg"});

  CHECK(contains(refused(folder / "none/a.svg"), "none/a.svg: cannot be created"));
  CHECK(contains(refused(folder.path()), "not a regular file"));
  CHECK(folder.files() == std::vector<std::string>{"a.svg"});
}

TEST_CASE("numbers are short and never in a locale's form") {
  CHECK(pictures::number(0.1 + 0.2) == "0.3");
  CHECK(pictures::number(-0.0) == "0");
  CHECK(pictures::number(1234567, 9) == "1234567");
  CHECK(pictures::number(12.5) == "12.5");
}

TEST_CASE("ticks are round and lie on the axis") {
  CHECK(pictures::ticks(0, 1, 5) == Numbers{0, 0.2, 0.4, 3 * 0.2, 0.8, 1});
  CHECK(pictures::ticks(1, 3, 7, true) == Numbers{1, 2, 3});
  CHECK(pictures::ticks(-7, 12, 4) == Numbers{-5, 0, 5, 10});
  CHECK(pictures::log_ticks(0.9, 1100, 6) == Numbers{1, 10, 100, 1000});
  CHECK(pictures::log_ticks(0.9, 12, 6) == Numbers{1, 2, 5, 10});
  for (const double low : {1e-8, 0.3, 77.0, 123456.0}) {
    for (const double span : {1e-3, 0.5, 3.0, 1e4}) {
      for (const Numbers& ticks : {pictures::ticks(low, low * (1 + span), 5),
                                   pictures::log_ticks(low, low * (1 + span), 5)}) {
        CHECK(ticks.size() >= 2);
        CHECK(ticks.size() <= 14);
        CHECK(ticks.front() >= low * (1 - 1e-9));
        CHECK(ticks.back() <= low * (1 + span) * (1 + 1e-9));
      }
    }
  }
}

TEST_CASE("malformed UTF-8 is found, and nothing else") {
  for (const char* good : {"", "a", "ä", "日本", "🙂", "\xF4\x8F\xBF\xBF", "\xEF\xBF\xBF"}) {
    INFO(good);
    CHECK_NOTHROW(pictures::check_utf8("op", "label", good));
  }
  for (const char* bad : {"\x80", "\xC3", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80",
                          "\xF4\x90\x80\x80", "\xF0\x9F\x99", "a\xFF", "\xE2\x28\xA1"}) {
    INFO(bad);
    CHECK_THROWS_AS(pictures::check_utf8("op", "label", bad), ValueError);
  }
}

TEST_CASE("labels are as wide as they look") {
  CHECK(pictures::label("日本").width == 4);
  CHECK(pictures::label("e\xCC\x81").width == 1);  // an accent of its own
  // Both ends of a range of wide characters.
  CHECK(pictures::label("\u10FF\u1100\u115F\u1160").width == 1 + 2 + 2 + 1);
  CHECK(pictures::label("\uFFDF\uFFE0\uFFE6\uFFE7").width == 1 + 2 + 2 + 1);
  CHECK(pictures::label("日本日本", 5).text == "日本…");
  CHECK(pictures::label("日本日本", 5).width == 5);
  CHECK(pictures::label("abc", 3).text == "abc");
  CHECK(pictures::xml_text("a\xEF\xBF\xBF<") == "a\xEF\xBF\xBD&lt;");
}
