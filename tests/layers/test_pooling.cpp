#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

TEMPLATE_TEST_CASE("global pooling agrees with Keras's", "", double, float) {
  using T = TestType;
  const Json cases = golden("pooling");
  Errors errors(with_type<T>("pooling"), golden_tolerance<T>);
  for (const Json& c : cases) {
    GoldenRun<T> run(c, errors);
    const PoolingOptions options{.keep_dims = c["keep_dims"].get<bool>()};
    const auto mask = golden_constant<bool>(c, "mask");
    if (c["kind"] == "average") {
      run.check(GlobalAveragePooling<T>(options)(run.input("x"), mask));
    } else {
      run.check(GlobalMaxPooling<T>(options)(run.input("x"), mask));
    }
  }
  CHECK(errors.cases() == 13);
}

TEST_CASE("global pooling: gradients of first and second order") {
  const GlobalAveragePooling<double> average;
  const GlobalMaxPooling<double> most({.keep_dims = true});
  Array<bool> mask(Shape{3, 4}, true);
  mask(0, 1) = mask(0, 3) = false;
  for (std::size_t i = 0; i < 4; ++i) mask(2, i) = false;
  const V x(random_array<double>({3, 4, 2}, 5));
  CHECK(check_gradients([&](const V& v) { return average(v * v); }, x));
  CHECK(check_gradients([&](const V& v) { return average(v * v, mask); }, x));
  CHECK(check_gradients([&](const V& v) { return most(v * v); }, x));
  CHECK(check_gradients([&](const V& v) { return most(v * v, mask); }, x));
}

TEST_CASE("masked positions change nothing, whatever they hold") {
  Array<double> x = random_array<double>({3, 4, 2}, 6);
  Array<bool> mask(Shape{3, 4}, true);
  mask(0, 1) = false;
  for (std::size_t i = 0; i < 4; ++i) mask(2, i) = false;
  const auto both = [&](const Array<double>& values) {
    Tape<double> tape;
    const V v = tape.watch(values);
    const V y = concatenate<double>(
        {GlobalAveragePooling<double>()(v, mask), GlobalMaxPooling<double>()(v, mask)}, 1);
    const Array<double> out = y.value();
    const Array<double> g = tape.backward(sum(y * y))[v].value();
    return std::pair(out, g);
  };
  const auto [clean, clean_gradient] = both(x);
  x(0, 1, 0) = std::nan("");
  x(2, 0, 1) = HUGE_VAL;
  const auto [dirty, dirty_gradient] = both(x);
  CHECK(difference(clean, dirty) == 0);
  CHECK(difference(clean_gradient, dirty_gradient) == 0);
  for (std::size_t k = 0; k < 4; ++k) CHECK(clean(2, k) == 0);
  for (std::size_t i = 0; i < 4; ++i) CHECK(clean_gradient(2, i, 0) == 0);
  // The mean is over what counts.
  CHECK(clean(0, 0) == Approx((x(0, 0, 0) + x(0, 2, 0) + x(0, 3, 0)) / 3));
}

TEST_CASE("global pooling refuses what does not fit") {
  const GlobalAveragePooling<double> average;
  CHECK(contains(error_of<ShapeError>([&] {
                   average(V(random_array<double>({2, 3}, 1)));
                 }),
                 "GlobalAveragePooling: too few axes: x is (2, 3)"));
  CHECK(contains(error_of<ShapeError>([&] {
                   GlobalMaxPooling<double>()(V(random_array<double>({2, 3, 4}, 1)),
                                              Array<bool>(Shape{2, 4}, true));
                 }),
                 "mask is (2, 4), expected (2, 3)"));
  CHECK_THROWS_AS(average(V(random_array<double>({2, 0, 4}, 1))), ShapeError);
}
