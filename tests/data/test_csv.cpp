#include "support/catch.hpp"
#include "support/files.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

CsvTable parse(const std::string& text, const CsvOptions& options = {}) {
  return parse_csv(as_bytes(text), "t", options);
}

}  // namespace

TEST_CASE("a table of numbers and text") {
  const CsvTable table =
      parse("length, width ,kind\r\n1.5,2,b\n+3e1,-.5,\"a\"\n 4 ,\"5\",b\n", {.text = {"kind"}});
  CHECK(table.size() == 3);
  CHECK(table.columns() == std::vector<std::string>{"length", "width", "kind"});
  CHECK(difference(table.numbers<double>(), array<double>({3, 2}, {1.5, 2, 30, -0.5, 4, 5})) == 0);
  CHECK(difference(table.numbers<float>({"width"}), array<float>({3, 1}, {2, -0.5F, 5})) == 0);
  const auto [ids, names] = table.categories("kind");
  CHECK(names == std::vector<std::string>{"a", "b"});
  CHECK(difference(ids, array<std::int64_t>({3}, {1, 0, 1})) == 0);
  CHECK(
      contains(error_of<ParameterError>([&] { static_cast<void>(table.numbers<float>({"kind"})); }),
               "'kind'"));
  CHECK(contains(error_of<ParameterError>([&] { static_cast<void>(table.categories("width")); }),
                 "a column of text"));
  CHECK(contains(error_of<ValueError>([&] { static_cast<void>(table.integers("length")); }),
                 "row 0 of 'length' is 1.5"));
  CHECK_THROWS_AS(static_cast<void>(table.integers("kinds")), ParameterError);
}

TEST_CASE("separators, quotes, no header and missing numbers") {
  const CsvTable tabs = parse("1\t2\n3\t4", {.separator = '\t', .header = false});
  CHECK(tabs.columns() == std::vector<std::string>{"0", "1"});
  CHECK(difference(tabs.integers("1"), array<std::int64_t>({2}, {2, 4})) == 0);
  const CsvTable quoted =
      parse("\"a;\"\"b\"\" \";x\n \"p;q\" ;1\n\"\";2\n", {.separator = ';', .text = {"a;\"b\" "}});
  CHECK(quoted.categories("a;\"b\" ").names == std::vector<std::string>{"", "p;q"});
  const CsvTable missing = parse("a,b\n,1\nNA,2\nnan,3\n4,4\n", {.missing = true});
  const Array<double> a = missing.numbers<double>({"a"});
  CHECK(std::isnan(a(0, 0)));
  CHECK(std::isnan(a(1, 0)));
  CHECK(std::isnan(a(2, 0)));
  CHECK(a(3, 0) == 4);
  CHECK_THROWS_AS(static_cast<void>(missing.integers("a")), ValueError);
  CHECK(parse("\xEF\xBB\xBF"
              "a\n1\n")
            .columns()[0] == "a");
  Directory folder;
  write_file(folder / "t.csv", "a,b\n1,2\n");
  CHECK(read_csv(folder / "t.csv").size() == 1);
  CHECK_THROWS_AS(read_csv(folder / "no.csv"), IoError);
}

TEST_CASE("tables that are damaged are refused with line and byte") {
  const auto refused = [](const std::string& text, const char* part,
                          const CsvOptions& options = {}) {
    const std::string message = error_of<FormatError>([&] { parse(text, options); });
    INFO(text);
    INFO(message);
    CHECK(contains(message, part));
    CHECK(contains(message, "t: "));
  };
  refused("a,b\n1,2\n3\n", "line 3: ragged: it has 1 columns, expected 2");
  refused("a,b\n1,2\n\n3,4\n", "line 3: ragged");
  refused("a,b\n1,x\n", "line 2: no number: column 'b' is 'x'");
  refused("a\n1e999\n", "no number");
  refused("a\ninf\n", "no number");
  refused("a\n+-1\n", "no number");
  refused("a\n1 2\n", "no number");
  refused("a,b\n,1\n", "missing number: column 'a'");
  refused("a\n", "a header alone");
  refused("a,a\n1,2\n", "names of columns");
  refused("a,\n1,2\n", "one is empty");
  refused("a\n\"1\n", "quote without end");
  refused("a\n\"1\"2\n", "text behind a quote");
  refused("", "empty file");
  refused("a\n\xFF\n", "malformed UTF-8");
  refused(std::string("a\n1\0", 4), "NUL");
  CHECK(contains(error_of<ParameterError>([&] {
                   parse("a,c\n1,2\n", {.text = {"c", "b"}});
                 }),
                 "no such column: 'b' is not a column, expected one of: 'a' 'c'"));
  const CsvTable table = parse("a,b\n1,x\n", {.text = {"b"}});
  const std::string text =
      error_of<ParameterError>([&] { static_cast<void>(table.numbers<double>({"b"})); });
  CHECK(contains(text, "wrong kind of column: 'b' is not a column of numbers"));
  CHECK(contains(text, "expected one of: 'a'"));
  for (const char bad : {'"', ' ', '\n', '\r', '\0', '\x80'}) {
    CHECK_THROWS_AS(parse("a\n1\n", {.separator = bad}), ValueError);
  }
}

TEST_CASE("a number that float does not hold is refused where floats are asked for") {
  const CsvTable table = parse("a,b\n1,2\n3,1e39\n", {});
  CHECK(table.numbers<double>()(1, 1) == 1e39);
  const std::string text = error_of<ValueError>([&] { static_cast<void>(table.numbers<float>()); });
  CHECK(contains(text, "row 1 of column 'b' is 1e+39"));
}
