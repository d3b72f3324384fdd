#include "kernels/cross_entropy.hpp"

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/loops.hpp"

#include <cmath>
#include <limits>

using namespace xtape;
using namespace xtape::test;
using kernels::Index;

TEST_CASE("cross-entropy rows and their gradient") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  const Index rows = 4, n = 6;
  const std::vector<double> x = numbers<double>(24), g = numbers<double>(4, 0.7);
  const std::int64_t labels[4] = {0, 5, -1, 2};
  std::vector<double> loss(4), lse(4), dx(24, 9.0);
  kernels::cross_entropy(rows, n, x.data(), labels, loss.data(), lse.data());
  kernels::cross_entropy_gradient(rows, n, x.data(), labels, lse.data(), g.data(), dx.data());
  for (std::size_t r = 0; r < 4; ++r) {
    double sum = 0;
    for (std::size_t i = 0; i < 6; ++i) sum += std::exp(x[6 * r + i]);
    const bool kept = labels[r] >= 0;
    CHECK(
        close(loss[r], kept ? std::log(sum) - x[6 * r + static_cast<std::size_t>(labels[r])] : 0));
    for (std::size_t i = 0; i < 6; ++i) {
      const double p = std::exp(x[6 * r + i]) / sum;
      const double expected = g[r] * (p - (labels[r] == static_cast<std::int64_t>(i) ? 1 : 0));
      CHECK(close(dx[6 * r + i], kept ? expected : 0));
    }
  }
}
