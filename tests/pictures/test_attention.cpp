#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/xml.hpp"

#include <xtape/xtape.hpp>

using namespace xtape;
using namespace xtape::test;

namespace {

using Names = std::vector<std::string>;

Array<double> uneven(const Shape& shape) {
  Array<double> a(shape);
  for (std::size_t i = 0; i < a.size(); ++i) a.data()[i] = static_cast<double>(i % 7) / 8;
  return a;
}

int red(const Element& cell) {
  return std::stoi(cell.attributes.at("fill").substr(1, 2), nullptr, 16);
}

template <class E, class... Arguments> std::string refused(const Arguments&... arguments) {
  try {
    static_cast<void>(attention_svg(arguments...));
  } catch (const E& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a map has a cell for each score and a label for each row and column") {
  const Array<double> scores = uneven({2, 3});
  const Xml xml(attention_svg(scores, {"x", "y"}, {"a", "b", "c"},
                              {.title = "t", .row_title = "down", .column_title = "across"}));
  CHECK(xml.texts("text", "row") == Names{"x", "y"});
  CHECK(xml.texts("text", "column") == Names{"a", "b", "c"});
  CHECK(xml.texts("text", "title") == Names{"t"});
  CHECK(xml.texts("text", "axis") == Names{"across", "down"});
  CHECK(xml.find("g", "head").size() == 1);
  const std::vector<Element> cells = xml.find("rect", "cell");
  REQUIRE(cells.size() == 6);
  const Names titles = xml.texts("title");
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(std::stod(titles.at(i)) == scores.data()[i]);
    // In rows, from left to right; more is darker.
    const auto& first = cells[0].attributes;
    const double side = std::stod(first.at("width"));
    CHECK(std::stod(cells[i].attributes.at("x")) ==
          std::stod(first.at("x")) + side * static_cast<double>(i % 3));
    CHECK(std::stod(cells[i].attributes.at("y")) ==
          std::stod(first.at("y")) + side * static_cast<double>(i / 3));
    if (i > 0) CHECK(red(cells[i]) < red(cells[i - 1]));
  }
  CHECK(cells[0].attributes.at("fill") == "#ffffff");
  CHECK(count_coordinates(xml) > 40);
}

TEST_CASE("labels lie beside their rows and above their columns") {
  const Xml xml(attention_svg(uneven({3, 2}), {"a", "b", "c"}, {"x", "y"}));
  const std::vector<Element> cells = xml.find("rect", "cell");
  const double side = std::stod(cells[0].attributes.at("width"));
  for (std::size_t i = 0; i < 3; ++i) {
    const double top = std::stod(cells[2 * i].attributes.at("y"));
    const double base = std::stod(xml.find("text", "row")[i].attributes.at("y"));
    CHECK((top < base && base < top + side));
  }
  for (std::size_t j = 0; j < 2; ++j) {
    const double left = std::stod(cells[j].attributes.at("x"));
    CHECK(std::stod(xml.find("text", "column")[j].attributes.at("x")) == left + side / 2);
  }
}

TEST_CASE("several heads are several maps") {
  const Names words{"one", "two", "three"};
  const Array<float> scores = detail::full<float>(Shape{4, 3, 3}, 0.25F);
  const Xml plain(attention_svg(scores, words, words));
  CHECK(plain.texts("text", "name") == Names{"head 1", "head 2", "head 3", "head 4"});
  CHECK(plain.find("rect", "cell").size() == 36);
  CHECK(plain.texts("text", "row") == words);  // once, left of all
  CHECK(plain.find("text", "column").size() == 12);
  const Xml named(attention_svg(scores, words, words, {.heads = {"a", "b", "<c>", "d"}}));
  CHECK(named.texts("text", "name") == Names{"a", "b", "<c>", "d"});

  SECTION("lines of them when they are many or large") {
    const Names many(40, "w");
    const Xml xml(attention_svg(detail::full<float>(Shape{6, 40, 40}, 1.0F), many, many));
    CHECK(xml.find("text", "column").size() == 240);
    CHECK(xml.find("text", "row").size() == 120);  // three lines of two
    CHECK(numbers_of(xml.all()[0].attributes.at("viewBox"))[2] <= 1400);
  }
}

TEST_CASE("labels may contain anything") {
  const Names hard{"<b>", "a&b", "\"'", " ", "\n", "日本", std::string(1, '\0'), "naïve", ""};
  const Names shown{"<b>", "a&b", "\"'", "␣", "␊", "日本", "␀", "naïve", ""};
  const Xml xml(attention_svg(uneven({9, 9}), hard, hard, {.title = "<&>"}));
  CHECK(xml.texts("text", "row") == shown);
  CHECK(xml.texts("text", "column") == shown);
  CHECK(xml.texts("text", "title") == Names{"<&>"});
  SECTION("but long ones are cut") {
    const Names longer(1, std::string(30, 'x'));
    const Xml cut(attention_svg(uneven({1, 1}), longer, longer));
    std::string shown_part(23, 'x');
    shown_part += "…";
    CHECK(cut.texts("text", "row") == Names(1, shown_part));
  }
}

TEST_CASE("many labels stay readable") {
  const Names rows(150, "token");
  const Names columns(200, "token");
  const Xml xml(attention_svg(uneven({150, 200}), rows, columns));
  CHECK(xml.find("text", "row").size() == 150);
  CHECK(xml.find("text", "column").size() == 200);
  CHECK(xml.find("rect", "cell").size() == 30000);
  CHECK(xml.find("title").empty());  // beyond 20000
  const double size = std::stod(xml.find("g")[1].attributes.at("font-size"));
  CHECK(size >= 9);
  CHECK(size < std::stod(xml.find("rect", "cell")[0].attributes.at("height")));
}

TEST_CASE("colours follow the scale of the legend") {
  const Array<double> scores = array<double>(Shape{1, 3}, {0.1, 0.2, 0.4});
  const auto fills = [&scores](const AttentionPictureOptions& o) {
    Names out;
    const Xml xml(attention_svg(scores, {"r"}, {"a", "b", "c"}, o));
    for (const Element& cell : xml.find("rect", "cell")) out.push_back(cell.attributes.at("fill"));
    return out;
  };
  const Names by_largest = fills({});
  const Names limited = fills({.maximum = 0.2});
  CHECK(by_largest[2] == limited[2]);
  CHECK(by_largest[2] == limited[1]);  // the end of the scale
  CHECK(by_largest[1] != limited[1]);
  const Xml xml(attention_svg(scores, {"r"}, {"a", "b", "c"}, {.maximum = 1.0}));
  CHECK(xml.texts("text", "tick") == Names{"0", "0.5", "1"});
  CHECK(xml.find("stop").size() >= 2);

  // Scores before the softmax: from the least on. And all alike is no division by zero.
  const Xml both(attention_svg(array<double>(Shape{1, 2}, {-2, 2}), {"r"}, {"a", "b"}));
  CHECK(both.find("rect", "cell")[0].attributes.at("fill") == "#ffffff");
  CHECK(count_coordinates(
            Xml(attention_svg(detail::full<double>(Shape{2, 2}, 0.0), {"", ""}, {"", ""}))) > 20);
  CHECK(
      Xml(attention_svg(Array<double>(Shape{0, 2}), {}, {"a", "b"})).find("rect", "cell").empty());
}

TEST_CASE("what does not fit together is refused") {
  const Array<double> scores = uneven({2, 3});
  const Names two{"a", "b"};
  const Names three{"a", "b", "c"};
  const std::string swapped = refused<ShapeError>(scores, three, two);
  CHECK(contains(swapped, "attention_svg: labels do not fit: scores is (2, 3), expected (3, 2)"));
  CHECK(contains(refused<ShapeError>(uneven({1, 2, 2, 3}), two, three), "wrong rank"));
  CHECK(contains(refused<ShapeError>(uneven({6}), two, three), "wrong rank"));
  Array<double> bad = scores;
  bad(1, 0) = std::nan("");
  CHECK(contains(refused<NonFiniteError>(bad, two, three), "element 3 of (2, 3) is nan"));
  bad(1, 0) = HUGE_VAL;
  CHECK(contains(refused<NonFiniteError>(bad, two, three), "is inf"));
  CHECK(contains(refused<ValueError>(scores, Names{"a", "\xC3"}, three),
                 "row_labels[1] is not UTF-8"));
  CHECK(contains(refused<ValueError>(scores, two, three, AttentionPictureOptions{.maximum = 0.0}),
                 "maximum is 0"));
  CHECK(contains(
      refused<ValueError>(scores, two, three, AttentionPictureOptions{.heads = {"a", "b"}}),
      "heads has 2 names, expected 1"));
  CHECK(contains(refused<ValueError>(scores, two, three, AttentionPictureOptions{.title = "\xFF"}),
                 "title is not UTF-8"));
}
