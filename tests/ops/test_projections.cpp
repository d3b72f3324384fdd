// Projections of one input, together, against products one by one: values and gradients.

#include "ops/projections.hpp"

#include "ops/contract.hpp"
#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/isa.hpp"

#include <vector>

using namespace xtape;
using detail::Projection;

namespace {

// A case: three projections of an input that is also used before and after, with these variations.
struct Case {
  const char* name;
  bool residual = true;  // x has a gradient before the projections give theirs
  bool bias = true;
  bool x_tracked = true, kernels_tracked = true;
  std::vector<std::size_t> used{0, 1, 2};       // results that the loss depends on
  std::vector<std::size_t> kernel_of{0, 1, 2};  // two of the same kernel
};

const std::vector<Case> kCases{
    {"all"},
    {"no residual", false},
    {"no bias", true, false},
    {"constant x", true, true, false},
    {"constant kernels", true, true, true, false},
    {"two used", true, true, true, true, {2, 0}},
    {"one used", false, true, true, true, {1}},
    {"one kernel twice", true, true, true, true, {0, 1, 2}, {0, 1, 0}},
};

template <class T> Var<T> product(const Var<T>& x, const Projection<T>& p) {
  const Shape shape{x.shape()[0], x.shape()[1], p.kernel.shape()[1], p.kernel.shape()[2]};
  return detail::contract("dense", x, p.kernel, {"btc", "chd", "bthd"}, shape,
                          p.bias.has_value() ? &p.bias : nullptr);
}

/// Values, then the gradients of x, kernels and biases; with the gradient of their squares, if `second`.
template <class T>
std::vector<Array<T>> run(const Case& c, bool together, bool check_finite = false,
                          bool second = false) {
  const std::size_t width = 24;
  const std::size_t heads = 4;
  const std::size_t depth = 8;
  Tape<T> tape({.training = true, .check_finite = check_finite});
  const auto leaf = [&](const Shape& shape, std::uint64_t seed, bool tracked) {
    const Array<T> a = test::random_array<T>(shape, seed);
    return tracked ? tape.watch(a) : tape.input(a);
  };
  const Var<T> x0 = leaf({9, 40, width}, 1, c.x_tracked);
  const Var<T> x = x0 * T(1.5);
  std::vector<Var<T>> kernels, biases;
  for (std::uint64_t i = 0; i < 3; ++i) {
    kernels.push_back(leaf({width, heads, depth}, 10 + i, c.kernels_tracked));
    biases.push_back(leaf({heads, depth}, 20 + i, true));
  }
  std::vector<Projection<T>> projections;
  for (std::size_t i = 0; i < 3; ++i) {
    projections.push_back({kernels[c.kernel_of[i]], c.bias ? biases[i] : Var<T>()});
  }
  std::vector<Var<T>> y;
  if (together) {
    y = detail::project<T>("dense", x, 1, projections);
  } else {
    for (const Projection<T>& p : projections) y.push_back(product(x, p));
  }
  Var<T> loss = c.residual ? sum(x * x) : Var<T>(T(0));
  for (const std::size_t i : c.used) {
    loss = loss + sum(y[i] * Var<T>(test::random_array<T>(y[i].shape(), 30 + i)) * y[i]);
  }
  std::vector<Array<T>> out;
  for (const Var<T>& v : y) out.push_back(v.value());
  std::vector<Var<T>> wanted;
  if (c.x_tracked) wanted.push_back(x0);
  if (c.kernels_tracked) wanted.insert(wanted.end(), kernels.begin(), kernels.end());
  if (c.bias) wanted.insert(wanted.end(), biases.begin(), biases.end());
  if (!second) {
    const Gradients<T> g = tape.backward(loss);
    for (const Var<T>& v : wanted) out.push_back(g.contains(v) ? g[v].value() : Array<T>());
    return out;
  }
  const Gradients<T> first = tape.backward(loss, {.create_graph = true});
  Var<T> again(T(0));
  for (const Var<T>& v : wanted) {
    if (first.contains(v)) again = again + sum(first[v] * first[v]);
  }
  const Gradients<T> g = tape.backward(again);
  for (const Var<T>& v : wanted) out.push_back(g.contains(v) ? g[v].value() : Array<T>());
  return out;
}

template <class T> void check_same(const std::vector<Array<T>>& a, const std::vector<Array<T>>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK((a[i] == b[i]));
}

}  // namespace

TEMPLATE_TEST_CASE("projections together are products one by one, to the bit", "[threads]", float,
                   double) {
  using T = TestType;
  for (const Case& c : kCases) {
    for (const std::size_t threads : {1U, 2U, 3U}) {
      set_num_threads(threads);
      test::on_each_isa([&] {
        INFO(c.name << ", threads " << threads);
        check_same(run<T>(c, true), run<T>(c, false));
      });
    }
  }
  set_num_threads(2);
}

TEST_CASE("so are gradients of their gradients, and with results checked") {
  for (const Case& c : kCases) {
    INFO(c.name);
    check_same(run<double>(c, true, false, true), run<double>(c, false, false, true));
    check_same(run<double>(c, true, true), run<double>(c, false));
  }
}

TEST_CASE("projections together pass the gradient check") {
  // Work enough to be computed together.
  const std::vector<Array<double>> inputs{
      test::random_array<double>({2, 60, 24}, 1), test::random_array<double>({24, 4, 8}, 2),
      test::random_array<double>({4, 8}, 3),      test::random_array<double>({24, 4, 8}, 4),
      test::random_array<double>({4, 8}, 5),      test::random_array<double>({24, 4, 8}, 6),
      test::random_array<double>({4, 8}, 7)};
  const auto f = [](const std::vector<Var<double>>& in) {
    const std::vector<Var<double>> y = detail::project<double>(
        "dense", in[0], 1, {{in[1], in[2]}, {in[3], in[4]}, {in[5], in[6]}});
    return y[0] * tanh(y[1]) + y[2];
  };
  const auto report = check_gradients(f, inputs);
  INFO(report.message);
  CHECK(report.passed);
}

TEST_CASE("they are one operation where that is faster, and one each where it is not") {
  const auto operations = [](std::size_t positions) {
    Tape<float> tape;
    const Var<float> x = tape.watch(test::random_array<float>({2, positions, 24}, 1));
    const Var<float> kernel = tape.watch(test::random_array<float>({24, 4, 8}, 2));
    const auto y = detail::project<float>("dense", x, 1, {{kernel, {}}, {kernel, {}}});
    CHECK(y[1].shape() == Shape{2, positions, 4, 8});
    const detail::TapeState<float>& state = *y[0].node_ref().state;
    return state.entries.back().node->outputs == 0 ? 1 : 2;  // a further result, or an operation
  };
  kernels::force_isa(kernels::Isa::baseline);
  CHECK(operations(500) == 2);
  kernels::force_isa(std::nullopt);
  CHECK(operations(3) == 2);
  if (kernels::active_isa() != kernels::Isa::baseline) CHECK(operations(500) == 1);
}

TEST_CASE("of nothing there is nothing, and biases") {
  Tape<float> tape;
  const Var<float> kernel = tape.watch(test::random_array<float>({0, 3}, 2));
  const Var<float> bias = tape.watch(test::random_array<float>({3}, 3));
  const auto y = detail::project<float>("dense", Var<float>(Array<float>(Shape{2, 0})), 1,
                                        {{kernel, bias}, {kernel, {}}});
  CHECK(y[0].value().data()[4] == bias.value().data()[1]);
  CHECK(y[1].value().data()[4] == 0);
  const auto g = tape.backward(sum(y[0]));
  CHECK(g[bias].value().data()[0] == 2);
  CHECK(g[kernel].shape() == Shape{0, 3});
}
