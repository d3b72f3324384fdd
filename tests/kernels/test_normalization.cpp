#include "kernels/normalization.hpp"

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/loops.hpp"

#include <cmath>
#include <limits>

using namespace xtape;
using namespace xtape::test;
using kernels::Index;

TEST_CASE("layer normalization and its gradients") {
  const EachIsa isa;
  INFO("instruction set " << isa.name());
  // The kernel computes eight rows together, fewer if they are long, and keeps no passes of the longest.
  struct Case {
    std::size_t count, n;
  };
  for (const auto& [count, n] : {Case{3, 1}, Case{3, 2}, Case{19, 9}, Case{8, 16}, Case{11, 33},
                                 Case{5, 64}, Case{10, 300}, Case{7, 700}, Case{2, 2051}}) {
    const auto width = static_cast<Index>(n);
    const auto rows = static_cast<Index>(count);
    INFO(count << " rows of " << n);
    const std::vector<double> x = numbers<double>(count * n), gamma = numbers<double>(n, 0.3),
                              beta = numbers<double>(n, 0.6);
    const std::vector<double> g = numbers<double>(count * n, 0.9);
    std::vector<double> y(count * n), bare(count * n), mean(count), rstd(count), dx(count * n),
        dgamma(n, 0.5), dbeta(n, 0.25);
    kernels::layer_norm(rows, width, 0.01, x.data(), nullptr, nullptr, bare.data(), mean.data(),
                        rstd.data());
    kernels::layer_norm(rows, width, 0.01, x.data(), gamma.data(), beta.data(), y.data(),
                        mean.data(), rstd.data());
    kernels::layer_norm_gradient(rows, width, x.data(), gamma.data(), mean.data(), rstd.data(),
                                 g.data(), dx.data());
    kernels::layer_norm_parameters(rows, width, width, x.data(), mean.data(), rstd.data(), g.data(),
                                   dgamma.data(), dbeta.data());
    std::vector<double> sum_gamma(n, 0.5), sum_beta(n, 0.25);
    for (std::size_t r = 0; r < count; ++r) {
      const double* row = x.data() + r * n;
      double m = 0, v = 0;
      for (std::size_t i = 0; i < n; ++i) m += row[i] / static_cast<double>(n);
      for (std::size_t i = 0; i < n; ++i) v += (row[i] - m) * (row[i] - m) / static_cast<double>(n);
      const double s = 1 / std::sqrt(v + 0.01);
      CHECK(close(mean[r], m));
      CHECK(close(rstd[r], s));
      for (std::size_t i = 0; i < n; ++i) {
        const double hat = (row[i] - m) * s;
        CHECK(close(bare[r * n + i], hat));
        CHECK(close(y[r * n + i], hat * gamma[i] + beta[i]));
        sum_gamma[i] += g[r * n + i] * hat;
        sum_beta[i] += g[r * n + i];
        if (n > 100 && i % 41 != 0) continue;
        // The Jacobian by its definition: d hat_j / d x_i.
        double expected = 0;
        for (std::size_t j = 0; j < n; ++j) {
          const double hat_j = (row[j] - m) * s;
          const double d = ((i == j ? 1.0 : 0.0) - (1 + hat * hat_j) / static_cast<double>(n)) * s;
          expected += g[r * n + j] * gamma[j] * d;
        }
        CHECK(close(dx[r * n + i], expected, 1e-12));
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(close(dgamma[i], sum_gamma[i]));
      CHECK(close(dbeta[i], sum_beta[i]));
    }
  }
}

TEST_CASE("RMS normalization and its gradients") {
  const Index rows = 3;
  for (const std::size_t n : {1U, 2U, 9U, 64U}) {
    const auto width = static_cast<Index>(n);
    const std::vector<double> x = numbers<double>(3 * n), scale = numbers<double>(n, 0.3);
    const std::vector<double> g = numbers<double>(3 * n, 0.9);
    std::vector<double> y(3 * n), rrms(3), dx(3 * n), dscale(n, 0.5), sum(n, 0.5);
    kernels::rms_norm(rows, width, 0.01, x.data(), scale.data(), y.data(), rrms.data());
    kernels::rms_norm_gradient(rows, width, x.data(), scale.data(), rrms.data(), g.data(),
                               dx.data());
    kernels::rms_norm_parameters(rows, width, width, x.data(), rrms.data(), g.data(),
                                 dscale.data());
    for (std::size_t r = 0; r < 3; ++r) {
      const double* row = x.data() + r * n;
      double squares = 0;
      for (std::size_t i = 0; i < n; ++i) squares += row[i] * row[i] / static_cast<double>(n);
      const double s = 1 / std::sqrt(squares + 0.01);
      CHECK(close(rrms[r], s));
      for (std::size_t i = 0; i < n; ++i) {
        CHECK(close(y[r * n + i], row[i] * s * scale[i]));
        sum[i] += g[r * n + i] * row[i] * s;
        // The Jacobian by its definition: d hat_j / d x_i.
        double expected = 0;
        for (std::size_t j = 0; j < n; ++j) {
          const double d =
              (i == j ? s : 0.0) - row[i] * row[j] * s * s * s / static_cast<double>(n);
          expected += g[r * n + j] * scale[j] * d;
        }
        CHECK(close(dx[r * n + i], expected, 1e-12));
      }
    }
    for (std::size_t i = 0; i < n; ++i) CHECK(close(dscale[i], sum[i]));
  }
}
