#include "kernels/cross_entropy.hpp"

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/loops.hpp"

#include <cmath>
#include <limits>

using namespace xtape;
using namespace xtape::test;
using kernels::Index;

TEMPLATE_TEST_CASE("cross-entropy rows and their gradient", "", float, double) {
  using T = TestType;
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  const std::size_t n = GENERATE(6U, 32U, 75U);
  const double smoothing = GENERATE(0.0, 0.1, 1.0);
  const double near = std::is_same_v<T, float> ? 1e-5 : 1e-13;
  const std::vector<T> x = numbers<T>(4 * n), g = numbers<T>(4, T(0.7));
  const std::int64_t labels[4] = {0, 5, -1, 2};
  std::vector<T> loss(4), lse(4), dx(4 * n, T(9));
  kernels::cross_entropy(4, static_cast<Index>(n), x.data(), labels, static_cast<T>(smoothing),
                         loss.data(), lse.data());
  kernels::cross_entropy_gradient(4, static_cast<Index>(n), x.data(), labels,
                                  static_cast<T>(smoothing), lse.data(), g.data(), dx.data());
  for (std::size_t r = 0; r < 4; ++r) {
    double sum = 0, expected = 0;
    for (std::size_t i = 0; i < n; ++i) sum += std::exp(double{x[n * r + i]});
    const bool kept = labels[r] >= 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double target = smoothing / static_cast<double>(n) +
                            (labels[r] == static_cast<std::int64_t>(i) ? 1 - smoothing : 0);
      const double p = std::exp(double{x[n * r + i]}) / sum;
      expected -= target * std::log(p);
      CHECK(close(dx[n * r + i], kept ? g[r] * (p - target) : 0, near));
    }
    CHECK(close(loss[r], kept ? expected : 0, near));
  }
}
