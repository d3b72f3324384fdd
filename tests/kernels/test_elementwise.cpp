// Elementwise kernels over every kind of stride, against walk().

#include "kernels/elementwise.hpp"

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/loops.hpp"

#include <cmath>
#include <limits>

using namespace xtape;
using namespace xtape::test;
using kernels::Binary;
using kernels::Index;
using kernels::Unary;

namespace {

using Strides = std::vector<std::vector<Index>>;

double plainly(Binary op, double u, double v) {
  switch (op) {
    case Binary::add: return u + v;
    case Binary::subtract: return u - v;
    case Binary::multiply: return u * v;
    case Binary::divide: return u / v;
    case Binary::power: return std::pow(u, v);
    case Binary::maximum: return std::fmax(u, v);
    case Binary::minimum: return std::fmin(u, v);
    case Binary::less: return u < v ? 1 : 0;
    case Binary::less_equal: return u <= v ? 1 : 0;
    case Binary::equal: return u == v ? 1 : 0;
  }
  return 0;
}

constexpr Binary kAll[] = {Binary::add,        Binary::subtract, Binary::multiply, Binary::divide,
                           Binary::power,      Binary::maximum,  Binary::minimum,  Binary::less,
                           Binary::less_equal, Binary::equal};

void compare(const std::vector<Index>& extents, Strides strides, std::size_t na, std::size_t nb) {
  std::vector<double> a = numbers<double>(na), b = numbers<double>(nb, 0.5);
  for (double& v : a) v = std::abs(v) + 0.1;  // powers
  strides.push_back(row_major(extents));
  for (const Binary op : kAll) {
    INFO("operation " << static_cast<int>(op));
    const std::size_t n = count_of(extents);
    std::vector<double> y(n + 1, 7.0), expected(n + 1, 7.0);  // one more must stay
    walk(extents, strides, [&](const std::vector<Index>& at) {
      expected[static_cast<std::size_t>(at[2])] =
          plainly(op, a[static_cast<std::size_t>(at[0])], b[static_cast<std::size_t>(at[1])]);
    });
    kernels::binary(op, loop_of<3>(extents, strides), a.data(), b.data(), y.data());
    CHECK(y == expected);
  }
}

}  // namespace

TEST_CASE("binary kernels over contiguous, broadcast and strided operands") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  for (const Index n : {0, 1, 2, 7, 8, 9, 64, 65}) {
    compare({n}, {{1}, {1}}, 65, 65);
    compare({n}, {{0}, {1}}, 1, 65);
    compare({n}, {{1}, {0}}, 65, 1);
    compare({n}, {{0}, {0}}, 1, 1);
    compare({n}, {{2}, {1}}, 130, 65);
    compare({n}, {{1}, {3}}, 65, 195);
  }
  compare({}, {{}, {}}, 1, 1);
  compare({3, 4}, {{4, 1}, {0, 1}}, 12, 4);   // a row
  compare({3, 4}, {{4, 1}, {1, 0}}, 12, 3);   // a column
  compare({3, 4}, {{1, 0}, {0, 1}}, 3, 4);    // both
  compare({3, 4}, {{1, 3}, {4, 1}}, 12, 12);  // a transpose
  compare({2, 3, 4}, {{12, 4, 1}, {0, 1, 0}}, 24, 3);
  compare({2, 3, 4}, {{0, 4, 1}, {3, 1, 0}}, 12, 6);
  compare({2, 1, 4}, {{4, 0, 1}, {4, 4, 1}}, 8, 8);
  compare({2, 0, 4}, {{4, 0, 1}, {4, 4, 1}}, 8, 8);
}

TEST_CASE("select over every kind of stride") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  const bool condition[12] = {true, false, false, true,  true, false,
                              true, true,  false, false, true, false};
  const std::vector<double> a = numbers<double>(12), b = numbers<double>(12, 0.4);
  for (const Strides& s : {Strides{{4, 1}, {4, 1}, {4, 1}}, Strides{{1, 0}, {4, 1}, {0, 0}},
                           Strides{{0, 1}, {0, 1}, {1, 0}}, Strides{{0, 0}, {1, 3}, {4, 1}}}) {
    Strides strides = s;
    strides.push_back({4, 1});
    std::vector<double> y(12), expected(12);
    walk({3, 4}, strides, [&](const std::vector<Index>& at) {
      expected[static_cast<std::size_t>(at[3])] = condition[at[0]]
                                                      ? a[static_cast<std::size_t>(at[1])]
                                                      : b[static_cast<std::size_t>(at[2])];
    });
    kernels::select(loop_of<4>({3, 4}, strides), condition, a.data(), b.data(), y.data());
    CHECK(y == expected);
  }
  double y = 0;
  kernels::select(kernels::Loop<4>{}, condition, a.data(), b.data(), &y);
  CHECK(y == a[0]);
}

TEST_CASE("fill, add_to, scale and the search for non-finite elements") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  std::vector<float> y(9, 1.F);
  kernels::fill(8, 3.F, y.data());
  CHECK(y[7] == 3.F);
  CHECK(y[8] == 1.F);
  const std::vector<float> x = numbers<float>(9);
  kernels::add_to(8, x.data(), y.data());
  CHECK(y[5] == 3.F + x[5]);
  CHECK(y[8] == 1.F);
  kernels::scale(8, 2.F, x.data(), y.data());
  CHECK(y[5] == 2.F * x[5]);
  CHECK(kernels::first_non_finite(9, x.data()) == -1);
  y[6] = std::numeric_limits<float>::infinity();
  y[8] = std::numeric_limits<float>::quiet_NaN();
  CHECK(kernels::first_non_finite(9, y.data()) == 6);
  CHECK(kernels::first_non_finite(0, y.data()) == -1);
}

TEST_CASE("slopes are the derivatives of the functions before them") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  const kernels::Parameters p{{0.75, 1.3, 0.6}};
  std::size_t slopes = 0;
  for (const auto& [name, f] : every_formula()) {
    if (!f.has_slope()) continue;
    ++slopes;
    for (const double at : {-2.7, -1.6, -0.8, -0.3, 0.2, 0.7, 1.1, 1.4, 2.6}) {
      constexpr double h = 1e-5;
      const double points[3] = {at - h, at, at + h};
      double y[3], slope[3];
      kernels::unary(f, 3, points, y, p);
      kernels::unary(f.slope(), 3, points, slope, p);
      INFO("slope of " << name << " at " << at);
      CHECK(std::abs((y[2] - y[0]) / (2 * h) - slope[1]) < 1e-8);
    }
  }
  CHECK(slopes == 25);
  const double two = 2;
  double half = 0;
  kernels::unary("reciprocal", 1, &two, &half);
  CHECK(half == 0.5);
}
