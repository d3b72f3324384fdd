// The optimizers' updates against their formulas, element by element in long double, in place and into another
// array. tests/optim compares many steps with Keras.

#include "kernels/optimizers.hpp"
#include "kernels/optimizers_plain.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <functional>

using namespace xtape;
using namespace xtape::test;
using kernels::Index;

namespace {

using Real80 = long double;

/// One element: weight, gradient, and state s in the order of the kernel's arguments.
struct Element {
  Real80 w, g;
  std::vector<Real80> s;
};

template <class T>
using Kernel = std::function<void(Index, const T* g, std::vector<T*> s, const T* from, T* to)>;

// Checks a kernel against a naive formula of all elements, which norms need.
template <class T>
void compare(const char* name, std::size_t slots, const Kernel<T>& kernel,
             const std::function<void(std::vector<Element>&)>& naive) {
  INFO(name);
  for (const std::size_t n : std::initializer_list<std::size_t>{0, 1, 3, 17, 64}) {
    const Shape shape{n};
    const Array<T> g = random_array<T>(shape, 1);
    const Array<T> w = random_array<T>(shape, 2);
    std::vector<Array<T>> state, again;
    for (std::size_t k = 0; k < slots; ++k) {
      state.push_back(random_array<T>(shape, 3 + k, 0.25, 1.0));
    }
    again = state;
    std::vector<Element> all(n);
    for (std::size_t i = 0; i < n; ++i) {
      all[i] = {w.data()[i], g.data()[i], {}};
      for (const Array<T>& a : state) all[i].s.push_back(a.data()[i]);
    }
    naive(all);
    const auto run = [&](std::vector<Array<T>>& arrays, const T* from, T* to) {
      std::vector<T*> pointers;
      for (Array<T>& a : arrays) pointers.push_back(a.data());
      kernel(static_cast<Index>(n), g.data(), pointers, from, to);
    };
    Array<T> out(shape, T(-7));
    run(state, w.data(), out.data());
    Array<T> in_place = w;
    run(again, in_place.data(), in_place.data());
    CHECK((in_place == out));
    CHECK(again == state);
    const double tolerance = std::is_same_v<T, float> ? 2e-6 : 1e-14;
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(std::abs(static_cast<double>(all[i].w - Real80(out.data()[i]))) <= tolerance);
      for (std::size_t k = 0; k < slots; ++k) {
        CHECK(std::abs(static_cast<double>(all[i].s[k] - Real80(state[k].data()[i]))) <= tolerance);
      }
    }
  }
}

// Returns a naive formula of single elements, where f(element, scaled gradient) is the step.
template <class F> std::function<void(std::vector<Element>&)> each(F f) {
  return [f](std::vector<Element>& all) {
    for (Element& e : all) e.w -= f(e, 0.5L * e.g) + 0.01L * e.w;
  };
}

}  // namespace

// All cases: rate 0.125, decay 0.01, scale 0.5, epsilon 0.001.
TEMPLATE_TEST_CASE("updates follow their formulas", "", double, float) {
  using T = TestType;
  using P = const T*;
  using S = std::vector<T*>;
  const T lr = T(0.125), decay = T(0.01), scale = T(0.5), eps = T(0.001);
  const Real80 r = 0.125L, e = 0.001L;
  compare<T>(
      "amsgrad", 3,
      [=](Index n, P g, const S& s, P from, T* to) {
        kernels::amsgrad(n, lr, T(0.1), T(0.25), eps, decay, scale, g, s[0], s[1], s[2], from, to);
      },
      each([=](Element& x, Real80 g) {
        x.s[0] = 0.9L * x.s[0] + 0.1L * g;
        x.s[1] = 0.75L * x.s[1] + 0.25L * g * g;
        x.s[2] = std::max(x.s[2], x.s[1]);
        return r * x.s[0] / (std::sqrt(x.s[2]) + e);
      }));
  compare<T>(
      "adamax", 2,
      [=](Index n, P g, const S& s, P from, T* to) {
        kernels::adamax(n, lr, T(0.1), T(0.75), eps, decay, scale, g, s[0], s[1], from, to);
      },
      each([=](Element& x, Real80 g) {
        x.s[0] = 0.9L * x.s[0] + 0.1L * g;
        x.s[1] = std::max(0.75L * x.s[1], std::abs(g));
        return r * x.s[0] / (x.s[1] + e);
      }));
  compare<T>(
      "nadam", 2,
      [=](Index n, P g, const S& s, P from, T* to) {
        kernels::nadam(n, lr, T(0.5), T(2), T(0.1), T(0.25), eps, decay, scale, g, s[0], s[1], from,
                       to);
      },
      each([=](Element& x, Real80 g) {
        x.s[0] = 0.9L * x.s[0] + 0.1L * g;
        x.s[1] = 0.75L * x.s[1] + 0.25L * g * g;
        return (r * x.s[0] + 0.5L * g) / (std::sqrt(2 * x.s[1]) + e);
      }));
  compare<T>(
      "lamb", 2,
      [=](Index n, P g, const S& s, P from, T* to) {
        kernels::lamb(n, lr, T(1.5), T(2), T(0.1), T(0.25), eps, decay, scale, g, s[0], s[1], from,
                      to);
      },
      [=](std::vector<Element>& all) {
        Real80 weights = 0, steps = 0;
        std::vector<Real80> u;
        for (Element& x : all) {
          const Real80 g = 0.5L * x.g;
          x.s[0] = 0.9L * x.s[0] + 0.1L * g;
          x.s[1] = 0.75L * x.s[1] + 0.25L * g * g;
          u.push_back(1.5L * x.s[0] / (std::sqrt(2 * x.s[1]) + e));
          x.w *= 0.99L;
          weights += x.w * x.w;
          steps += u.back() * u.back();
        }
        for (std::size_t i = 0; i < all.size(); ++i) {
          all[i].w -= r * std::sqrt(weights / steps) * u[i];
        }
      });
  compare<T>(
      "lion", 1,
      [=](Index n, P g, const S& s, P from, T* to) {
        kernels::lion(n, lr, T(0.5), T(0.25), decay, scale, g, s[0], from, to);
      },
      each([=](Element& x, Real80 g) {
        const Real80 c = 0.5L * x.s[0] + 0.5L * g;
        x.s[0] = 0.75L * x.s[0] + 0.25L * g;
        return c > 0 ? r : c < 0 ? -r : 0;
      }));
  compare<T>(
      "adagrad", 1,
      [=](Index n, P g, const S& s, P from, T* to) {
        kernels::adagrad(n, lr, eps, decay, scale, g, s[0], from, to);
      },
      each([=](Element& x, Real80 g) {
        x.s[0] += g * g;
        return r * g / std::sqrt(x.s[0] + e);
      }));
  compare<T>(
      "adadelta", 2,
      [=](Index n, P g, const S& s, P from, T* to) {
        kernels::adadelta(n, lr, T(0.25), eps, decay, scale, g, s[0], s[1], from, to);
      },
      each([=](Element& x, Real80 g) {
        x.s[0] = 0.75L * x.s[0] + 0.25L * g * g;
        const Real80 d = std::sqrt(x.s[1] + e) / std::sqrt(x.s[0] + e) * g;
        x.s[1] = 0.75L * x.s[1] + 0.25L * d * d;
        return r * d;
      }));
  compare<T>(
      "rmsprop", 3,
      [=](Index n, P g, const S& s, P from, T* to) {
        kernels::rmsprop(n, lr, T(0.25), T(0.5), eps, decay, scale, g, s[0], s[1], s[2], from, to);
      },
      each([=](Element& x, Real80 g) {
        x.s[0] = 0.75L * x.s[0] + 0.25L * g * g;
        x.s[2] = 0.75L * x.s[2] + 0.25L * g;
        const Real80 spread = std::max(x.s[0] - x.s[2] * x.s[2], 0.0L);
        x.s[1] = 0.5L * x.s[1] + r * g / std::sqrt(spread + e);
        return x.s[1];
      }));
}

TEMPLATE_TEST_CASE("both forms of Adafactor follow the paper", "", double, float) {
  using T = TestType;
  const kernels::AdafactorOptions<T> o{.step = 0.25,
                                       .gain = 0.5,
                                       .epsilon_1 = 1e-3,
                                       .epsilon_2 = 0.01,
                                       .clip_threshold = 0.5,
                                       .decay = T(0.01),
                                       .scale = T(0.5)};
  for (const auto& [batch, rows, columns] :
       {std::tuple{1, 1, 1}, std::tuple{1, 3, 2}, std::tuple{2, 3, 4}, std::tuple{3, 1, 5}}) {
    for (const bool factored : {true, false}) {
      const std::size_t n = static_cast<std::size_t>(batch * rows * columns);
      const Array<T> g = random_array<T>(Shape{n}, 1);
      const Array<T> w = random_array<T>(Shape{n}, 2);
      const std::size_t c_size = static_cast<std::size_t>(batch * columns);
      const std::size_t r_size = static_cast<std::size_t>(batch * rows);
      Array<T> r = random_array<T>(Shape{r_size}, 3, 0.1, 1);
      Array<T> c = random_array<T>(Shape{c_size}, 4, 0.1, 1);
      Array<T> v = random_array<T>(Shape{n}, 5, 0.1, 1);
      std::vector<Real80> squares, estimate(n), row_means(r_size, 0), column_means(c_size, 0);
      for (const T x : g) squares.push_back(0.25L * x * x + 1e-3L);
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t row = i / static_cast<std::size_t>(columns);
        const std::size_t b = row / static_cast<std::size_t>(rows);
        const std::size_t column = i % static_cast<std::size_t>(columns);
        row_means[row] += squares[i] / columns;
        column_means[b * static_cast<std::size_t>(columns) + column] += squares[i] / rows;
      }
      for (std::size_t i = 0; i < r_size; ++i) row_means[i] = (row_means[i] + r.data()[i]) / 2;
      for (std::size_t i = 0; i < c_size; ++i) {
        column_means[i] = (column_means[i] + c.data()[i]) / 2;
      }
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t row = i / static_cast<std::size_t>(columns);
        const std::size_t b = row / static_cast<std::size_t>(rows);
        const std::size_t column = i % static_cast<std::size_t>(columns);
        Real80 sum = 0;
        for (std::size_t k = 0; k < static_cast<std::size_t>(rows); ++k) {
          sum += row_means[b * static_cast<std::size_t>(rows) + k];
        }
        estimate[i] = factored ? row_means[row] / (sum / rows) *
                                     column_means[b * static_cast<std::size_t>(columns) + column]
                               : (v.data()[i] + squares[i]) / 2;
      }
      Real80 weights = 0, steps = 0;
      for (std::size_t i = 0; i < n; ++i) {
        weights += 0.99L * w.data()[i] * 0.99L * w.data()[i];
        steps += 0.25L * g.data()[i] * g.data()[i] / estimate[i];
      }
      const Real80 count = static_cast<Real80>(n);
      const Real80 by = std::max(0.01L, std::sqrt(weights / count)) * 0.25L /
                        std::max(1.0L, std::sqrt(steps / count) / 0.5L);
      Array<T> to = w;
      if (factored) {
        kernels::adafactor<T>(batch, rows, columns, o, g.data(), r.data(), c.data(), to.data(),
                              to.data());
      } else {
        kernels::adafactor<T>(static_cast<Index>(n), o, g.data(), v.data(), to.data(), to.data());
      }
      for (std::size_t i = 0; i < n; ++i) {
        const Real80 expected =
            0.99L * w.data()[i] - by * 0.5L * g.data()[i] / std::sqrt(estimate[i]);
        CHECK(std::abs(static_cast<double>(expected - Real80(to.data()[i]))) <=
              (std::is_same_v<T, float> ? 2e-6 : 1e-14));
      }
    }
  }
}

TEST_CASE("the small loops of training") {
  const Array<double> x = array<double>({4}, {1, -2, 3, std::nan("")});
  const Array<double> add = array<double>({4}, {10, 20, 30, 40});
  Array<double> y(Shape{4});
  CHECK(kernels::sum_of_squares(3, x.data()) == 14);
  CHECK(kernels::sum_of_squares(0, x.data()) == 0);
  std::vector<float> many(53);  // whole vectors and a rest; every sum is exact
  double sum = 0;
  for (std::size_t i = 0; i < many.size(); ++i) {
    many[i] = static_cast<float>(i) - 20;
    sum += static_cast<double>(many[i]) * static_cast<double>(many[i]);
    CHECK(kernels::sum_of_squares(static_cast<kernels::Index>(i + 1), many.data()) == sum);
  }
  const Array<float> large(Shape{2}, 3e38F);
  CHECK(std::isfinite(kernels::sum_of_squares(2, large.data())));
  kernels::scale_add<double>(4, 2.0, x.data(), nullptr, y.data());
  CHECK(y(1) == -4);
  kernels::scale_add<double>(4, 2.0, x.data(), add.data(), y.data());
  CHECK(y(2) == 36);
  kernels::scale_clamp<double>(4, 2.0, 3.0, x.data(), y.data());
  CHECK(y(0) == 2);
  CHECK(y(1) == -3);
  CHECK(std::isnan(y(3)));
  Array<double> average = array<double>({3}, {0, 0, 1});
  kernels::lerp<double>(3, 0.25, x.data(), average.data());
  CHECK(average(0) == 0.25);
  CHECK(average(2) == 1.5);
}

TEST_CASE("NaN reaches the weights, and a spread below zero does not") {
  const float g[] = {std::nanf(""), 1.0F};
  float m[] = {0, 0};
  float w[] = {1, 1};
  kernels::lion<float>(2, 0.1F, 0.1F, 0.1F, 0, 1, g, m, w, w);
  CHECK(std::isnan(w[0]));
  CHECK(w[1] == Approx(0.9F));
  // Rounding makes v - a^2 about -1e-7, below -epsilon. Keras would take its root.
  float v[] = {1.0F}, a[] = {1.0000002F}, one[] = {1.0F}, x[] = {1.0F};
  kernels::rmsprop<float>(1, 0.1F, 0.0F, 0, 1e-9F, 0, 1, one, v, nullptr, a, x, x);
  CHECK(std::isfinite(x[0]));
}
