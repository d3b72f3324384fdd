// Weights at the ends of the range, in every entry of the catalogues of constraints and regularizers: float gives what
// double gives, rounded, and a NaN reaches exactly what depends on it.

#include "support/arrays.hpp"
#include "support/catch.hpp"

#include <iostream>
#include <limits>

using namespace xtape;
using namespace xtape::test;

namespace {

using Limits = std::numeric_limits<float>;

const std::vector<float> kValues = {Limits::max(),
                                    -Limits::max(),
                                    1e37F,
                                    1e20F,
                                    -1e20F,
                                    1e15F,
                                    Limits::min(),
                                    Limits::denorm_min(),
                                    -1e-30F,
                                    0.0F,
                                    Limits::infinity(),
                                    -Limits::infinity(),
                                    Limits::quiet_NaN()};

std::size_t cases = 0;
struct Summary {
  ~Summary() { std::cout << "extreme weights: " << cases << " cases\n"; }
} summary;

/// Weights of three rows and columns, with `value` in one place, a whole column or everywhere.
template <class T> Array<T> weights(std::size_t pattern, float value) {
  Array<T> w(Shape{3, 3});
  for (std::size_t i = 0; i < 9; ++i) {
    const bool there = pattern == 2 || (pattern == 1 ? i % 3 == 1 : i == 4);
    w.data()[i] = there ? static_cast<T>(value) : static_cast<T>(0.25F * (float(i) - 3.5F));
  }
  return w;
}

/// Whether float's number is double's, rounded; infinite where double's is too large for float.
bool rounded(float f, double d, double slack = 0) {
  if (std::isnan(f) || std::isnan(d)) return std::isnan(f) && std::isnan(d);
  const double largest = static_cast<double>(Limits::max());
  if (std::abs(d) > largest) {
    return std::abs(static_cast<double>(f)) >= largest && (f > 0) == (d > 0);
  }
  return std::abs(static_cast<double>(f) - d) <= 1e-5 * std::abs(d) + slack + 1e-37;
}

bool rounded(const Array<float>& f, const Array<double>& d, const std::vector<double>& slack) {
  bool good = f.shape() == d.shape();
  for (std::size_t i = 0; good && i < f.size(); ++i) {
    good = rounded(f.data()[i], d.data()[i], slack[i]);
  }
  return good;
}

/// Rounding of a cosine is 1e-7; the gradient of the penalty divides it by the length of its row.
std::vector<double> slack_of_cosines(const Array<double>& w) {
  std::vector<double> slack(9);
  for (std::size_t i = 0; i < 9; ++i) {
    const double* row = w.data() + i / 3 * 3;
    slack[i] = 0.01 * 1e-6 / std::max(1e-7, std::hypot(row[0], row[1], row[2]));
  }
  return slack;
}

/// Calls `check(weights in float, in double, value)` for every pattern and value.
template <class Check> void everywhere(const std::string& name, float largest, const Check& check) {
  for (std::size_t pattern = 0; pattern < 3; ++pattern) {
    for (const float value : kValues) {
      // The sum of squares has no place in float from here on, nor has that of magnitudes.
      if (std::isfinite(value) && std::abs(value) > largest) continue;
      ++cases;
      INFO(name << ", pattern " << pattern << ", value " << value);
      check(weights<float>(pattern, value), weights<double>(pattern, value));
    }
  }
}

}  // namespace

TEST_CASE("constraints meet weights at the ends of the range") {
  for (const char* name : {"max_norm", "unit_norm", "non_neg", "min_max_norm"}) {
    const Constraint<float> rough(name);
    const Constraint<double> exact(name);
    everywhere(name, Limits::max(), [&](const Array<float>& f, const Array<double>& d) {
      CHECK(rounded(rough(f), exact(d), std::vector<double>(9)));
    });
  }
}

TEST_CASE("regularizers meet weights at the ends of the range") {
  for (const char* name : {"l1", "l2", "orthogonal_regularizer"}) {
    const Regularizer<float> rough(name);
    const Regularizer<double> exact(name);
    everywhere(name, name == std::string("l2") ? 1e15F : 1e37F,
               [&](const Array<float>& f, const Array<double>& d) {
                 Tape<float> tape;
                 Tape<double> exact_tape;
                 const Var<float> w = tape.watch(f);
                 const Var<double> v = exact_tape.watch(d);
                 const Var<float> penalty = rough(w);
                 const Var<double> exact_penalty = exact(v);
                 CHECK(rounded(penalty.item(), exact_penalty.item()));
                 CHECK(rounded(tape.backward(penalty)[w].value(),
                               exact_tape.backward(exact_penalty)[v].value(),
                               name[0] == 'o' ? slack_of_cosines(d) : std::vector<double>(9)));
               });
  }
}

TEST_CASE("options that the weights' type does not hold are refused, and so are initial values") {
  for (const double bad : {1e39, 1e300}) {
    INFO(bad);
    CHECK_THROWS_AS(Regularizer<float>(regularizers::L1{.l1 = bad}), ValueError);
    CHECK_THROWS_AS(Regularizer<float>(regularizers::L2{.l2 = bad}), ValueError);
    CHECK_THROWS_AS(Regularizer<float>(regularizers::OrthogonalRegularizer{.factor = bad}),
                    ValueError);
    CHECK_THROWS_AS(Constraint<float>(constraints::MaxNorm{.max_value = bad}), ValueError);
    CHECK_THROWS_AS(Constraint<float>(constraints::MinMaxNorm{.min_value = 1, .max_value = bad}),
                    ValueError);
    CHECK_THROWS_AS(SGD<float>({.learning_rate = bad}), ValueError);
    CHECK_THROWS_AS(SGD<float>({.learning_rate = 0.1, .weight_decay = bad}), ValueError);
    CHECK_NOTHROW(SGD<double>({.learning_rate = bad}));
  }
  Params<float> params;
  const auto builds = [&](const char* name, const Initializer& initializer) {
    const Parameter<float> p = params.scope().reserve(name);
    CHECK_THROWS_WITH(p.build({3}, initializer),
                      StartsWith(std::string(name) + ": initial value is not finite"));
    CHECK_FALSE(p.built());
  };
  builds("constant", initializers::Constant{.value = 1e300});
  builds("normal", initializers::RandomNormal{.stddev = 1e300});
  builds("scaling", initializers::VarianceScaling{.scale = 1e308});
}

TEST_CASE(
    "a schedule's rate that the weights' type does not hold is refused, and changes nothing") {
  Params<float> params;
  const Parameter<float> w = params.scope().reserve("w");
  w.build({2}, "ones");
  Tape<float> tape;
  const Gradients<float> g = tape.backward(sum(w.value_for(tape.context())));
  SGD<float> sgd({.learning_rate = Schedule([](std::int64_t) { return 1e300; })});
  CHECK_THROWS_WITH(sgd.step(params, g), ContainsSubstring("learning_rate is 1e+300"));
  CHECK(w.value()(0) == 1.0F);
  // Gradients of other parameters than those of the step.
  Params<float> others;
  SGD<float> plain({.learning_rate = 0.1});
  CHECK_THROWS_WITH(plain.step(others, g), StartsWith("step: no parameters to update"));
}
