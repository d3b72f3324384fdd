#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/golden.hpp"

#include <stdexcept>

using namespace xtape;
using namespace xtape::test;

namespace {

Array<double> example() { return array<double>({2, 3}, {1, -2, 3, 0.5, 0, -1}); }

template <class T> Constraint<T> constraint_of(const Json& c) {
  if (c.contains("by_name")) return c["by_name"].get<std::string>();
  const Json& o = c["options"];
  const auto axes = o.value("axis", std::vector<int>{0});
  if (c["kind"] == "MaxNorm") {
    return constraints::MaxNorm{.max_value = o["max_value"].get<double>(), .axes = axes};
  }
  if (c["kind"] == "UnitNorm") return constraints::UnitNorm{.axes = axes};
  if (c["kind"] == "NonNeg") return constraints::NonNeg{};
  return constraints::MinMaxNorm{.min_value = o.value("min_value", 0.0),
                                 .max_value = o.value("max_value", 1.0),
                                 .rate = o.value("rate", 1.0),
                                 .axes = axes};
}

// A step of plain SGD with these gradients.
template <class O>
void step(O& optimizer, Params<double>& params, const std::vector<Parameter<double>>& weights,
          const std::vector<Array<double>>& gradients) {
  Tape<double> tape;
  Var<double> loss = tape.input(Var<double>(0.0));
  const Var<double> here = loss;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    loss = loss + sum(weights[i].value_for(here) * Var<double>(gradients[i]));
  }
  optimizer.step(params, tape.backward(loss));
}

}  // namespace

TEST_CASE("the constraints have the values that their formulas say") {
  const auto close = [](const Constraint<double>& c, std::initializer_list<double> expected) {
    return difference(c(example()), array<double>({2, 3}, expected)) < 1e-6;
  };
  CHECK(close("max_norm", {1, -2, 1.8973665, 0.5, 0, -0.6324555}));
  CHECK(close("unit_norm", {0.8944271, -1, 0.9486833, 0.4472136, 0, -0.3162278}));
  CHECK(close("non_neg", {1, 0, 3, 0.5, 0, 0}));
  CHECK(close(constraints::MinMaxNorm{.min_value = 0.5, .max_value = 2, .rate = 0.5},
              {1, -2, 2.4486833, 0.5, 0, -0.8162277}));
  CHECK(close([](const Array<double>& w) { return 2 * w; }, {2, -4, 6, 1, 0, -2}));
  CHECK_FALSE(Constraint<double>());
  CHECK_FALSE(Constraint<double>(""));
  CHECK((Constraint<double>()(example()) == example()));
}

TEMPLATE_TEST_CASE("constraints agree with Keras", "", double, float) {
  using T = TestType;
  const Json cases = golden("constraints");
  Errors errors(with_type<T>("constraints"), golden_tolerance<T>);
  for (const Json& c : cases) {
    errors.begin(c["name"].get<std::string>());
    const Array<T> result = constraint_of<T>(c)(golden_array<T>(c["w"]));
    errors.add("result", difference(result, golden_array<double>(c["result"])));
  }
  CHECK(errors.cases() >= 40);
}

TEST_CASE("bad constraints") {
  const std::string text = error_of<ValueError>([] { Constraint<float>("maxnorm"); });
  for (const char* name : {"'maxnorm'", "max_norm", "unit_norm", "non_neg", "min_max_norm"}) {
    CHECK(contains(text, name));
  }
  using C = Constraint<double>;
  CHECK_THROWS_AS(C(constraints::MaxNorm{.max_value = -1}), ValueError);
  CHECK_THROWS_AS(C(constraints::MaxNorm{.max_value = HUGE_VAL}), ValueError);
  CHECK_THROWS_AS(C(constraints::MaxNorm{.axes = {}}), ValueError);
  CHECK_THROWS_AS(C(constraints::UnitNorm{.axes = {}}), ValueError);
  CHECK_THROWS_AS(C(constraints::MinMaxNorm{.min_value = 2, .max_value = 1}), ValueError);
  CHECK_THROWS_AS(C(constraints::MinMaxNorm{.min_value = -1}), ValueError);
  CHECK_THROWS_AS(C(constraints::MinMaxNorm{.max_value = std::nan("")}), ValueError);
  CHECK_THROWS_AS(C(constraints::MinMaxNorm{.rate = 1.5}), ValueError);
  CHECK_THROWS_AS(C(constraints::MinMaxNorm{.axes = {}}), ValueError);
  CHECK_THROWS_AS(C(std::function<Array<double>(const Array<double>&)>()), ValueError);
  CHECK(contains(error_of<ShapeError>([] {
                   static_cast<void>(C(constraints::UnitNorm{.axes = {2}})(example(), "a/kernel"));
                 }),
                 "a/kernel"));
  const C flat([](const Array<double>&) { return Array<double>(Shape{1}, 0.0); });
  CHECK(contains(error_of<ShapeError>([&] { static_cast<void>(flat(example(), "a/kernel")); }),
                 "a/kernel: constraint changed the shape: result is (1,), expected (2, 3)"));
}

TEST_CASE("an optimizer applies constraints after the update, to nothing else") {
  Params<double> params({.seed = 1});
  const Dense<double> dense(params.scope() / "d",
                            {.units = 2,
                             .bias_initializer = initializers::Constant{.value = -3},
                             .kernel_constraint = "unit_norm",
                             .bias_constraint = constraints::NonNeg{}});
  dense.build({1, 3});
  CHECK(params.at("d/bias").value()(0) == -3.0);  // not at init
  params.set("d/kernel", array<double>({3, 2}, {3, 0, 0, 2, 4, 0}));
  CHECK(params.at("d/kernel").value()(0, 0) == 3.0);  // nor when set
  CHECK(params.at("d/kernel").constraint());
  SGD<double> sgd({.learning_rate = 1.0});
  step(sgd, params, {dense.kernel(), dense.bias()},
       {detail::full<double>({3, 2}, 0.0), array<double>({2}, {-5, 1})});
  CHECK(difference(dense.kernel().value(), array<double>({3, 2}, {0.6, 0, 0, 1, 0.8, 0})) < 1e-6);
  CHECK(difference(dense.bias().value(), array<double>({2}, {2, 0})) == 0.0);
  SECTION("and not to frozen ones") {
    params.set("d/bias", array<double>({2}, {-1, -1}));
    params.set_trainable("d/bias", false);
    step(sgd, params, {dense.kernel()}, {detail::full<double>({3, 2}, 1.0)});
    CHECK(dense.bias().value()(0) == -1.0);
  }
  SECTION("which may be set and taken away later") {
    dense.bias().set_constraint({});
    step(sgd, params, {dense.kernel(), dense.bias()},
         {detail::full<double>({3, 2}, 0.0), array<double>({2}, {5, 5})});
    CHECK(dense.bias().value()(0) == -3.0);
  }
}

TEST_CASE("a constraint that throws leaves parameters and optimizer as they were") {
  Params<double> params({.seed = 1});
  const auto scope = params.scope();
  bool bad = false;
  const auto first = scope.reserve("first");
  const auto second = scope.reserve("second", true, {}, "non_neg");
  const auto third = scope.reserve("third", true, {}, [&](const Array<double>& w) {
    if (bad) throw std::runtime_error("mine");
    return w;
  });
  const std::vector<Parameter<double>> all{first, second, third};
  for (const auto& p : all) p.build({2}, "ones", {});
  const std::vector<Array<double>> gradients(3, array<double>({2}, {0.5, -0.5}));
  SGD<double> sgd({.learning_rate = 0.1, .momentum = 0.9});
  SGD<double> other({.learning_rate = 0.1, .momentum = 0.9});
  Params<double> twin({.seed = 1});
  std::vector<Parameter<double>> twins;
  for (const auto& p : all) {
    twins.push_back(twin.scope().reserve(p.path()));
    twins.back().build({2}, "ones", {});
  }
  step(sgd, params, all, gradients);
  step(other, twin, twins, gradients);
  const auto before = params.values();
  bad = true;
  CHECK_THROWS_AS(step(sgd, params, all, gradients), std::runtime_error);
  CHECK((params.values() == before));
  CHECK(sgd.iterations() == 1);
  third.set_constraint([](const Array<double>&) { return Array<double>(Shape{1}, 0.0); });
  CHECK(contains(error_of<ShapeError>([&] { step(sgd, params, all, gradients); }), "third"));
  CHECK((params.values() == before));
  // The momentum has not moved either: the next step is as if nothing had happened.
  third.set_constraint({});
  step(sgd, params, all, gradients);
  step(other, twin, twins, gradients);
  CHECK((params.values() == twin.values()));
}
