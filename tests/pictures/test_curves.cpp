#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/xml.hpp"

#include <xtape/xtape.hpp>

#include <limits>

using namespace xtape;
using namespace xtape::test;

namespace {

using Names = std::vector<std::string>;
const double kNaN = std::numeric_limits<double>::quiet_NaN();

std::string refused(const Curves& curves, const CurvesOptions& options = {}) {
  try {
    static_cast<void>(curves_svg(curves, options));
  } catch (const ValueError& e) {
    return e.what();
  }
  return "";
}

std::vector<std::size_t> lengths(const Xml& xml, const std::string& what) {
  std::vector<std::size_t> out;
  for (const Element& line : xml.find("polyline", what)) {
    out.push_back(numbers_of(line.attributes.at("points")).size() / 2);
  }
  return out;
}

using Lengths = std::vector<std::size_t>;

}  // namespace

TEST_CASE("training and validation of a name share a diagram") {
  const Curves curves{{"val_loss", {3, 2, 1.5}},
                      {"loss", {3, 1, 0.5}},
                      {"learning_rate", {0.1, 0.1, 0.01}},
                      {"val_only", {1, 2, 3}}};
  const Xml xml(curves_svg(curves, {.title = "a < b"}));
  CHECK(xml.find("g", "diagram").size() == 3);
  CHECK(xml.texts("text", "name") == Names{"loss", "learning_rate", "only"});
  CHECK(xml.texts("text", "title") == Names{"a < b"});
  CHECK(lengths(xml, "training") == Lengths{3, 3});
  CHECK(lengths(xml, "validation") == Lengths{3, 3});
  const Names legend = xml.texts("text", "legend");
  CHECK(std::count(legend.begin(), legend.end(), "training") == 1);
  CHECK(std::count(legend.begin(), legend.end(), "validation") == 2);
  CHECK(xml.texts("text", "axis") == Names{"epoch", "epoch", "epoch"});
  CHECK(count_coordinates(xml) > 60);

  const std::map<std::string, std::vector<double>> by_name(curves.begin(), curves.end());
  CHECK(Xml(curves_svg(by_name)).find("polyline").size() == 4);
  // Braces alone will do.
  const std::vector<double> losses{3, 2, 1};
  CHECK(Xml(curves_svg({{"loss", losses}, {"val_loss", losses}}, {.log = {"loss"}}))
            .find("polyline")
            .size() == 2);
  CHECK(Xml(curves_svg({{"loss", losses}})).find("polyline").size() == 1);
}

TEST_CASE("points stand where the values are") {
  const Xml xml(curves_svg(Curves{{"loss", {1, 0.5, 0}}}));
  const auto points = numbers_of(xml.find("polyline")[0].attributes.at("points"));
  REQUIRE(points.size() == 6);
  CHECK(points[0] == 0);
  CHECK(points[4] == 2 * points[2]);  // even steps to the right
  const auto frame = xml.find("rect", "frame")[0].attributes;
  CHECK(points[4] == std::stod(frame.at("width")));
  CHECK(points[5] == Approx(std::stod(frame.at("height"))));  // 0 is at the bottom
  CHECK(points[3] == Approx((points[1] + points[5]) / 2));
  CHECK(points[1] > 0);
  CHECK(points[1] < points[5]);
}

TEST_CASE("NaN and infinity leave gaps") {
  const Xml xml(curves_svg(
      Curves{{"loss", {3, 2, kNaN, 1, HUGE_VAL, 1, 1, 1}}, {"val_loss", {kNaN, kNaN, 5, kNaN}}}));
  CHECK(lengths(xml, "training") == Lengths{2, 3});
  CHECK(lengths(xml, "validation").empty());
  CHECK(xml.find("circle", "training").size() == 6);
  CHECK(xml.find("circle", "validation").size() == 1);  // alone, but seen
  CHECK(count_coordinates(xml) > 20);

  const Xml nothing(curves_svg(Curves{{"loss", {kNaN, kNaN}}}));
  CHECK(nothing.find("circle").empty());
  CHECK(count_coordinates(nothing) > 10);
}

TEST_CASE("a logarithmic axis has equal ratios at equal distances") {
  const Curves curves{
      {"loss", {100, 10, 1}}, {"val_loss", {100, 100, 1}}, {"accuracy", {0, 0.5, 1}}};
  const Xml xml(curves_svg(curves, {.log = {"loss"}}));
  CHECK(xml.texts("text", "name") == Names{"loss (log)", "accuracy"});
  const auto points = numbers_of(xml.find("polyline", "training")[0].attributes.at("points"));
  CHECK(points[3] - points[1] == Approx(points[5] - points[3]));
  const Names ticks = xml.texts("text", "tick");
  for (const char* tick : {"1", "10", "100"}) {
    CHECK(std::find(ticks.begin(), ticks.end(), tick) != ticks.end());
  }
}

TEST_CASE("axes have ticks at round numbers") {
  std::vector<double> values(25);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.9 - 0.03 * static_cast<double>(i);
  const Names ticks = Xml(curves_svg(Curves{{"loss", values}})).texts("text", "tick");
  CHECK(ticks == Names{"0", "0.2", "0.4", "0.6", "0.8", "5", "10", "15", "20", "25"});
  const Names shifted =
      Xml(curves_svg(Curves{{"loss", values}}, {.first = 0, .step = 100})).texts("text", "tick");
  CHECK(shifted == Names{"0", "0.2", "0.4", "0.6", "0.8", "0", "500", "1000", "1500", "2000"});
}

TEST_CASE("values of any size have finite coordinates") {
  const double huge = std::numeric_limits<double>::max();
  const double tiny = std::numeric_limits<double>::denorm_min();
  for (const std::vector<double>& values : {std::vector<double>{5},
                                            {0},
                                            {2, 2, 2},
                                            {-3, -3},
                                            {huge, -huge},
                                            {huge, 1},
                                            {tiny, tiny},
                                            {1e300, -1e300},
                                            {1e-300, 2e-300},
                                            {1e15, 1e15 + 1},
                                            {1e17, 1e17 + 16},
                                            {0, 1e-320}}) {
    INFO(values[0]);
    const Xml xml(curves_svg(Curves{{"loss", values}}));
    CHECK(count_coordinates(xml) > 12);
    CHECK(xml.find("text", "tick").size() < 30);
    if (values[0] > 0) {
      CHECK(count_coordinates(Xml(curves_svg(Curves{{"p", {values[0]}}}, {.log = {"p"}}))) > 12);
    }
  }
  for (const std::vector<double>& values : {std::vector<double>{tiny, huge}, {1e-300, 1e300}}) {
    const Xml xml(curves_svg(Curves{{"p", values}}, {.log = {"p"}}));
    CHECK(count_coordinates(xml) > 12);
    CHECK(xml.find("text", "tick").size() < 30);
  }
  // Equal values stand in the middle of an axis that can be read.
  CHECK(Xml(curves_svg(Curves{{"p", {3, 3}}})).texts("text", "tick") ==
        Names{"2.7", "2.8", "2.9", "3", "3.1", "3.2", "3.3", "1", "2"});
}

TEST_CASE("of very many values the extremes stay") {
  std::vector<double> values(100000, 1.0);
  values[77777] = 9;
  values[33333] = -4;
  const Xml xml(curves_svg(Curves{{"loss", values}}, {.x_title = "step"}));
  const auto points = numbers_of(xml.find("polyline")[0].attributes.at("points"));
  CHECK(points.size() / 2 <= 2000);
  double top = HUGE_VAL;
  double bottom = 0;
  for (std::size_t i = 0; i + 1 < points.size(); i += 2) {
    if (i > 0) CHECK(points[i] >= points[i - 2]);
    top = std::min(top, points[i + 1]);
    bottom = std::max(bottom, points[i + 1]);
  }
  const double height = std::stod(xml.find("rect", "frame")[0].attributes.at("height"));
  CHECK(top == Approx(height * (1 - (9 + 4.65) / 14.3)));
  CHECK(bottom == Approx(height * (1 - 0.65 / 14.3)));
}

TEST_CASE("curves that cannot be drawn are refused") {
  CHECK(contains(refused({}), "nothing to draw: there are 0 curves"));
  CHECK(contains(refused({{"loss", {}}, {"val_loss", {}}}), "nothing to draw: there are 2 curves"));
  CHECK(contains(refused({{"loss", {1}}, {"loss", {2}}}), "name given twice: 'loss'"));
  CHECK(contains(refused({{"loss", {1}}}, {.log = {"lost"}}), "there is no curve 'lost'"));
  CHECK(contains(refused({{"loss", {1, 0}}}, {.log = {"loss"}}), "element 1 of 'loss' is 0"));
  CHECK(contains(refused({{"loss", {1}}, {"val_loss", {-1}}}, {.log = {"loss"}}), "is -1"));
  CHECK(contains(refused({{"loss", {1}}}, {.step = 0}), "step is 0"));
  CHECK(contains(refused({{"loss", {1}}}, {.first = kNaN}), "first is nan"));
  CHECK(contains(refused({{"\xC0\x80", {1}}}), "name is not UTF-8"));
}
