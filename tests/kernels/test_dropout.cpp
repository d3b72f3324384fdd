// Dropout of every instruction set against Philox word by word; and Philox's known answers.

#include "kernels/dropout.hpp"

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/loops.hpp"

#include <xtape/base/random.hpp>

#include <array>
#include <cmath>
#include <limits>

using namespace xtape;
using namespace xtape::test;
using kernels::Index;

namespace {

/// Returns whether dropout keeps element `at`, by the definition.
bool kept(Index at, double rate, std::uint64_t seed, std::uint64_t index) {
  const auto low = [](std::uint64_t v) { return static_cast<std::uint32_t>(v); };
  const auto high = [](std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32U); };
  const auto block = static_cast<std::uint64_t>(at / 4);
  const auto words =
      philox({low(block), high(block), low(index), high(index)}, {low(seed), high(seed)});
  return (words[static_cast<std::size_t>(at % 4)] >> 8U) >= std::ceil(rate * 16777216.0);
}

}  // namespace

TEMPLATE_TEST_CASE("dropout draws element by element what Philox says", "", float, double) {
  using T = TestType;
  const std::uint64_t seed = 0x123456789ABCDEFULL, index = 0x700000003ULL;
  const std::vector<T> x = numbers<T>(400);
  on_each_isa([&] {
    // First elements at every place of a block and around 32 bits of the counter; lengths around the 64
    // words that are drawn together.
    for (const Index first : {Index{0}, Index{1}, Index{7}, Index{66}, (Index{1} << 34) - 22}) {
      for (const Index n : {1, 2, 3, 4, 5, 15, 16, 17, 31, 63, 64, 65, 67, 128, 130, 301}) {
        for (const double rate : {0.1, 0.5}) {
          std::vector<T> y(static_cast<std::size_t>(n) + 2, T(7)), expected(y);
          // Unaligned, with one element behind that must not change.
          kernels::dropout<T>(first, n, rate, seed, index, x.data() + 3, y.data() + 1);
          for (Index i = 0; i < n; ++i) {
            const auto at = static_cast<std::size_t>(i);
            expected[at + 1] = kept(first + i, rate, seed, index)
                                   ? x[at + 3] * static_cast<T>(1 / (1 - rate))
                                   : T(0);
          }
          INFO(first << " " << n << " " << rate);
          CHECK(y == expected);
        }
      }
    }
    // Dropped elements may hold anything.
    const std::vector<T> bad(100, std::numeric_limits<T>::quiet_NaN());
    std::vector<T> y(100);
    kernels::dropout<T>(0, 100, 0.5, seed, index, bad.data(), y.data());
    for (Index i = 0; i < 100; ++i) {
      const T v = y[static_cast<std::size_t>(i)];
      CHECK((kept(i, 0.5, seed, index) ? std::isnan(v) : v == T(0)));
    }
    T edge[2] = {};
    kernels::dropout<T>(0, 2, 0.0, 1, 1, x.data(), edge);
    CHECK((edge[0] == x[0] && edge[1] == x[1]));
    kernels::dropout<T>(0, 2, 1.0, 1, 1, x.data(), edge);
    CHECK((edge[0] == T(0) && edge[1] == T(0)));
  });
}

TEST_CASE("dropout keeps the right share, whatever the blocks") {
  constexpr std::size_t n = 100000;
  const std::vector<float> ones(n, 1.F);
  for (const double rate : {0.1, 0.5, 0.9}) {
    std::vector<float> y(n);
    kernels::dropout<float>(0, n, rate, 11, 3, ones.data(), y.data());
    std::size_t zeros = 0, others = 0;
    for (const float v : y) {
      zeros += v == 0 ? 1 : 0;
      others += v != 0 && v != static_cast<float>(1 / (1 - rate)) ? 1 : 0;
    }
    CHECK(others == 0);
    // Five standard deviations of a binomial.
    const double expected = rate * static_cast<double>(n);
    CHECK(std::abs(static_cast<double>(zeros) - expected) < 5 * std::sqrt(expected * (1 - rate)));
    // Neighbours agree as often as independent elements would.
    std::size_t agree = 0;
    for (std::size_t i = 1; i < n; ++i) agree += (y[i] == 0) == (y[i - 1] == 0) ? 1 : 0;
    const double p = rate * rate + (1 - rate) * (1 - rate);
    CHECK(std::abs(static_cast<double>(agree) - p * static_cast<double>(n)) <
          5 * std::sqrt(static_cast<double>(n) * p * (1 - p)) + 1);
    // Pieces that do not begin at multiples of four, and doubles, give the same decisions.
    std::vector<float> pieces(n);
    for (std::size_t begin = 0; begin < n;) {
      const std::size_t end = std::min(n, begin + 1 + begin % 7 * 1001);
      kernels::dropout<float>(static_cast<Index>(begin), static_cast<Index>(end - begin), rate, 11,
                              3, ones.data(), pieces.data() + begin);
      begin = end;
    }
    CHECK(pieces == y);
    const std::vector<double> wide(n, 1.0);
    std::vector<double> z(n);
    kernels::dropout<double>(0, n, rate, 11, 3, wide.data(), z.data());
    std::size_t differ = 0;
    for (std::size_t i = 0; i < n; ++i) differ += (z[i] == 0) != (y[i] == 0) ? 1 : 0;
    CHECK(differ == 0);
    // Another index gives other decisions.
    kernels::dropout<float>(0, n, rate, 11, 4, ones.data(), pieces.data());
    CHECK(pieces != y);
  }
  float y[2];
  kernels::dropout<float>(0, 2, 0.0, 1, 1, ones.data(), y);
  CHECK(y[0] == 1.F);
  kernels::dropout<float>(0, 2, 1.0, 1, 1, ones.data(), y);
  CHECK(y[0] == 0.F);
}

TEST_CASE("Philox4x32-10 gives the published answers") {
  using Four = std::array<std::uint32_t, 4>;
  // From the known-answer file of Random123.
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}
