// Shape arithmetic by NumPy's rules: every rule at both of its ends.

#include "array/shapes.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::detail;
using xtape::test::error_of;

TEST_CASE("an axis counts from either end") {
  for (std::size_t rank = 0; rank <= 4; ++rank) {
    const int n = static_cast<int>(rank);
    for (int axis = -n - 2; axis <= n + 1; ++axis) {
      INFO("axis " << axis << " of rank " << rank);
      if (axis >= -n && axis < n) {
        CHECK(normalize_axis("op", axis, rank) == static_cast<std::size_t>((axis + n) % n));
      } else {
        CHECK_THROWS_AS(normalize_axis("op", axis, rank), ShapeError);
      }
    }
  }
  CHECK(normalize_axes("op", std::vector<int>{2, -3}, 3) == std::vector<std::size_t>{2, 0});
  CHECK_THROWS_AS(normalize_axes("op", std::vector<int>{1, -2}, 3), ShapeError);
}

TEST_CASE("sizes and strides of shapes") {
  CHECK(size_of({}) == 1);
  CHECK(size_of({2, 3, 4}) == 24);
  CHECK(size_of({2, 0, SIZE_MAX}) == 0);
  CHECK(size_of({SIZE_MAX, 2}) == SIZE_MAX);
  CHECK(strides_of({2, 3, 4}) == std::vector<Index>{12, 4, 1});
  CHECK(strides_of({}).empty());
  CHECK(broadcast_strides({3, 1}, {2, 3, 4}) == std::vector<Index>{0, 1, 0});
  CHECK(broadcast_strides({2, 3}, {5, 2, 3}) == std::vector<Index>{0, 3, 1});
  CHECK(checked("op", {kTooMany - 1}).size() == 1);
  CHECK_THROWS_AS(checked("op", {kTooMany}), ShapeError);
  CHECK_THROWS_AS(checked("op", {kTooMany, 0}), ShapeError);
  CHECK_NOTHROW(checked("op", Shape(kMaxRank, 2)));
  CHECK_THROWS_AS(checked("op", Shape(kMaxRank + 1, 1)), ShapeError);
}

TEST_CASE("shapes broadcast from the last axis on") {
  CHECK(broadcast_shapes("op", {3, 1}, {2, 1, 4}) == Shape{2, 3, 4});
  CHECK(broadcast_shapes("op", {1}, {0}) == Shape{0});
  CHECK(broadcast_shapes("op", {}, {5}) == Shape{5});
  CHECK_THROWS_AS(broadcast_shapes("op", {2}, {3}), ShapeError);
  CHECK_THROWS_AS(broadcast_shapes("op", {0}, {2}), ShapeError);
  CHECK(broadcasts_to({}, {}));
  CHECK(broadcasts_to({1, 3}, {2, 2, 3}));
  CHECK(broadcasts_to({2, 3}, {2, 3}));
  CHECK_FALSE(broadcasts_to({2, 3}, {1, 3}));
  CHECK_FALSE(broadcasts_to({2, 3, 1}, {3, 1}));
  CHECK_NOTHROW(check_rank("op", kMaxRank));
  CHECK_THROWS_AS(check_rank("op", kMaxRank + 1), ShapeError);
}

TEST_CASE("a reduction keeps the other axes") {
  CHECK(reduced_shape({2, 3, 4}, {1}, false) == Shape{2, 4});
  CHECK(reduced_shape({2, 3, 4}, {2, 0}, true) == Shape{1, 3, 1});
  CHECK(reduced_shape({2, 3}, {}, false) == Shape{2, 3});
}

TEST_CASE("a shape is elements before, along and after an axis") {
  const AxisSplit split({2, 3, 4, 5}, 1);
  CHECK(split.outer == 2);
  CHECK(split.length == 3);
  CHECK(split.inner == 20);
  CHECK(AxisSplit({2, 0, 4}, 1).outer == 0);
  CHECK(AxisSplit({2, 3, 0}, 1).outer == 0);
}
