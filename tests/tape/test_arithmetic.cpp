// The operations of backward and Gradients on arrays of many blocks, against plain loops, on one thread and three.

#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

constexpr std::size_t kRows = 700, kColumns = 301;  // several blocks of a parallel loop

template <class F> void on_threads(const F& f) {
  const std::size_t before = num_threads();
  for (const std::size_t threads : {1U, 3U}) {
    set_num_threads(threads);
    INFO(threads << " threads");
    f();
  }
  set_num_threads(before);
}

/// Compares y with `expected(row, column)` in every element.
template <class F> void check_elements(const Var<double>& y, const F& expected) {
  REQUIRE(y.shape() == Shape{kRows, kColumns});
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    wrong += y.data()[i] == expected(i / kColumns, i % kColumns) ? 0 : 1;
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("add, scale, limit and broadcast reach every element once") {
  const Array<double> x = random_array<double>({kRows, kColumns}, 1);
  const Array<double> y = random_array<double>({kRows, kColumns}, 2);
  const Array<double> row = random_array<double>({kColumns}, 3);
  const auto at = [&](std::size_t i, std::size_t j) { return x.data()[i * kColumns + j]; };
  on_threads([&] {
    check_elements(detail::scale(Var<double>(x), -1.7),
                   [&](std::size_t i, std::size_t j) { return at(i, j) * -1.7; });
    check_elements(detail::limit(Var<double>(x), 0.25),
                   [&](std::size_t i, std::size_t j) { return std::clamp(at(i, j), -0.25, 0.25); });
    check_elements(detail::add(Var<double>(x), Var<double>(y)), [&](std::size_t i, std::size_t j) {
      return at(i, j) + y.data()[i * kColumns + j];
    });
    check_elements(detail::add(Var<double>(x), Var<double>(row)),
                   [&](std::size_t i, std::size_t j) { return at(i, j) + row.data()[j]; });
    check_elements(detail::broadcast(Var<double>(row), {kRows, kColumns}),
                   [&](std::size_t, std::size_t j) { return row.data()[j]; });
  });
}

TEST_CASE("sum_to adds the axes that were broadcast") {
  const Array<double> ones(Shape{kRows, kColumns}, 1.0);
  on_threads([&] {
    const auto to = [&](const Shape& shape) {
      return detail::sum_to(Var<double>(ones), shape).value();
    };
    CHECK(difference(to({kColumns}), Array<double>(Shape{kColumns}, kRows)) == 0);
    CHECK(difference(to({kRows, 1}), Array<double>(Shape{kRows, 1}, kColumns)) == 0);
    CHECK(difference(to({1, kColumns}), Array<double>(Shape{1, kColumns}, kRows)) == 0);
    CHECK(to({}).data()[0] == kRows * kColumns);
  });
}

TEST_CASE("a large gradient is scaled and limited in every element") {
  on_threads([&] {
    Tape<double> tape;
    const Var<double> x = tape.watch(random_array<double>({kRows, kColumns}, 4));
    const auto gradients = [&] { return tape.backward(sum(square(x)), {.retain = true}); };
    Gradients<double> doubled = gradients(), both = gradients(), limited = gradients();
    doubled.scale(2);
    both.add(doubled);
    limited.scale(3).clip_value(0.5);
    const auto at = [&](std::size_t i, std::size_t j) { return x.data()[i * kColumns + j]; };
    check_elements(doubled[x], [&](std::size_t i, std::size_t j) { return 4 * at(i, j); });
    check_elements(both[x],
                   [&](std::size_t i, std::size_t j) { return 2 * at(i, j) + 4 * at(i, j); });
    check_elements(limited[x], [&](std::size_t i, std::size_t j) {
      return std::clamp(2 * at(i, j) * 3, -0.5, 0.5);
    });
  });
}
