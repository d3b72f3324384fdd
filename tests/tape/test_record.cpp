// The ways to record an operation: record() with fixed operands and with a vector of them, and
// record_fused() with one output and with several, and with a vector of inputs.

#include "ops/projections.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <functional>
#include <limits>

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

namespace {

/// {a + b, a * b}.
std::vector<V> sum_and_product(const V& a, const V& b) {
  return record_fused(
      "sum_and_product",
      {Result<double>(Array<double>(a.value() + b.value())),
       Result<double>(Array<double>(a.value() * b.value()))},
      [](FusedBackward<double>& backward) {
        for (std::size_t k = 0; k < 2; ++k) {
          if (!backward.needs_grad(k)) continue;
          Array<double> g(backward.input(k).shape(), 0.0);
          if (backward.grad_output(0) != nullptr) g += *backward.grad_output(0);
          if (backward.grad_output(1) != nullptr) {
            g += *backward.grad_output(1) * backward.input(1 - k).value();
          }
          backward.add(k, std::move(g));
        }
      },
      [](const V& u, const V& v) {
        return std::vector<V>{u + v, u * v};
      },
      a, b);
}

/// The sum of any number of inputs, of which some may be absent.
V sum_of(const std::vector<V>& inputs) {
  Array<double> total(inputs[0].shape(), 0.0);
  for (const V& x : inputs) {
    if (x.has_value()) total += x.value();
  }
  return record_fused(
      "sum_of", {Result<double>(std::move(total))},
      [n = inputs.size()](FusedBackward<double>& backward) {
        for (std::size_t k = n; k-- > 0;) backward.add(k, *backward.grad_output(0));
      },
      [](const std::vector<V>& x) {
        V sum = x[0];
        for (std::size_t i = 1; i < x.size(); ++i) {
          if (x[i].has_value()) sum = sum + x[i];
        }
        return std::vector<V>{sum};
      },
      inputs)[0];
}

/// exp(x), whose gradient adds two halves to what is there. It keeps its output.
V exp_in_halves(const V& x) {
  return record_fused(
      "exp_in_halves", {Result<double>(Array<double>(xt::exp(x.value())))},
      [](FusedBackward<double>& backward, const std::vector<Result<double>>& y) {
        const Array<double> half = *backward.grad_output(0) * y[0].array() * 0.5;
        for (int i = 0; i < 2; ++i) {
          const auto sum = backward.sum(0);
          if (sum.data == nullptr) {
            backward.add(0, half);
            continue;
          }
          for (std::size_t k = 0; k < half.size(); ++k) {
            sum.data[k] = half.data()[k] + (sum.is_new ? 0.0 : sum.data[k]);
          }
        }
      },
      [](const V& v) { return std::vector<V>{exp(v)}; }, x)[0];
}

}  // namespace

TEST_CASE("check_finite names the operation itself, however it is recorded") {
  struct Way {
    const char* op;
    std::function<V(const V&)> run;
  };
  const V kernel(random_array<double>({24, 4}, 2));
  const V bias(random_array<double>({4}, 3));
  const std::vector<Way> ways{
      {"log", [](const V& x) { return log(x); }},
      {"concatenate",
       [](const V& x) {
         return concatenate<double>({x, x}, 0);
       }},
      {"layer_normalization", [](const V& x) { return layer_normalization(x); }},
      {"sum_and_product", [](const V& x) { return sum_and_product(x, x)[0]; }},
      {"sum_of",
       [](const V& x) {
         return sum_of({x, V(), x});
       }},
      {"one",
       [&](const V& x) {
         return detail::project("one", x, 1, {{kernel, bias}})[0];
       }},
      {"two",
       [&](const V& x) {
         return detail::project("two", x, 1, {{kernel, {}}, {kernel, bias}})[0];
       }},
      {"cos", [](const V& x) { return checkpoint([](const V& u) { return cos(u); }, x); }},
      {"embedding_lookup",
       [](const V& x) {
         return embedding_lookup(x, Tokens<double>(array<std::int64_t>({1}, {500})));
       }},
  };
  Array<double> bad = random_array<double>({1000, 24}, 1);
  bad(500, 1) = std::numeric_limits<double>::quiet_NaN();
  for (const Way& way : ways) {
    for (const bool watched : {true, false}) {
      Tape<double> tape({.check_finite = true});
      const V x = watched ? tape.watch(bad) : tape.input(bad);
      const std::string text = error_of<NonFiniteError>([&] { static_cast<void>(way.run(x)); });
      INFO(way.op << ": " << text);
      CHECK(text.rfind(std::string(way.op) + ": result is not finite", 0) == 0);
    }
  }
}

TEST_CASE("check_finite names the operation whose gradient is not finite") {
  const Array<double> bad(Shape{2}, std::numeric_limits<double>::infinity());
  Tape<double> tape({.check_finite = true});
  const V x = tape.watch(Array<double>(Shape{2}, 1.0));
  const V plain =
      record("plain", Array<double>(x.value()), wrt(x, [&](const V&) { return V(bad); }));
  const V fused = record_fused(
      "fused", {Result<double>(x.value())}, [&](FusedBackward<double>& b) { b.add(0, bad); },
      [](const V& v) { return std::vector<V>{v}; }, x)[0];
  for (const V& y : {plain, fused}) {
    const std::string text = error_of<NonFiniteError>(
        [&] { static_cast<void>(tape.backward(y, {.retain = true, .seed = V(x.value())})); });
    INFO(text);
    const bool is_plain = y.node_ref().node == plain.node_ref().node;
    CHECK(contains(text,
                   is_plain ? "plain: gradient is not finite" : "fused: gradient is not finite"));
  }
}

TEST_CASE("a fused operation with several outputs, any of which may have no gradient") {
  const auto values = {random_array<double>({2, 3}, 1), random_array<double>({2, 3}, 2)};
  for (int use = 1; use <= 3; ++use) {
    const auto report = check_gradients(
        [&](const std::vector<V>& x) {
          const auto y = sum_and_product(x[0], x[1]);
          const V first = sin(y[0]);
          const V second = exp(y[1]);
          return use == 1 ? first : use == 2 ? second : first * second;
        },
        values);
    INFO(report.message);
    CHECK(report);
  }
}

TEST_CASE("a fused operation with a vector of inputs, of which some are absent or constant") {
  const auto values = {random_array<double>({2, 3}, 1), random_array<double>({2, 3}, 2)};
  const auto report = check_gradients(
      [](const std::vector<V>& x) {
        return sin(sum_of({x[0], V(), x[1], V(Array<double>(x[0].shape(), 2.0)), x[0]}));
      },
      values);
  INFO(report.message);
  CHECK(report);
}

TEST_CASE("a fused operation adds to the gradient that is there, or makes the first") {
  const auto values = {random_array<double>({4}, 1)};
  for (const bool used_later : {false, true}) {
    const auto report = check_gradients(
        [&](const std::vector<V>& x) {
          const V y = exp_in_halves(x[0]);
          return used_later ? y + sin(x[0]) : y;
        },
        values);
    INFO(report.message);
    CHECK(report);
  }
  // A gradient with two owners is not written to: here b's is that of x so far.
  Tape<double> tape;
  const V x = tape.watch(array<double>({2}, {0, 1}));
  const V b = tape.watch(array<double>({2}, {1, 1}));
  const V y = exp_in_halves(x);
  const auto g = tape.backward(sum(y + (x + b)));
  CHECK(difference(g[b].value(), array<double>({2}, {1, 1})) == 0);
  CHECK(g[x].value()(0) == Approx(2.0));
  CHECK(g[x].value()(1) == Approx(1.0 + std::exp(1.0)));
}

TEST_CASE("a fused operation keeps its outputs only where its gradient reads them") {
  Tape<double> tape;
  const V x = tape.watch(random_array<double>({3}, 1));
  CHECK(sum_of({x, x}).pointer().unique());
  CHECK_FALSE(exp_in_halves(x).pointer().unique());
}

TEST_CASE("concatenate keeps no operand, and passes each its part") {
  Tape<double> tape;
  const V x = tape.watch(array<double>({2}, {1, 2}));
  const V constant = tape.input(array<double>({1}, {3}));
  const V middle = exp(x) * 1.0;
  const V y = concatenate<double>({x, constant, middle}, 0);
  CHECK(middle.pointer().unique());
  const auto g = tape.backward(sum(y * Array<double>{1, 2, 3, 4, 5}));
  CHECK(g.size() == 1);
  CHECK(g[x].value()(0) == Approx(1 + 4 * std::exp(1.0)));
  CHECK(g[x].value()(1) == Approx(2 + 5 * std::exp(2.0)));
}

TEST_CASE("a pullback maps Var to Var") {
  const auto right = [](const V& g) { return g * 2.0; };
  const auto output = [](const V& g, const V& y) { return g * y; };
  const auto takes_array = [](const Array<double>& g) { return Array<double>(g * 2.0); };
  const auto returns_array = [](const V& g) { return Array<double>(g.value() * 2.0); };
  const auto returns_expression = [](const V& g) { return g.value() * 2.0; };
  STATIC_REQUIRE(detail::Pullback<decltype(right), double>);
  STATIC_REQUIRE(detail::Pullback<decltype(output), double>);
  STATIC_REQUIRE(detail::Pullback<NoGradient, double>);
  STATIC_REQUIRE_FALSE(detail::Pullback<decltype(takes_array), double>);
  STATIC_REQUIRE_FALSE(detail::Pullback<decltype(returns_array), double>);
  STATIC_REQUIRE_FALSE(detail::Pullback<decltype(returns_expression), double>);
}
