#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <numeric>

using namespace xtape;
using namespace xtape::test;

TEST_CASE("rows are those asked for, in order, also twice") {
  const Array<float> x = random_array<float>({4, 2, 3}, 1);
  std::vector<std::size_t> at{3, 0, 3};
  const Array<float> some = rows(x, at);
  CHECK(some.shape() == Shape{3, 2, 3});
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 6; ++j) {
      CHECK(some.data()[i * 6 + j] == x.data()[at[i] * 6 + j]);
    }
  }
  CHECK(rows(array<std::int64_t>({3}, {7, 8, 9}), at = {2})(0) == 9);
  CHECK(rows(array<bool>({2}, {false, true}), at = {1})(0));
  CHECK(rows(Array<double>(Shape{3, 0}), at = {1, 2}).shape() == Shape{2, 0});
  CHECK(rows(x, at = {}).shape() == Shape{0, 2, 3});
  at.push_back(4);
  CHECK(contains(error_of<ValueError>([&] { rows(x, at); }), "element 0 of positions is 4"));
  CHECK(contains(error_of<ShapeError>([&] { rows(Array<float>(Shape{}, 1.0F), at); }), "no axes"));
}

TEST_CASE("random splits have every number once, and follow the seed") {
  const auto [a, b, c] = random_split(11, {0.5, 0.25, 0.25}, 3);
  // 5, 2 and 2; the two left over go to the first parts, as in PyTorch.
  CHECK(a.size() == 6);
  CHECK(b.size() == 3);
  CHECK(c.size() == 2);
  std::vector<std::size_t> all;
  for (const auto* part : {&a, &b, &c}) all.insert(all.end(), part->begin(), part->end());
  std::vector<std::size_t> sorted = all, expected(11);
  std::sort(sorted.begin(), sorted.end());
  std::iota(expected.begin(), expected.end(), std::size_t{0});
  CHECK(sorted == expected);
  CHECK(all != expected);
  CHECK(random_split(11, {0.5, 0.25, 0.25}, 3)[0] == a);
  CHECK(random_split(11, {0.5, 0.25, 0.25}, 4)[0] != a);
  CHECK(random_split(5, {1.0})[0].size() == 5);
  CHECK_THROWS_AS(random_split(10, {0.5, 0.4}), ValueError);
  CHECK_THROWS_AS(random_split(10, {1.5, -0.5}), ValueError);
  CHECK_THROWS_AS(random_split(10, {std::nan(""), 0.5}), ValueError);
  CHECK(contains(error_of<ValueError>([] { random_split(3, {0.9, 0.05, 0.05}); }), "empty part"));
  CHECK_THROWS_AS(random_split(0, {1.0}), ValueError);
}
