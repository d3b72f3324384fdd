// Gradients at the ends of the range, in every optimizer and option of the golden data: float gives what double gives,
// rounded, or refuses the step and leaves everything as it was.

#include "support/optimizers.hpp"

#include <iostream>
#include <limits>

using namespace xtape;
using namespace xtape::test;

namespace {

using Limits = std::numeric_limits<float>;

const std::vector<float> kValues = {Limits::max(),
                                    -Limits::max(),
                                    1e30F,
                                    1e20F,
                                    -1e20F,
                                    9e18F,
                                    1e15F,
                                    Limits::min(),
                                    Limits::denorm_min(),
                                    -1e-30F,
                                    0.0F,
                                    Limits::infinity(),
                                    -Limits::infinity(),
                                    Limits::quiet_NaN()};

/// One optimizer with its weights, which meets an extreme gradient in step 3.
template <class T> struct Training {
  Trained<T> trained;
  std::unique_ptr<Optimizer<T>> optimizer;
  bool scaled;

  explicit Training(const Json& c)
      : optimizer(optimizer_of<T>(c)), scaled(c["common"].contains("gradient_scale")) {
    if (c["common"].value("constraint", false)) {
      trained.weights[0].set_constraint(constraints::MaxNorm{.max_value = 1.5});
    }
  }
  /// Everything that a step changes.
  std::pair<std::map<std::string, Array<T>>, OptimizerState<T>> state() const {
    return {trained.params.values(), optimizer->state()};
  }
  /// Makes a step, with `value` in one element of the gradient of `at` or in all. Returns the error.
  std::string step(std::size_t t, std::size_t at, bool all, T value) {
    const Gradients<T> g = trained.gradients(t, [&](std::size_t i, Array<T>& a) {
      if (i != at) return;
      if (all) std::fill(a.begin(), a.end(), value);
      a.data()[1] = value;
    });
    return error_of<NonFiniteError>([&] { optimizer->step(trained.params, g); });
  }
  bool finite() const {
    bool good = true;
    for (const auto& [path, a] : trained.params.values()) {
      for (const T v : a) good = good && std::isfinite(v);
    }
    for (const auto& [name, a] : optimizer->state().arrays) {
      for (const T v : a) good = good && std::isfinite(v);
    }
    return good;
  }
};

template <class T>
bool same(const std::map<std::string, Array<T>>& a, const std::map<std::string, Array<T>>& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) {
           return x.first == y.first && x.second.shape() == y.second.shape() &&
                  std::equal(x.second.begin(), x.second.end(), y.second.begin());
         });
}

std::size_t cases = 0, refused = 0;
struct Summary {
  ~Summary() {
    std::cout << "extreme gradients: " << cases << " cases, " << refused << " refused\n";
  }
} summary;

}  // namespace

TEST_CASE("optimizers meet gradients at the ends of the range") {
  const Json& all_cases = all_optimizers();
  for (std::size_t k = 1; k < all_cases.size(); ++k) {
    const Json& c = all_cases[k];
    for (const std::size_t at : {0U, 2U}) {
      for (const bool all : {false, true}) {
        for (const float value : kValues) {
          ++cases;
          INFO(c["name"].get<std::string>()
               << ", weight " << at << (all ? ", all " : ", one ") << value);
          Training<float> rough(c);
          Training<double> exact(c);
          for (std::size_t t = 1; t <= 6; ++t) {
            INFO("step " << t);
            const float now = t == 3 ? value : 0.5F;
            const auto before = rough.state();
            const std::string error = rough.step(t, at, all && t == 3, now);
            const std::string exact_error =
                exact.step(t, at, all && t == 3, static_cast<double>(now));
            if (!error.empty()) {
              ++refused;
              CHECK(t == 3);
              CHECK(contains(error, at == 0 ? "'first'" : "'third'"));
              CHECK(!(std::abs(value) < 8e18F));
              const auto after = rough.state();
              CHECK(same(before.first, after.first));
              CHECK(same(before.second.arrays, after.second.arrays));
              CHECK(before.second.scalars == after.second.scalars);
            }
            CHECK(rough.finite());
            CHECK((exact_error.empty() || !error.empty()));
            if (error.empty() != exact_error.empty()) break;  // the rest differs
            for (std::size_t i = 0; i < 3; ++i) {
              const auto& u = rough.trained.weights[i].value();
              const auto& v = exact.trained.weights[i].value();
              double largest = 1;
              for (const double x : v) largest = std::max(largest, std::abs(x));
              CHECK(difference(u, v) <= 1e-4 * largest);
            }
          }
        }
      }
    }
  }
}
