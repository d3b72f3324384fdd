#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

TEST_CASE("mean squared error, its reductions and its mask") {
  const V p(array<double>({2, 2}, {1, 2, 3, 4}));
  const V t(array<double>({2, 2}, {0, 0, 3, 2}));
  CHECK(mean_squared_error(p, t).item() == (2.5 + 2.0) / 2);
  CHECK(mean_squared_error(p, t, {.reduction = Reduction::sum}).item() == 4.5);
  CHECK(difference(mean_squared_error(p, t, {.reduction = Reduction::none}).value(),
                   array<double>({2}, {2.5, 2.0})) == 0);
  Array<bool> mask(Shape{2}, true);
  mask(0) = false;
  CHECK(mean_squared_error(p, t, {.mask = mask}).item() == 2.0);
  mask(1) = false;
  CHECK(mean_squared_error(p, t, {.mask = mask}).item() == 0.0);  // nothing counts: 0, not NaN
}

TEST_CASE("what a masked sample holds does not matter") {
  Tape<double> tape;
  const V p = tape.watch(array<double>({2, 1}, {std::nan(""), 2}));
  Array<bool> mask(Shape{2}, true);
  mask(0) = false;
  const V loss = mean_squared_error(p, V(array<double>({2, 1}, {0, 1})), {.mask = mask});
  CHECK(loss.item() == 1.0);
}

TEST_CASE("probabilities are renormalised and limited, as in Keras") {
  const V p(array<double>({2, 2}, {0, 1, 2, 2}));
  const auto none = [&](std::int64_t a, std::int64_t b) {
    return sparse_categorical_crossentropy(p, array<std::int64_t>({2}, {a, b}),
                                           {.reduction = Reduction::none})
        .value();
  };
  CHECK(none(0, 0)(0) == Approx(16.118095650958319));
  CHECK(none(1, 0)(0) == Approx(-std::log(1 - 1e-7)));
  CHECK(none(0, 1)(1) == Approx(std::log(2.0)));
}

TEST_CASE("labels left out, from logits and from probabilities") {
  const V logits(array<double>({3, 2}, {1, 2, 3, 5, 2, 2}));
  const auto labels = array<std::int64_t>({3}, {0, -7, 1});
  const double expected = (std::log(1 + std::exp(1.0)) + std::log(2.0)) / 2;
  CHECK(sparse_categorical_crossentropy(logits, labels, {.from_logits = true, .ignore_class = -7})
            .item() == Approx(expected));
  CHECK(sparse_categorical_crossentropy(softmax(logits), labels, {.ignore_class = -7}).item() ==
        Approx(expected));
}

TEST_CASE("losses refuse what does not fit") {
  const V p(random_array<double>({2, 3}, 1, 0.1, 1));
  const auto labels = array<std::int64_t>({2}, {0, 1});
  CHECK(contains(error_of<ShapeError>([&] {
                   static_cast<void>(mean_squared_error(p, V(random_array<double>({2, 4}, 1))));
                 }),
                 "target is (2, 4), expected (2, 3)"));
  CHECK(contains(error_of<ShapeError>([&] {
                   static_cast<void>(
                       mean_squared_error(p, p, {.mask = Array<bool>(Shape{3}, true)}));
                 }),
                 "mask is (3,), expected (2,)"));
  CHECK_THROWS_AS(categorical_crossentropy(p, V(random_array<double>({3, 3}, 1))), ShapeError);
  CHECK_THROWS_AS(sparse_categorical_crossentropy(p, array<std::int64_t>({3}, {0, 1, 2})),
                  ShapeError);
  CHECK_THROWS_AS(sparse_categorical_crossentropy(V(1.0), labels), ShapeError);
  for (const bool logits : {false, true}) {
    const std::string text = error_of<ValueError>([&] {
      static_cast<void>(sparse_categorical_crossentropy(p, array<std::int64_t>({2}, {0, 3}),
                                                        {.from_logits = logits}));
    });
    CHECK(contains(text, "is 3, expected 0 to 2"));
  }
}
