#include "support/arrays.hpp"
#include "support/catch.hpp"
#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

Array<double> example() { return array<double>({2, 3}, {1, -2, 3, 0.5, 0, -1}); }
double value(const Regularizer<double>& r) { return r(Var<double>(example())).item(); }

template <class T> Regularizer<T> regularizer_of(const Json& c) {
  if (c.contains("by_name")) return c["by_name"].get<std::string>();
  const Json& o = c["options"];
  if (c["kind"] == "OrthogonalRegularizer") {
    return regularizers::OrthogonalRegularizer{.factor = o["factor"].get<double>(),
                                               .mode = o["mode"] == "rows"
                                                           ? regularizers::OrthogonalMode::rows
                                                           : regularizers::OrthogonalMode::columns};
  }
  return regularizers::L1L2{.l1 = o.value("l1", 0.0), .l2 = o.value("l2", 0.0)};
}

}  // namespace

TEST_CASE("the regularizers have the values that their formulas say") {
  CHECK(value(regularizers::L1{.l1 = 0.1}) == Approx(0.75));
  CHECK(value(regularizers::L2{.l2 = 0.1}) == Approx(1.525));
  CHECK(value(regularizers::L1L2{.l1 = 0.1, .l2 = 0.2}) == Approx(3.8));
  CHECK(value(regularizers::OrthogonalRegularizer{.factor = 0.1}) == Approx(0.0597614));
  CHECK(value(regularizers::OrthogonalRegularizer{
            .factor = 0.1, .mode = regularizers::OrthogonalMode::columns}) == Approx(0.0850072));
  CHECK(value(regularizers::L1L2{.l2 = 1}) == Approx(15.25));
  CHECK(value(regularizers::L1{}) == Approx(0.075));
  CHECK(value([](const Var<double>& w) { return sum(w * w * w); }) == Approx(19.125));
}

TEST_CASE("a regularizer of nothing is none") {
  for (const Regularizer<double>& none :
       {Regularizer<double>(), Regularizer<double>(""), Regularizer<double>("l1l2"),
        Regularizer<double>("L1L2"), Regularizer<double>(regularizers::L1{.l1 = 0}),
        Regularizer<double>(regularizers::OrthogonalRegularizer{.factor = 0})}) {
    CHECK_FALSE(none);
    CHECK(value(none) == 0.0);
  }
  CHECK(Regularizer<double>("l1"));
  Tape<double> tape;
  CHECK(Regularizer<double>()(tape.watch(example())).has_context());
}

TEST_CASE("orthogonal penalties at the limits") {
  const Regularizer<double> rows = regularizers::OrthogonalRegularizer{.factor = 1.0};
  CHECK(rows(Var<double>(random_array<double>({1, 4}, 1))).item() == 0.0);
  CHECK(rows(Var<double>(random_array<double>({0, 4}, 1))).item() == 0.0);
  CHECK(rows(Var<double>(random_array<double>({3, 0}, 1))).item() == 0.0);
  // A row of zeros, as an embedding may have: no NaN, neither here nor in the gradient.
  Array<double> w = random_array<double>({3, 4}, 1);
  std::fill_n(w.data(), 4, 0.0);
  Tape<double> tape;
  const Var<double> x = tape.watch(w);
  const Array<double> g = tape.backward(rows(x))[x].value();
  for (const double v : g) CHECK(std::isfinite(v));
}

TEST_CASE("the regularizers' gradients, first and second order") {
  const Array<double> w = random_array<double>({4, 3}, 5, 0.2, 1.0) *
                          xt::sign(random_array<double>({4, 3}, 6));  // away from the kinks
  for (const Regularizer<double>& r :
       {Regularizer<double>("l1"), Regularizer<double>("l2"),
        Regularizer<double>(regularizers::L1L2{.l1 = 0.3, .l2 = 0.2}),
        Regularizer<double>(regularizers::OrthogonalRegularizer{.factor = 0.7}),
        Regularizer<double>(regularizers::OrthogonalRegularizer{.factor = 0.7,
        .mode = regularizers::OrthogonalMode::columns})}) {
    const auto report =
        check_gradients([&](const std::vector<Var<double>>& x) { return r(x[0]); }, {w});
    INFO(report.message);
    CHECK(report);
  }
}

TEST_CASE("bad regularizers") {
  const std::string text = error_of<ValueError>([] { Regularizer<float>("l3"); });
  CHECK(contains(text, "'l3'"));
  for (const char* name : {"l1", "l2", "l1l2", "orthogonal_regularizer"}) {
    CHECK(contains(text, name));
  }
  CHECK(contains(error_of<ValueError>([] { Regularizer<float>("l1_l2"); }),
                 "regularizers::L1L2{.l1 = ..., .l2 = ...}"));
  CHECK(contains(error_of<ValueError>([] { Regularizer<double>(regularizers::L1{.l1 = -0.1}); }),
                 "l1 is -0.1"));
  CHECK_THROWS_AS(Regularizer<double>(regularizers::L2{.l2 = HUGE_VAL}), ValueError);
  CHECK_THROWS_AS(Regularizer<double>(regularizers::L2{.l2 = std::nan("")}), ValueError);
  CHECK(contains(
      error_of<ValueError>([] { Regularizer<double>(regularizers::L1L2{.l1 = 0, .l2 = -1}); }),
      "l2 is -1"));
  CHECK_THROWS_AS(Regularizer<double>(regularizers::L1L2{.l1 = -1}), ValueError);
  CHECK_THROWS_AS(Regularizer<double>(regularizers::OrthogonalRegularizer{.factor = -1}),
                  ValueError);
  CHECK_THROWS_AS(Regularizer<double>(std::function<Var<double>(const Var<double>&)>()),
                  ValueError);

  const Var<double> w(example());
  const Regularizer<double> wide([](const Var<double>& x) { return square(x); });
  CHECK(contains(error_of<ShapeError>([&] { static_cast<void>(wide(w, "dense/kernel")); }),
                 "dense/kernel: regularizer is no scalar: penalty is (2, 3)"));
  const Regularizer<double> empty([](const Var<double>&) { return Var<double>(); });
  CHECK_THROWS_AS(empty(w), ShapeError);
  const Regularizer<double> rows = "orthogonal_regularizer";
  CHECK(contains(
      error_of<ShapeError>([&] {
        static_cast<void>(rows(Var<double>(random_array<double>({2, 2, 2}, 1)), "q/kernel"));
      }),
      "q/kernel: no orthogonal penalty: weights are (2, 2, 2)"));
}

TEMPLATE_TEST_CASE("regularizers agree with Keras", "", double, float) {
  using T = TestType;
  const Json cases = golden("regularizers");
  Errors errors(with_type<T>("regularizers"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    run.check(regularizer_of<T>(c)(run.input("w")));
  }
  CHECK(errors.cases() >= 30);
}
