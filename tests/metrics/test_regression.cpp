// Metrics of regressions against scikit-learn, and their edges.

#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

namespace {

template <class T, class M> void follow(Errors& errors, const Json& c) {
  M metric, merged;
  std::size_t i = 0;
  for (const Json& batch : c["batches"]) {
    M part;
    MetricOptions options;
    if (batch.contains("sample_weight")) {
      options.sample_weight = golden_array<double>(batch["sample_weight"]);
    }
    const Var<T> prediction(golden_array<T>(batch["prediction"]));
    const Var<T> truth(golden_array<T>(batch["truth"]));
    metric.update(prediction, truth, options);
    part.update(prediction, truth, options);
    merged.merge(part.state());
    const double expected = c["results"][i++].get<double>();
    errors.add("batch " + std::to_string(i), std::abs(metric.result() - expected));
    errors.add("merged " + std::to_string(i), std::abs(merged.result() - expected));
  }
  M again;
  again.load_state(metric.state());
  CHECK(again.result() == metric.result());
}

}  // namespace

TEST_CASE("R2 and the mean absolute error agree with scikit-learn") {
  const Json cases = golden("class_metrics");
  Errors errors("metrics of regressions", 1e-12);
  for (const Json& c : cases) {
    if (c["kind"] == "r2") {
      errors.begin(c["name"].get<std::string>());
      follow<double, R2Score>(errors, c);
    }
    if (c["kind"] == "mae") {
      errors.begin(c["name"].get<std::string>());
      follow<double, MeanAbsoluteError>(errors, c);
    }
  }
  CHECK(errors.cases() == 4);
}

TEST_CASE("R2 by output, without samples, and of what does not fit") {
  R2Score r2;
  CHECK(r2.result() == 0);
  const V truth(array<double>({3, 2}, {1, 5, 2, 5, 3, 5}));
  r2.update(V(array<double>({3, 2}, {1, 5, 2, 5, 3, 5})), truth);
  CHECK(r2.per_output() == std::vector<double>{1, 1});
  r2.reset();
  r2.update(V(array<double>({3, 2}, {2, 4, 2, 5, 2, 5})), truth);
  CHECK(r2.per_output() == std::vector<double>{0, 0});
  const auto before = r2.state();
  Array<bool> none(Shape{3}, false);
  r2.update(truth, truth, {.mask = none});
  CHECK(r2.state() == before);
  CHECK_THROWS_AS(r2.update(V(array<double>({2, 1}, {1, 2})), V(array<double>({2, 1}, {1, 2}))),
                  ShapeError);
  CHECK_THROWS_AS(r2.update(truth, V(array<double>({1, 2}, {1, 2}))), ShapeError);
  CHECK_THROWS_AS(r2.update(truth, truth, {.sample_weight = Array<double>(Shape{3}, -1.0)}),
                  ValueError);
  for (const std::vector<double>& wrong :
       {std::vector<double>{}, {2}, {1, 3, 1, 1}, {0.5, 1}, {1e300, 2}}) {
    CHECK_THROWS_AS(r2.load_state(wrong), ValueError);
    CHECK_THROWS_AS(r2.merge(wrong), ValueError);
  }
  CHECK_THROWS_AS(r2.merge(std::vector<double>{1, 1, 1, 1, 1}), ValueError);
  CHECK(r2.state() == before);
  MeanAbsoluteError mae;
  CHECK_THROWS_AS(mae.update(truth, V(array<double>({1, 2}, {1, 2}))), ShapeError);
  CHECK_FALSE(mae.higher_is_better());
  CHECK(r2.higher_is_better());
}
