#include "kernels/softmax.hpp"

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/loops.hpp"

#include <cmath>
#include <limits>

using namespace xtape;
using namespace xtape::test;
using kernels::Index;

namespace {

const double kInf = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("softmax rows, masked and not") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  for (const std::size_t n : {1U, 2U, 7U, 64U, 100U}) {
    const std::vector<double> x = numbers<double>(n);
    bool mask[200];
    for (std::size_t i = 0; i < 200; ++i) mask[i] = i % 3 != 1;
    for (const Index step : {-1, 0, 1, 2}) {  // -1: no mask
      const bool* m = step < 0 ? nullptr : mask;
      double sum = 0;
      const auto kept = [&](std::size_t i) {
        return m == nullptr || m[static_cast<Index>(i) * step];
      };
      for (std::size_t i = 0; i < n; ++i) sum += kept(i) ? std::exp(x[i]) : 0;
      std::vector<double> p(n), l(n);
      kernels::softmax_row(false, static_cast<Index>(n), x.data(), m, step, p.data());
      kernels::softmax_row(true, static_cast<Index>(n), x.data(), m, step, l.data());
      for (std::size_t i = 0; i < n; ++i) {
        CHECK(close(p[i], kept(i) ? std::exp(x[i]) / sum : 0));
        CHECK(close(l[i], kept(i) ? x[i] - std::log(sum) : -kInf));
      }
    }
  }
  const bool none[2] = {false, false};
  const double any[2] = {kInf, std::nan("")};
  double y[2] = {5, 5};
  kernels::softmax_row(false, 2, any, none, 1, y);
  CHECK(y[0] == 0);
  CHECK(y[1] == 0);
}

TEST_CASE("the gradient of softmax, and of a probability of 0") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  const Index rows = 3, n = 5;
  std::vector<double> y(15), dx(15);
  std::vector<double> g = numbers<double>(15, 0.2);
  const std::vector<double> x = numbers<double>(15);
  for (Index r = 0; r < rows; ++r)
    kernels::softmax_row(false, n, x.data() + r * n, nullptr, 0, y.data() + r * n);
  y[7] = 0;
  g[7] = std::nan("");
  kernels::softmax_gradient(rows, n, y.data(), g.data(), dx.data());
  for (std::size_t r = 0; r < 3; ++r) {
    double dot = 0;
    for (std::size_t i = 5 * r; i < 5 * r + 5; ++i) dot += i == 7 ? 0 : y[i] * g[i];
    for (std::size_t i = 5 * r; i < 5 * r + 5; ++i)
      CHECK(close(dx[i], i == 7 ? 0 : y[i] * (g[i] - dot)));
  }
}
