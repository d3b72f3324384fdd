// The judge itself: it must find what is wrong, say where, and disturb nothing.

#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

namespace {

const Array<double> kPoint = array<double>({2, 2}, {0.5, -1.0, 2.0, 0.25});

// Squares, with a gradient that `wrong` spoils.
template <class F> GradcheckFunction squares(F wrong) {
  return [wrong](const std::vector<V>& x) {
    const V v = x[0];
    return record("squares", Array<double>(v.value() * v.value()),
                  wrt(v, [v, wrong](const V& g) { return wrong(g, v); }));
  };
}

}  // namespace

TEST_CASE("a function of Vars is checked together with the parameters that it uses") {
  Params<double> params({.seed = 1});
  struct Scale {
    Parameter<double> factor;
    explicit Scale(const Scope<double>& scope) : factor(scope.reserve("factor")) {}
    V operator()(const V& x) const {
      factor.build({x.shape().back()}, "random_normal");
      return x * factor.value_for(x);
    }
  };
  const Scale scale(params.scope());
  const Array<double> x = random_array<double>({2, 3}, 1);
  CHECK(check_gradients(
      params, [&](const V& a) { return tanh(scale(a)); }, x));
  // A wrong gradient of the parameter alone is found.
  const auto half = [&](const V& a) {
    const V w = scale.factor.value_for(a);
    const V y = record("half", a.value() * w.value(), wrt(a, [w](const V& g) { return g * w; }),
                       wrt(w, [a](const V& g) { return sum(g * a, {0}) * 0.5; }));
    return y;
  };
  const GradcheckReport report = check_gradients(params, half, x);
  CHECK_FALSE(report);
  CHECK(contains(report.where, "factor"));

  Tape<double> tape;
  const auto g = tape.backward(sum(scale(tape.input(x))));
  CHECK(g.paths() == std::vector<std::string>{"factor"});
}

TEST_CASE("right gradients pass, and the report says how close they are") {
  const auto report =
      check_gradients(squares([](const V& g, const V& v) { return g * v * 2.0; }), {kPoint});
  CHECK(report);
  CHECK(report.message.empty());
  CHECK(report.worst < 1e-8);
  CHECK(report.worst_first <= report.worst);
  CHECK(report.worst_second <= report.worst);
}

TEST_CASE("a factor of 1.001 is found") {
  const auto report =
      check_gradients(squares([](const V& g, const V& v) { return g * v * 2.002; }), {kPoint});
  CHECK_FALSE(report);
  CHECK(report.order == 1);
  CHECK(report.worst == Approx(1e-3).epsilon(0.01));
  CHECK(contains(report.message, "input 0"));
}

TEST_CASE("one wrong element is found, and named") {
  const auto report =
      check_gradients(squares([](const V& g, const V& v) {
                        const Array<double> spoil = array<double>({2, 2}, {1, 1, 1.01, 1});
                        return g * v * 2.0 * spoil;
                      }),
                      {kPoint});
  CHECK_FALSE(report);
  CHECK(report.where == "input 0");
  CHECK(report.index == 2);
  CHECK(report.value == 2.0);
  CHECK(report.analytic == Approx(4.04));
  CHECK(report.numeric == Approx(4.0));
}

TEST_CASE("a second derivative cut off is found where the first is right") {
  const auto cut = squares([](const V& g, const V& v) { return g * v.detach() * 2.0; });
  const auto report = check_gradients(cut, {kPoint});
  CHECK_FALSE(report);
  CHECK(report.order == 2);
  CHECK(check_gradients(cut, {kPoint}, {.second_order = false}));
}

TEST_CASE("a gradient that is not zero for a zero seed, or differs when repeated, is found") {
  const auto offset =
      check_gradients(squares([](const V& g, const V& v) { return g * v * 2.0 + 1e-9; }), {kPoint});
  CHECK_FALSE(offset);
  CHECK(contains(offset.message, "zero seed"));
  auto calls = std::make_shared<int>(0);
  const auto moody = check_gradients(
      squares([calls](const V& g, const V& v) { return g * v * (2.0 + 1e-15 * ((*calls)++ % 7)); }),
      {kPoint});
  CHECK_FALSE(moody);
  CHECK(contains(moody.message, "second backward differs"));
}

TEST_CASE("a result that depends on nothing is an error") {
  const auto report =
      check_gradients([](const std::vector<V>& x) { return x[0].detach() * 2.0; }, {kPoint});
  CHECK_FALSE(report);
  CHECK(contains(report.message, "not tracked"));
}

TEST_CASE("large inputs are checked along random directions") {
  const Array<double> large = random_array<double>({40, 50}, 1);
  CHECK(check_gradients(squares([](const V& g, const V& v) { return g * v * 2.0; }), {large}));
  const auto report =
      check_gradients(squares([](const V& g, const V& v) { return g * v * 2.002; }), {large});
  CHECK_FALSE(report);
  CHECK(contains(report.where, "direction"));
}

TEST_CASE("parameters are checked too, and left as they were") {
  Params<double> params({.seed = 1});
  const Dense<double> dense(params.scope() / "dense", {.units = 3, .activation = "tanh"});
  const Array<double> x = random_array<double>({2, 4}, 1);
  dense.build({2, 4});
  const auto before = params.values();
  CHECK(check_gradients([&](const std::vector<V>& in) { return dense(in[0]); }, {x}, {}, &params));
  for (const auto& [path, value] : params.values()) {
    CHECK(difference(value, before.at(path)) == 0);
  }
  const auto report = check_gradients(
      [&](const std::vector<V>& in) {
        const V y = dense(in[0]);
        const V kernel = dense.kernel().value_for(in[0]);
        // A spurious dependence on the kernel that the value does not have.
        return y + sum(kernel - kernel.detach());
      },
      {x}, {}, &params);
  CHECK_FALSE(report);
  CHECK(contains(report.message, "dense/kernel"));
}

TEST_CASE("a function of Vars is checked at arrays, numbers and Vars") {
  const Array<double> x = random_array<double>({2, 3}, 1);
  const Array<double> w = random_array<double>({3, 2}, 2);
  CHECK(check_gradients([](const V& a) { return tanh(a); }, x));
  CHECK(check_gradients([](const V& a, V b, const auto& c) { return matmul(a, b) * c; }, x, V(w),
                        0.5));
  // The same report as with a list.
  const auto wrong = squares([](const V& g, const V& v) { return g * v * 2.002; });
  const auto by_list = check_gradients(
      [&](const std::vector<V>& in) { return matmul(in[0], wrong({in[1]})); }, {x, w});
  const auto by_vars =
      check_gradients([&](const V& a, const V& b) { return matmul(a, wrong({b})); }, x, w);
  CHECK_FALSE(by_vars);
  CHECK(contains(by_vars.message, "input 1"));
  CHECK(by_vars.message == by_list.message);
}

TEST_CASE("options of a check out of range are refused") {
  const auto check = [](GradcheckOptions options) {
    static_cast<void>(check_gradients([](const std::vector<V>& x) { return x[0] * 2.0; },
                                      {random_array<double>({2}, 1)}, options));
  };
  for (const double bad : {0.0, -1e-5, std::nan(""), HUGE_VAL}) {
    CHECK_THROWS_AS(check({.eps = bad}), ValueError);
  }
  for (const double bad : {-1.0, std::nan(""), HUGE_VAL}) {
    CHECK_THROWS_AS(check({.tolerance = bad}), ValueError);
    CHECK_THROWS_AS(check({.second_tolerance = bad}), ValueError);
  }
}

TEST_CASE("a check is reproducible") {
  const auto f = squares([](const V& g, const V& v) { return g * v * 2.0; });
  const auto a = check_gradients(f, {kPoint});
  const auto b = check_gradients(f, {kPoint});
  CHECK(a.worst == b.worst);
  CHECK(a.index == b.index);
}
