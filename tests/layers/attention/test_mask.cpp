#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

Array<bool> bools(const Shape& shape, std::initializer_list<int> values) {
  Array<bool> a(shape);
  std::transform(values.begin(), values.end(), a.data(), [](int v) { return v != 0; });
  return a;
}

// Every element of the mask, broadcast to the scores.
std::vector<bool> elements(const Mask& mask, const Shape& scores) {
  const Array<bool> m = logical_and(mask.evaluate("mha", scores), Array<bool>(scores, true));
  return std::vector<bool>(m.data(), m.data() + m.size());
}

}  // namespace

TEST_CASE("masks mean what their names say") {
  const Shape scores{2, 1, 3, 3};
  const auto same_for_both = [](std::vector<bool> one) {
    std::vector<bool> two = one;
    two.insert(two.end(), one.begin(), one.end());
    return two;
  };
  CHECK(Mask().empty());
  CHECK(elements(Mask(), scores) == std::vector<bool>(18, true));
  CHECK(elements(Mask::causal(), scores) == same_for_both({1, 0, 0, 1, 1, 0, 1, 1, 1}));
  CHECK(elements(Mask::causal(1), scores) == same_for_both({1, 1, 0, 1, 1, 1, 1, 1, 1}));
  CHECK(elements(Mask::causal(-1), scores) == same_for_both({0, 0, 0, 1, 0, 0, 1, 1, 0}));
  CHECK(elements(Mask::sliding_window(2), scores) == same_for_both({1, 1, 0, 1, 1, 1, 0, 1, 1}));
  CHECK(elements(Mask::sliding_window(1), scores) == same_for_both({1, 0, 0, 0, 1, 0, 0, 0, 1}));
  CHECK(elements(Mask::sliding_window(1, 1), scores) == same_for_both({0, 1, 0, 0, 0, 1, 0, 0, 0}));
  CHECK(elements(Mask::padding({2, 0}, 3), scores) ==
        std::vector<bool>{1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  CHECK(elements(Mask::padding(bools({2, 3}, {1, 1, 0, 0, 0, 0})), scores) ==
        elements(Mask::padding({2, 0}, 3), scores));
  CHECK(elements(Mask::queries(bools({2, 3}, {1, 0, 0, 0, 0, 1})), scores) ==
        std::vector<bool>{1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1});
  CHECK(elements(Mask::causal() & Mask::sliding_window(2), scores) ==
        same_for_both({1, 0, 0, 1, 1, 0, 0, 1, 1}));
}

TEST_CASE("a square batch is not mistaken for a pattern of pairs") {
  // (2, 2) as padding is (batch, keys); as pairwise it is (queries, keys).
  const Array<bool> keep = bools({2, 2}, {1, 0, 1, 1});
  const Shape scores{2, 1, 2, 2};
  CHECK(elements(Mask::padding(keep), scores) == std::vector<bool>{1, 0, 1, 0, 1, 1, 1, 1});
  CHECK(elements(Mask::pairwise(keep), scores) == std::vector<bool>{1, 0, 1, 1, 1, 0, 1, 1});
}

TEST_CASE("pairwise masks of every rank, and further axes between batch and heads") {
  const Array<bool> per_batch = bools({2, 1, 2}, {1, 0, 0, 1});
  CHECK(elements(Mask::pairwise(per_batch), {2, 1, 2, 2}) ==
        std::vector<bool>{1, 0, 1, 0, 0, 1, 0, 1});
  const Array<bool> per_head = bools({1, 2, 1, 2}, {1, 0, 0, 1});
  CHECK(elements(Mask::pairwise(per_head), {1, 2, 2, 2}) ==
        std::vector<bool>{1, 0, 1, 0, 0, 1, 0, 1});
  CHECK(elements(Mask::pairwise(per_head), {1, 3, 2, 1, 2}).size() == 12);
}

TEST_CASE("masks that do not fit are refused, naming the layer") {
  CHECK_THROWS_AS(Mask::padding(Array<bool>(Shape{3}, true)), ShapeError);
  CHECK_THROWS_AS(Mask::queries(Array<bool>(Shape{3, 1, 1}, true)), ShapeError);
  CHECK_THROWS_AS(Mask::pairwise(Array<bool>(Shape{3}, true)), ShapeError);
  CHECK_THROWS_AS(Mask::pairwise(Array<bool>(Shape{1, 1, 1, 1, 1}, true)), ShapeError);
  CHECK_THROWS_AS(Mask::padding({4}, 3), ValueError);
  CHECK_THROWS_AS(Mask::sliding_window(0), ValueError);
  for (const Mask& mask :
       {Mask::padding({1, 2}, 4), Mask::padding({1}, 3) & Mask::padding({1, 1, 1}, 3),
        Mask::queries(Array<bool>(Shape{2, 4}, true)),
        Mask::pairwise(Array<bool>(Shape{3, 4}, true))}) {
    const std::string text = error_of<ShapeError>([&] {
      static_cast<void>(mask.evaluate("enc/mha", {2, 1, 2, 3}));
    });
    CHECK(contains(text, "enc/mha: "));
    CHECK(contains(text, "(2, 1, 2, 3)"));
  }
  CHECK_THROWS_AS(logical_and(Array<bool>(Shape{2}, true), Array<bool>(Shape{3}, true)),
                  ShapeError);
}
