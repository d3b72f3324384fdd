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

TEST_CASE("what masked samples hold changes no gradient either") {
  const double nan = std::nan("");
  Array<bool> mask(Shape{2}, true);
  mask(0) = false;
  const LossOptions options{.mask = mask};
  const CrossentropyOptions logits{.from_logits = true, .label_smoothing = 0.1, .mask = mask};
  const CrossentropyOptions shares{.label_smoothing = 0.1, .mask = mask};
  using Loss = std::function<V(const V&, const V&)>;
  const auto labels = array<std::int64_t>({2}, {-100, 1});
  const std::vector<Loss> losses{
      [&](const V& p, const V& t) { return mean_squared_error(p, t, options); },
      [&](const V& p, const V& t) { return mean_absolute_error(p, t, options); },
      [&](const V& p, const V& t) { return mean_absolute_percentage_error(p, t, options); },
      [&](const V& p, const V& t) { return mean_squared_logarithmic_error(p, t, options); },
      [&](const V& p, const V& t) { return huber(p, t, 0.1, options); },
      [&](const V& p, const V& t) { return log_cosh(p, t, options); },
      [&](const V& p, const V& t) { return hinge(p, t, options); },
      [&](const V& p, const V& t) { return squared_hinge(p, t, options); },
      [&](const V& p, const V& t) { return categorical_hinge(p, t, options); },
      [&](const V& p, const V& t) { return kl_divergence(p, t, options); },
      [&](const V& p, const V& t) { return poisson(p, t, options); },
      [&](const V& p, const V& t) { return cosine_similarity(p, t, options); },
      [&](const V& p, const V& t) { return dice(p, t, {-1}, options); },
      [&](const V& p, const V& t) { return tversky(p, t, 0.5, 0.5, {-1}, options); },
      [&](const V& p, const V& t) { return categorical_crossentropy(p, t, logits); },
      [&](const V& p, const V& t) { return categorical_crossentropy(p, t, shares); },
      [&](const V& p, const V& t) { return binary_crossentropy(p, t, logits); },
      [&](const V& p, const V& t) { return binary_crossentropy(p, t, shares); },
      [&](const V& p, const V& t) { return categorical_focal_crossentropy(p, t, {}, logits); },
      [&](const V& p, const V& t) { return binary_focal_crossentropy(p, t, {}, shares); },
      [&](const V& p, const V&) { return sparse_categorical_crossentropy(p, labels, logits); },
      [&](const V& p, const V&) { return sparse_categorical_crossentropy(p, labels, shares); }};
  for (std::size_t i = 0; i < losses.size(); ++i) {
    INFO("loss " << i);
    Array<double> gradients[2];
    double values[2];
    for (const bool filled : {false, true}) {
      Tape<double> tape;
      const double x = filled ? nan : 0.5;
      const V p = tape.watch(V(array<double>({2, 3}, {x, x, x, 0.2, 0.3, 0.4})));
      const V t(array<double>({2, 3}, {x, x, x, 0.1, 0.6, 0.3}));
      const V loss = losses[i](p, t);
      values[filled] = loss.item();
      gradients[filled] = tape.backward(loss)[p].value();
    }
    CHECK(values[0] == values[1]);
    CHECK((gradients[0] == gradients[1]));
    CHECK(gradients[1](0, 0) == 0);
    CHECK(gradients[1](1, 0) != 0);
  }
}

TEST_CASE("the focal loss of perfect samples has a gradient for every gamma") {
  for (const double gamma : {0.0, 0.3, 0.5, 1.0, 2.0}) {
    Tape<double> tape;
    const V x = tape.watch(array<double>({2, 1}, {40, -120}));
    const V loss = binary_focal_crossentropy(x, V(array<double>({2, 1}, {1, 0})), {.gamma = gamma},
                                             {.from_logits = true});
    const Array<double> g = tape.backward(loss)[x].value();
    INFO("gamma " << gamma);
    CHECK(std::isfinite(loss.item()));
    CHECK(std::isfinite(g.data()[0]));
    CHECK(std::isfinite(g.data()[1]));
  }
}

TEST_CASE("a sample weight that the loss's type does not hold is refused") {
  const Var<float> x(random_array<float>({2, 3}, 1));
  CHECK_THROWS_WITH(mean_squared_error(x, x, {.sample_weight = array<double>({2}, {1, 1e300})}),
                    ContainsSubstring("sample_weight is 1e+300"));
}

TEST_CASE("sample weights are aligned at the batch") {
  const V p(array<double>({2, 3, 1}, {1, 2, 3, 4, 5, 6}));
  const V zero(detail::full<double>(Shape{2, 3, 1}, 0.0));
  const auto sum_with = [&](const Array<double>& w) {
    return mean_absolute_error(p, zero, {.sample_weight = w, .reduction = Reduction::sum}).item();
  };
  CHECK(sum_with(Array<double>(2.0)) == 42);
  CHECK(sum_with(array<double>({2}, {1, 10})) == 156);
  CHECK(sum_with(array<double>({2, 1}, {1, 10})) == 156);
  CHECK(sum_with(array<double>({1, 3}, {1, 10, 100})) == 1 + 20 + 300 + 4 + 50 + 600);
  CHECK(sum_with(array<double>({2, 3}, {1, 0, 0, 0, 0, 1})) == 7);
  CHECK(sum_with(array<double>({2, 3, 1}, {1, 0, 0, 0, 0, 1})) == 7);
  for (const Shape& bad : {Shape{3}, Shape{2, 2}, Shape{2, 3, 2}}) {
    CHECK(contains(error_of<ShapeError>([&] { sum_with(detail::full<double>(bad, 1.0)); }),
                   "weights do not fit"));
  }
  CHECK(contains(error_of<ValueError>([&] { sum_with(Array<double>(HUGE_VAL)); }),
                 "sample_weight is inf"));
  // A weighted mean, and one of nothing.
  const auto mean_with = [&](const Array<double>& w) {
    return mean_absolute_error(
               p, zero, {.sample_weight = w, .reduction = Reduction::mean_with_sample_weight})
        .item();
  };
  CHECK(mean_with(array<double>({2}, {1, 3})) == (6.0 + 45.0) / 12);
  CHECK(mean_with(Array<double>(0.0)) == 0);
}

TEST_CASE("options of losses out of range") {
  const V p(random_array<double>({2, 3}, 1, 0.1, 1));
  const auto labels = array<std::int64_t>({2}, {0, 1});
  const auto refused = [](const char* part, auto call) {
    const std::string text = error_of<ValueError>([&] { static_cast<void>(call()); });
    INFO(text);
    CHECK(contains(text, part));
  };
  for (const double s : {-0.1, 1.1, std::nan("")}) {
    const CrossentropyOptions o{.label_smoothing = s};
    refused("label_smoothing is", [&] { return sparse_categorical_crossentropy(p, labels, o); });
    refused("label_smoothing is", [&] { return categorical_crossentropy(p, p, o); });
    refused("label_smoothing is", [&] { return binary_crossentropy(p, p, o); });
    refused("label_smoothing is", [&] { return binary_focal_crossentropy(p, p, {}, o); });
    refused("alpha is", [&] { return categorical_focal_crossentropy(p, p, {.alpha = s}); });
  }
  refused("ignore_class is 1", [&] { return categorical_crossentropy(p, p, {.ignore_class = 1}); });
  refused("gamma is -1", [&] { return binary_focal_crossentropy(p, p, {.gamma = -1}); });
  refused("balance is true",
          [&] { return categorical_focal_crossentropy(p, p, {.balance = true}); });
  refused("delta is 0", [&] { return huber(p, p, 0); });
  refused("alpha is -1", [&] { return tversky(p, p, -1, 1); });
  refused("beta is inf", [&] { return tversky(p, p, 1, HUGE_VAL); });
  CHECK_THROWS_AS(dice(p, p, {2}), ShapeError);
  CHECK_THROWS_AS(tversky(p, p, 1, 1, {0, 0}), ShapeError);
  // Without smoothing a label that is left out may be anything; one that counts may not.
  Array<bool> mask(Shape{2}, true);
  mask(0) = false;
  CHECK_NOTHROW(
      sparse_categorical_crossentropy(p, array<std::int64_t>({2}, {-9, 1}), {.mask = mask}));
  refused("element 1 of labels (2,) is 3", [&] {
    return sparse_categorical_crossentropy(p, array<std::int64_t>({2}, {-9, 3}), {.mask = mask});
  });
}

TEST_CASE("temporal classification refuses what has no path") {
  const V x(random_array<double>({2, 3, 4}, 1));
  const auto labels = array<std::int64_t>({2, 2}, {1, 2, 3, 0});
  const auto refused = [&](const char* part, const Array<std::int64_t>& y,
                           const CtcOptions& options) {
    const std::string text = error_of<Error>([&] { static_cast<void>(ctc(x, y, options)); });
    INFO(text);
    CHECK(contains(text, part));
  };
  CHECK_NOTHROW(ctc(x, labels));
  refused("is 4, expected 0 to 3", array<std::int64_t>({2, 2}, {1, 4, 3, 0}), {});
  refused("is -1, expected 0 to 3", array<std::int64_t>({2, 2}, {1, -1, 3, 0}), {});
  refused("label after a blank", array<std::int64_t>({2, 2}, {0, 1, 3, 0}), {});
  refused("not the blank 0", array<std::int64_t>({2, 2}, {0, 1, 3, 0}),
          {.label_lengths = {{2, 1}}});
  refused("blank is 4", labels, {.blank = 4});
  refused("there are 1, expected 2", labels, {.input_lengths = {{3}}});
  refused("a length is 4, expected 0 to 3", labels, {.input_lengths = {{3, 4}}});
  refused("a length is -1", labels, {.label_lengths = {{-1, 1}}});
  refused("sample 0 has 1, expected at least 2", labels, {.input_lengths = {{1, 3}}});
  refused("labels is (2,)", array<std::int64_t>({2}, {1, 2}), {});
  refused("has 2, expected at least 3", array<std::int64_t>({2, 2}, {1, 1, 3, 0}),
          {.input_lengths = {{2, 3}}});
  // A sample that is masked may be impossible; frames beyond its length may hold anything.
  Array<bool> mask(Shape{2}, true);
  mask(0) = false;
  Tape<double> tape;
  Array<double> values = x.value();
  values(1, 2, 0) = values(0, 0, 0) = std::nan("");
  const V wild = tape.watch(V(values));
  const V loss = ctc(wild, labels, {.input_lengths = {{1, 2}}, .mask = mask});
  CHECK(std::isfinite(loss.item()));
  const Array<double> g = tape.backward(loss)[wild].value();
  for (const double v : g) CHECK(std::isfinite(v));
  CHECK(g(1, 2, 0) == 0);
  CHECK(g(1, 1, 0) != 0);
}
