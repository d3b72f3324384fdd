#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <set>

using namespace xtape;

TEST_CASE("Philox gives the published answers") {
  using Words = std::array<std::uint32_t, 4>;
  CHECK((philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  CHECK((philox({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}) ==
         Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  CHECK((philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
         Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST_CASE("streams are reproducible, and differ by seed and by stream") {
  const auto first = [](std::uint64_t seed, std::uint64_t stream) {
    RandomStream s(seed, stream);
    return std::array{s.bits(), s.bits(), s.bits(), s.bits(), s.bits()};
  };
  CHECK(first(1, 2) == first(1, 2));
  CHECK(first(1, 2) != first(2, 2));
  CHECK(first(1, 2) != first(1, 3));
  CHECK(first(1, 2) != first(std::uint64_t{1} << 32U | 1U, 2));
  CHECK(first(1, 2) != first(1, std::uint64_t{1} << 32U | 2U));
}

TEST_CASE("uniform and normal numbers have their moments") {
  RandomStream stream(1, 1);
  constexpr int kCount = 200000;
  double sum = 0, squares = 0, low = 1, high = 0;
  for (int i = 0; i < kCount; ++i) {
    const double u = stream.uniform();
    sum += u;
    squares += u * u;
    low = std::min(low, u);
    high = std::max(high, u);
  }
  CHECK(low >= 0);
  CHECK(high < 1);
  CHECK(sum / kCount == Approx(0.5).margin(0.003));
  CHECK(squares / kCount == Approx(1.0 / 3).margin(0.003));
  sum = squares = 0;
  double fourth = 0;
  for (int i = 0; i < kCount; ++i) {
    const double z = stream.normal();
    sum += z;
    squares += z * z;
    fourth += z * z * z * z;
  }
  CHECK(sum / kCount == Approx(0).margin(0.01));
  CHECK(squares / kCount == Approx(1).margin(0.02));
  CHECK(fourth / kCount == Approx(3).margin(0.12));
}

TEST_CASE("below() is uniform, also where the count does not divide the range") {
  RandomStream stream(1, 1);
  std::array<int, 7> seen{};
  for (int i = 0; i < 70000; ++i) ++seen[stream.below(7)];
  for (const int n : seen) CHECK(n == Approx(10000).margin(400));
  CHECK(stream.below(1) == 0);
}

TEST_CASE("path hashes do not collide, nor do similar names have similar hashes") {
  std::set<std::uint64_t> hashes;
  for (int i = 0; i < 20000; ++i) hashes.insert(stable_hash("layer/" + std::to_string(i)));
  CHECK(hashes.size() == 20000);
  const std::uint64_t a = stable_hash("a/kernel");
  const std::uint64_t b = stable_hash("b/kernel");
  int different = 0;
  for (std::uint64_t x = a ^ b; x != 0; x &= x - 1) ++different;
  CHECK(different > 12);
}
