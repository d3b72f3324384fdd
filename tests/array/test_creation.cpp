#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <limits>

using namespace xtape;

TEST_CASE("zeros, ones and full take a shape, not values") {
  const Array<float> a = zeros<float>({2, 3});
  CHECK(a.shape() == Shape{2, 3});
  CHECK((a == Array<float>(Shape{2, 3}, 0.0F)));
  CHECK((ones<double>({3}) == Array<double>{1, 1, 1}));
  CHECK((full<std::int64_t>({2}, 7) == Array<std::int64_t>{7, 7}));
  CHECK(full<float>({}, 0.5).shape().empty());
  CHECK(zeros<bool>({0, 4}).size() == 0);
}

TEST_CASE("arange is NumPy's") {
  CHECK((arange<int>(4) == Array<int>{0, 1, 2, 3}));
  CHECK((arange<float>(1, 2, 0.25) == Array<float>{1, 1.25, 1.5, 1.75}));
  CHECK((arange<double>(3, 0, -1) == Array<double>{3, 2, 1}));
  CHECK((arange<std::int64_t>(2, 9, 3) == Array<std::int64_t>{2, 5, 8}));
  CHECK(arange<float>(0).size() == 0);
  CHECK(arange<int>(5, 1).size() == 0);
  CHECK_THROWS_AS(arange<int>(0, 5, 0), ValueError);
  CHECK_THROWS_AS(arange<float>(0, 1, 0), ValueError);
  CHECK_THROWS_AS(arange<double>(std::numeric_limits<double>::quiet_NaN()), ValueError);
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(arange<double>(0, infinity), ValueError);
  CHECK_THROWS_AS(arange<double>(0, 1, infinity), ValueError);
}
