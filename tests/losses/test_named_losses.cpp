#include "support/arrays.hpp"
#include "support/catch.hpp"

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

TEST_CASE("losses by name are the functions of that name") {
  const V p(random_array<double>({4, 3}, 1, 0.1, 0.9));
  const Array<double> y = random_array<double>({4, 3}, 2, 0.1, 0.9);
  const LossOptions o{.sample_weight = random_array<double>({4}, 3, 0, 2)};
  using Loss = NamedLoss<double, double>;
  const auto same = [&](std::initializer_list<const char*> names, const V& expected) {
    for (const char* name : names) {
      INFO(name);
      CHECK(Loss(name)(p, y, o).item() == expected.item());
    }
  };
  same({"mean_squared_error", "mse"}, mean_squared_error(p, y, o));
  same({"mean_absolute_error", "mae"}, mean_absolute_error(p, y, o));
  same({"mean_absolute_percentage_error", "mape"}, mean_absolute_percentage_error(p, y, o));
  same({"mean_squared_logarithmic_error", "msle"}, mean_squared_logarithmic_error(p, y, o));
  same({"huber"}, huber(p, y, 1.0, o));
  same({"log_cosh", "logcosh"}, log_cosh(p, y, o));
  same({"hinge"}, hinge(p, y, o));
  same({"squared_hinge"}, squared_hinge(p, y, o));
  same({"categorical_hinge"}, categorical_hinge(p, y, o));
  same({"kl_divergence", "kld"}, kl_divergence(p, y, o));
  same({"poisson"}, poisson(p, y, o));
  same({"cosine_similarity"}, cosine_similarity(p, y, o));
  same({"categorical_crossentropy"},
       categorical_crossentropy(p, y, {.sample_weight = o.sample_weight}));
  same({"binary_crossentropy"}, binary_crossentropy(p, y, {.sample_weight = o.sample_weight}));
  CHECK(
      contains(error_of<ValueError>([] { Loss("mean"); }), "expected for targets one of: mean_sq"));
  CHECK(contains(error_of<ValueError>([] { Loss(""); }), "loss is ''"));
  CHECK(contains(error_of<ValueError>([] { NamedLoss<double, std::int64_t>("mse"); }),
                 "expected for labels one of: sparse"));
}

TEST_CASE("cross-entropies with options, of labels and of targets") {
  const V logits(random_array<double>({4, 3}, 1, -2, 2));
  const Array<std::int64_t> labels = array<std::int64_t>({4}, {0, 2, 1, 2});
  const Array<std::int64_t> column = array<std::int64_t>({4, 1}, {0, 2, 1, 2});
  const LossOptions o{.sample_weight = random_array<double>({4}, 3, 0, 2)};
  const auto expected = sparse_categorical_crossentropy(logits, labels,
                                                        {.from_logits = true,
                                                         .ignore_class = 1,
                                                         .label_smoothing = 0.1,
                                                         .sample_weight = o.sample_weight});
  const losses::SparseCategoricalCrossentropy sparse{
      .from_logits = true, .ignore_class = 1, .label_smoothing = 0.1};
  CHECK(NamedLoss<double, std::int64_t>(sparse)(logits, labels, o).item() == expected.item());
  CHECK(sparse(logits, column, o).item() == expected.item());
  const losses::BinaryCrossentropy binary{.from_logits = true};
  const V one(random_array<double>({4, 1}, 5));
  const Array<double> truth = array<double>({4, 1}, {1, 0, 0, 1});
  const double whole = binary_crossentropy(one, truth, {.from_logits = true}).item();
  CHECK(binary(one, truth).item() == whole);
  CHECK(binary(one, array<std::int64_t>({4}, {1, 0, 0, 1})).item() == whole);
  CHECK(binary(one, array<std::int64_t>({4, 1}, {1, 0, 0, 1})).item() == whole);
  CHECK_THROWS_AS(binary(one, array<std::int64_t>({4}, {1, 0, 0, 2})), ValueError);
  CHECK_THROWS_AS(binary(one, array<std::int64_t>({3}, {1, 0, 0})), ShapeError);
  CHECK_THROWS_AS(binary(logits, labels), ShapeError);
  const losses::CategoricalCrossentropy categorical{.from_logits = true, .label_smoothing = 0.2};
  const Array<double> hot = array<double>({4, 3}, {1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1});
  CHECK(
      categorical(logits, hot).item() ==
      categorical_crossentropy(logits, hot, {.from_logits = true, .label_smoothing = 0.2}).item());
}

TEST_CASE("functions of two and of three arguments") {
  const V p(random_array<double>({4, 1}, 1));
  const Array<double> y = random_array<double>({4, 1}, 2);
  const NamedLoss<double, double> two = [](const auto& a, const auto& b) {
    return mean(abs(a - b));
  };
  CHECK_FALSE(two.weighs());
  CHECK(two(p, y, {}).item() == Approx(mean_absolute_error(p, y).item()));
  const NamedLoss<double, double> three = [](const auto& a, const auto& b, const LossOptions& o) {
    return mean_squared_error(a, V(b), o);
  };
  CHECK(three.weighs());
  CHECK_FALSE(static_cast<bool>(NamedLoss<double, double>()));
}
