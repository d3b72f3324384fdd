// Kernels that move elements: copies between layouts, around the tile of 16, gathers, sums, triangles.

#include "kernels/memory.hpp"

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/loops.hpp"

using namespace xtape;
using namespace xtape::test;
using kernels::Index;

namespace {

using Strides = std::vector<std::vector<Index>>;

/// Checks copy against walk(), into a target that is not empty.
void compare_copy(const std::vector<Index>& extents, const Strides& strides, std::size_t from,
                  std::size_t to, Index start = 0) {
  const std::vector<double> source = numbers<double>(from);
  std::vector<double> expected = numbers<double>(to, 0.3);
  std::vector<double> copied = expected;
  walk(extents, strides, [&](const std::vector<Index>& at) {
    expected[static_cast<std::size_t>(at[1])] = source[static_cast<std::size_t>(start + at[0])];
  });
  kernels::copy(loop_of<2>(extents, strides), source.data() + start, copied.data());
  CHECK(copied == expected);
}

}  // namespace

TEST_CASE("transposing copies, below, at and above the tile") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  for (const Index rows : {1, 2, 15, 16, 17, 31, 32, 33}) {
    for (const Index columns : {1, 3, 15, 16, 17, 48}) {
      INFO(rows << " x " << columns);
      const auto n = static_cast<std::size_t>(rows * columns);
      compare_copy({columns, rows}, {{1, columns}, {rows, 1}}, n, n);
      // A batch of two, and the transposed side as the target.
      compare_copy({2, columns, rows}, {{rows * columns, 1, columns}, {rows * columns, rows, 1}},
                   2 * n, 2 * n);
      compare_copy({columns, rows}, {{rows, 1}, {1, columns}}, n, n);
    }
  }
}

TEST_CASE("copies with steps, backwards, and of broadcast sources") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  compare_copy({5}, {{2}, {1}}, 10, 5);
  compare_copy({5}, {{-1}, {1}}, 5, 5, 4);
  compare_copy({4, 5}, {{0, 1}, {5, 1}}, 5, 20);
  compare_copy({4, 5}, {{1, 0}, {5, 1}}, 4, 20);
  compare_copy({3, 2, 4}, {{0, 0, 0}, {8, 4, 1}}, 1, 24);
  compare_copy({3, 4}, {{-8, 2}, {4, 1}}, 24, 12, 16);
  compare_copy({}, {{}, {}}, 1, 1);
  compare_copy({0, 4}, {{4, 1}, {4, 1}}, 1, 1);
  compare_copy({4, 0}, {{1, 1}, {1, 1}}, 1, 1);
  compare_copy({2, 3, 2, 3}, {{1, 2, 6, 12}, {18, 6, 3, 1}}, 36, 36);
}

TEST_CASE("copies of bools and integers") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  const bool source[6] = {true, false, true, true, false, false};
  bool target[6] = {};
  kernels::copy(loop_of<2>({3, 2}, {{1, 3}, {2, 1}}), source, target);
  const bool expected[6] = {true, true, false, false, true, false};
  CHECK(std::equal(target, target + 6, expected));
  const std::int64_t numbers[2] = {7, 9};
  std::int64_t out[4];
  kernels::copy(loop_of<2>({2, 2}, {{0, 1}, {2, 1}}), numbers, out);
  CHECK(out[0] == 7);
  CHECK(out[3] == 9);
}

TEST_CASE("gather and scatter_add are each other's transpose") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  const Index outer = 3, length = 5, inner = 4, count = 7;
  const std::vector<std::int64_t> ids = {4, 0, 4, 2, 2, 2, 1};
  const std::vector<float> x = numbers<float>(60);
  std::vector<float> y(84);
  kernels::gather(outer, length, inner, ids.data(), count, x.data(), y.data());
  std::vector<float> back(60, 1.F);
  kernels::scatter_add(outer, length, inner, ids.data(), count, y.data(), back.data());
  for (Index o = 0; o < outer; ++o) {
    for (Index i = 0; i < inner; ++i) {
      for (Index k = 0; k < count; ++k) {
        CHECK(y[static_cast<std::size_t>((o * count + k) * inner + i)] ==
              x[static_cast<std::size_t>((o * length + ids[static_cast<std::size_t>(k)]) * inner +
                                         i)]);
      }
      for (Index j = 0; j < length; ++j) {
        const auto at = static_cast<std::size_t>((o * length + j) * inner + i);
        float sum = 1;
        for (const std::int64_t id : ids) sum += id == j ? x[at] : 0;
        CHECK(back[at] == sum);
      }
    }
  }
}

TEST_CASE("running sums are kept in double, from either end") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  // Ones added to 2^24 vanish in float.
  const std::vector<float> x = {16777216.F, 1.F, 1.F, 1.F};
  std::vector<float> y(4);
  kernels::cumsum(1, 4, 1, false, x.data(), y.data());
  CHECK(y[3] == 16777220.F);
  kernels::cumsum(1, 4, 1, true, x.data(), y.data());
  CHECK(y[0] == 16777220.F);
  CHECK(y[1] == 3.F);
  const std::vector<double> v = numbers<double>(2 * 3 * 4);
  std::vector<double> w(24);
  kernels::cumsum(2, 3, 4, false, v.data(), w.data());
  for (std::size_t o = 0; o < 2; ++o) {
    for (std::size_t i = 0; i < 4; ++i) {
      double sum = 0;
      for (std::size_t k = 0; k < 3; ++k)
        CHECK(w[(o * 3 + k) * 4 + i] == (sum += v[(o * 3 + k) * 4 + i]));
    }
  }
}

TEST_CASE("triangles with any diagonal") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  const std::vector<double> x = numbers<double>(2 * 3 * 5, 0.01);
  for (const Index diagonal : {-4, -1, 0, 2, 7}) {
    for (const bool upper : {false, true}) {
      std::vector<double> y(30, 9.0);
      kernels::triangle(2, 3, 5, diagonal, upper, x.data(), y.data());
      for (std::size_t k = 0; k < 30; ++k) {
        const auto r = static_cast<Index>(k / 5 % 3), c = static_cast<Index>(k % 5);
        CHECK(y[k] == ((upper ? c - r >= diagonal : c - r <= diagonal) ? x[k] : 0.0));
      }
    }
  }
}
