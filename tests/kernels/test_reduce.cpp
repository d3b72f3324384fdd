// Reductions by rows and by columns, around the kernel's blocks of accumulators and columns.

#include "kernels/reduce.hpp"

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/loops.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace xtape;
using namespace xtape::test;
using kernels::Index;
using kernels::Reduce;

namespace {

const double kNaN = std::numeric_limits<double>::quiet_NaN();
const double kInf = std::numeric_limits<double>::infinity();

template <class T>
void compare(const std::vector<Index>& kept, const std::vector<Index>& kept_strides,
             const std::vector<Index>& gone, const std::vector<Index>& gone_strides,
             std::size_t size) {
  const std::vector<T> x = numbers<T>(size);
  const auto loop_kept = loop_of<1>(kept, {kept_strides});
  const auto loop_gone = loop_of<1>(gone, {gone_strides});
  for (const Reduce op : {Reduce::sum, Reduce::sum_of_squares, Reduce::max, Reduce::min}) {
    std::vector<T> y(count_of(kept) + 1, T(7));
    kernels::reduce(op, loop_kept, loop_gone, x.data(), y.data());
    CHECK(y.back() == T(7));
    std::size_t k = 0;
    walk(kept, {kept_strides}, [&](const std::vector<Index>& at) {
      double sum = 0, squares = 0, top = -kInf, bottom = kInf;
      walk(gone, {gone_strides}, [&](const std::vector<Index>& in) {
        const auto v = static_cast<double>(x[static_cast<std::size_t>(at[0] + in[0])]);
        sum += v;
        squares += v * v;
        top = std::max(top, v);
        bottom = std::min(bottom, v);
      });
      const double expected = op == Reduce::sum              ? sum
                              : op == Reduce::sum_of_squares ? squares
                              : op == Reduce::max            ? top
                                                             : bottom;
      const auto got = static_cast<double>(y[k++]);
      // Sums are in double for every T. Only the result is rounded to T.
      const double within = sizeof(T) == 4 ? 1e-7 : 1e-13;
      CHECK((got == expected ||
             std::abs(got - expected) <= within * std::max(1.0, std::abs(expected))));
    });
  }
}

template <class T> void all_sizes() {
  for (const Index n : {1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 130, 515}) {
    INFO("length " << n);
    compare<T>({3}, {n}, {n}, {1}, static_cast<std::size_t>(3 * n));             // by rows
    compare<T>({n}, {1}, {3}, {n}, static_cast<std::size_t>(3 * n));             // by columns
    compare<T>({2, n}, {5 * n, 1}, {5}, {n}, static_cast<std::size_t>(10 * n));  // the middle axis
    compare<T>({4}, {n}, {2, n}, {4 * n, 1}, static_cast<std::size_t>(8 * n));   // first and last
    compare<T>({}, {}, {n}, {2}, static_cast<std::size_t>(2 * n));               // all, with a step
  }
  compare<T>({4}, {1}, {}, {}, 4);  // nothing reduced
  compare<T>({}, {}, {}, {}, 1);
  compare<T>({3}, {0}, {0}, {1}, 1);  // over no elements: 0 and infinities
  compare<T>({0}, {1}, {3}, {1}, 3);
}

}  // namespace

TEST_CASE("reductions in double") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  all_sizes<double>();
}
TEST_CASE("reductions in float") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  all_sizes<float>();
}

TEST_CASE("sums of floats are accumulated in double") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  std::vector<float> x(1000, 1.F);
  x[0] = 16777216.F;
  float y = 0;
  kernels::reduce(Reduce::sum, loop_of<1>({}, {{}}), loop_of<1>({1000}, {{1}}), x.data(), &y);
  CHECK(y == 16777216.F + 1000.F);
}

TEST_CASE("rows added in parts are the reduction to the bit") {
  test::on_each_isa([] {
    for (const std::size_t n : {1U, 13U, 16U, 40U}) {
      constexpr std::size_t kRows = 30;
      std::vector<float> x(kRows * n);
      for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<float>(std::sin(static_cast<double>(i)) * 1e3);
      }
      kernels::Loop<1> kept, rows;
      kept.push(static_cast<Index>(n), {1});
      rows.push(kRows, {static_cast<Index>(n)});
      std::vector<float> expected(n);
      kernels::reduce(kernels::Reduce::sum, kept, rows, x.data(), expected.data());
      alignas(64) double sums[48] = {};
      const auto width = static_cast<Index>(n);
      kernels::add_rows(12, width, width, x.data(), sums);
      kernels::add_rows(18, width, width, x.data() + 12 * n, sums);
      for (std::size_t i = 0; i < n; ++i) CHECK(static_cast<float>(sums[i]) == expected[i]);
    }
  });
}

TEST_CASE("NaN wins a maximum wherever it stands") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  for (const std::size_t n : {3U, 8U, 20U, 70U, 140U}) {
    for (std::size_t at = 0; at < n; ++at) {
      std::vector<double> x = numbers<double>(n);
      x[at] = kNaN;
      double top = 0, bottom = 0;
      const auto row = loop_of<1>({static_cast<Index>(n)}, {{1}});
      kernels::reduce(Reduce::max, loop_of<1>({}, {{}}), row, x.data(), &top);
      kernels::reduce(Reduce::min, loop_of<1>({}, {{}}), row, x.data(), &bottom);
      CHECK(std::isnan(top));
      CHECK(std::isnan(bottom));
      std::int64_t where = 0;
      kernels::arg_extreme(true, 1, static_cast<Index>(n), 1, x.data(), &where);
      CHECK(where == static_cast<std::int64_t>(at));
      // Columns: only the one with the NaN becomes NaN.
      const auto half = static_cast<Index>(n) / 2;
      std::vector<double> tops(n / 2);
      kernels::reduce(Reduce::max, loop_of<1>({half}, {{1}}), loop_of<1>({2}, {{half}}), x.data(),
                      tops.data());
      for (std::size_t j = 0; j < n / 2; ++j) {
        CHECK(std::isnan(tops[j]) == (at < 2 * (n / 2) && at % (n / 2) == j));
      }
    }
  }
}

TEST_CASE("arg_extreme finds the first extreme along any axis") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  const std::vector<double> x = {1, 5, 2, 5, 5, 0, kNaN, 3, kNaN, 9, 9, -kInf};
  std::int64_t y[4];
  kernels::arg_extreme(true, 2, 3, 2, x.data(), y);  // columns of two 3 x 2 matrices
  CHECK(std::vector<std::int64_t>(y, y + 4) == std::vector<std::int64_t>{2, 0, 0, 1});
  kernels::arg_extreme(false, 2, 3, 2, x.data(), y);
  CHECK(std::vector<std::int64_t>(y, y + 4) == std::vector<std::int64_t>{0, 2, 0, 2});
}
