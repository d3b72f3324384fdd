// Metrics of classes against scikit-learn and Keras, and their edges.

#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;

namespace {

Average average_of(const Json& options) {
  const std::string name = options.value("average", "macro");
  return name == "micro" ? Average::micro : name == "weighted" ? Average::weighted : Average::macro;
}

/// Updates with each batch, and compares the result after it; then the same by merging states.
template <class T, class M> void follow(Errors& errors, const Json& c, const M& fresh) {
  M metric = fresh, merged = fresh;
  std::size_t i = 0;
  for (const Json& batch : c["batches"]) {
    M part = fresh;
    const Var<T> prediction(golden_array<T>(batch["prediction"]));
    MetricOptions options;
    if (batch.contains("sample_weight")) {
      options.sample_weight = golden_array<double>(batch["sample_weight"]);
    }
    for (M* m : {&metric, &part}) {
      if (batch["truth"]["shape"].size() < prediction.rank()) {
        m->update(prediction, golden_array<std::int64_t>(batch["truth"]), options);
      } else {
        m->update(prediction, Var<T>(golden_array<T>(batch["truth"])), options);
      }
    }
    merged.merge(part.state());
    const double expected = c["results"][i++].get<double>();
    errors.add("batch " + std::to_string(i), std::abs(metric.result() - expected));
    errors.add("merged " + std::to_string(i), std::abs(merged.result() - expected));
  }
  if (c.contains("matrix")) {
    if constexpr (std::same_as<M, ConfusionMatrix>) {
      errors.add("matrix", difference(metric.matrix(), golden_array<double>(c["matrix"])));
      errors.add("merged", difference(merged.matrix(), golden_array<double>(c["matrix"])));
    }
  }
  M again = fresh;
  again.load_state(metric.state());
  CHECK(again.result() == metric.result());
  metric.reset();
  CHECK(metric.result() == 0);
  CHECK(metric.state() == fresh.state());
}

AUC::Options auc_options(const Json& o) {
  AUC::Options options{.num_thresholds = o.value("num_thresholds", std::int64_t{200})};
  if (o.value("curve", "ROC") == "PR") options.curve = Curve::pr;
  const std::string summation = o.value("summation_method", "interpolation");
  if (summation == "minoring") options.summation = AUC::Summation::minoring;
  if (summation == "majoring") options.summation = AUC::Summation::majoring;
  options.from_logits = o.value("from_logits", false);
  return options;
}

Array<std::int64_t> labels(std::initializer_list<std::int64_t> values) {
  return array<std::int64_t>(Shape{values.size()}, values);
}

}  // namespace

TEST_CASE("metrics of classes agree with scikit-learn and Keras") {
  const Json cases = golden("class_metrics");
  Errors errors("metrics of classes", 1e-12);
  for (const Json& c : cases) {
    const auto kind = c["kind"].get<std::string>();
    if (kind == "r2" || kind == "mae") continue;
    errors.begin(c["name"].get<std::string>());
    const Json& o = c["options"];
    const ClassMetricOptions options{o.value("threshold", 0.5), average_of(o)};
    if (kind == "precision") follow<double>(errors, c, Precision(options));
    if (kind == "recall") follow<double>(errors, c, Recall(options));
    if (kind == "f1") follow<double>(errors, c, F1(options));
    if (kind == "confusion") follow<double>(errors, c, ConfusionMatrix());
    if (kind == "auc") follow<double>(errors, c, AUC(auc_options(o)));
  }
  CHECK(errors.cases() == 32);
}

TEST_CASE("float predictions count as those of double do") {
  const Json cases = golden("class_metrics");
  Errors errors("metrics of classes (float)", 1e-6);
  for (const Json& c : cases) {
    if (c["kind"] != "f1" && c["kind"] != "confusion") continue;
    errors.begin(c["name"].get<std::string>());
    const Json& o = c["options"];
    if (c["kind"] == "f1") {
      follow<float>(errors, c, F1({o.value("threshold", 0.5), average_of(o)}));
    } else {
      follow<float>(errors, c, ConfusionMatrix());
    }
  }
  CHECK(errors.cases() == 8);
}

TEST_CASE("values per class, masks and binary confusion") {
  const V p(array<double>({4, 3}, {3, 1, 0, 0, 2, 1, 5, 0, 1, 0, 0, 9}));  // answers 0 1 0 2
  Array<bool> mask(Shape{4}, true);
  F1 f1;
  Precision precision;
  Recall recall;
  ConfusionMatrix confusion;
  CHECK(confusion.matrix().shape() == Shape{0, 0});
  f1.update(p, labels({0, 1, 1, 2}));
  precision.update(p, labels({0, 1, 1, 2}));
  recall.update(p, labels({0, 1, 1, 2}));
  CHECK(precision.per_class() == std::vector<double>{0.5, 1.0, 1.0});
  CHECK(recall.per_class() == std::vector<double>{1.0, 0.5, 1.0});
  CHECK(f1.per_class()[0] == Approx(2.0 / 3));
  mask(2) = false;
  confusion.update(p, labels({0, 1, -9, 2}), {.mask = mask});
  CHECK(confusion.result() == 1.0);
  CHECK(difference(confusion.matrix(), array<double>({3, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1})) == 0);
  ConfusionMatrix one(0.4);
  const V column(array<double>({3, 1}, {0.3, 0.5, 0.9}));
  one.update(column, labels({1, 0, 1}));
  CHECK(difference(one.matrix(), array<double>({2, 2}, {0, 1, 1, 1})) == 0);
  one.reset();
  one.update(column, V(array<double>({3, 1}, {1, 0, 1})));
  CHECK(difference(one.matrix(), array<double>({2, 2}, {0, 1, 1, 1})) == 0);
  one.update(column, V(array<double>({3, 1}, {1, 0, 1})),
             {.sample_weight = Array<double>(Shape{3}, 2.0)});
  CHECK(one.matrix()(0, 1) == 3);
  // Rows of one-hot targets are labels too.
  ConfusionMatrix hot;
  hot.update(p, V(array<double>({4, 3}, {1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1})));
  CHECK(hot.matrix()(1, 0) == 1);
  for (const Metric* m : std::initializer_list<const Metric*>{&f1, &precision, &recall, &hot}) {
    CHECK(m->higher_is_better());
  }
}

TEST_CASE("metrics of classes refuse what does not fit, and stay as they are") {
  const V p(random_array<double>({2, 3}, 1, 0.1, 1));
  const auto refused = [&](auto& metric, const char* part, auto call) {
    const std::vector<double> before = metric.state();
    std::string text;
    try {
      call();
    } catch (const Error& e) {
      text = e.what();
    }
    INFO(text);
    CHECK(contains(text, part));
    CHECK(metric.state() == before);
  };
  Precision precision;
  precision.update(p, labels({0, 1}));
  refused(precision, "another number of classes: prediction has 2, expected 3", [&] {
    precision.update(V(random_array<double>({2, 2}, 1)), labels({0, 1}));
  });
  refused(precision, "label out of range", [&] { precision.update(p, labels({0, 3})); });
  refused(precision, "target is (2, 2)", [&] {
    precision.update(p, V(random_array<double>({2, 2}, 1)));
  });
  refused(precision, "mask is (3,)", [&] {
    precision.update(p, labels({0, 1}), {.mask = Array<bool>(Shape{3}, true)});
  });
  ConfusionMatrix confusion;
  confusion.update(p, labels({0, 1}));
  refused(confusion, "another number of classes", [&] {
    confusion.update(V(random_array<double>({2, 1}, 1)), labels({0, 1}));
  });
  AUC auc;
  refused(auc, "probability out of range: element 1", [&] {
    auc.update(V(array<double>({2, 1}, {0.5, 1.5})), labels({0, 1}));
  });
  refused(auc, "probability out of range", [&] {
    auc.update(V(array<double>({1, 1}, {std::nan("")})), labels({0}));
  });
  refused(auc, "more than one column", [&] { auc.update(p, labels({0, 1})); });
  refused(auc, "label out of range", [&] {
    auc.update(V(array<double>({2, 1}, {0.5, 0.5})), labels({0, 2}));
  });
  for (const std::vector<double>& wrong :
       {std::vector<double>{}, {1e300}, {2, 1, 1}, {0.5}, {3e9}, {2, 1, 2, 3, 4}}) {
    CHECK_THROWS_AS(precision.load_state(wrong), ValueError);
    CHECK_THROWS_AS(precision.merge(wrong), ValueError);
    CHECK_THROWS_AS(auc.merge(wrong), ValueError);
  }
  CHECK_THROWS_AS(confusion.merge(std::vector<double>{2, 1, 1, 1, 1}), ValueError);
  CHECK_THROWS_AS(confusion.load_state(std::vector<double>{2, 1, 1}), ValueError);
  CHECK_THROWS_AS(precision.merge(std::vector<double>{1, 1, 1, 1}), ValueError);
  CHECK(precision.per_class().size() == 3);
  CHECK_THROWS_AS(Precision({.threshold = std::nan("")}), ValueError);
  CHECK_THROWS_AS(ConfusionMatrix(HUGE_VAL), ValueError);
  CHECK_THROWS_AS(AUC({.num_thresholds = 1}), ValueError);
  // A rank without samples adds nothing, and one that comes late is taken over.
  const auto before = confusion.state();
  confusion.merge(ConfusionMatrix().state());
  CHECK(confusion.state() == before);
  ConfusionMatrix late;
  late.merge(before);
  CHECK(late.state() == before);
}

TEST_CASE("a prediction that is not a number is a miss, and no class") {
  const Var<double> nan(array<double>({2, 2}, {std::nan(""), std::nan(""), 0.9, 0.1}));
  const auto labels = array<std::int64_t>({2}, {0, 0});
  Recall recall;
  Precision precision;
  ConfusionMatrix confusion;
  recall.update(nan, labels);
  precision.update(nan, labels);
  CHECK(recall.per_class()[0] == 0.5);
  CHECK(precision.per_class()[0] == 1);
  const auto before = confusion.state();
  CHECK_THROWS_AS(confusion.update(nan, labels), NonFiniteError);
  CHECK(confusion.state() == before);
  confusion.update(nan, labels, {.mask = array<bool>({2}, {false, true})});
  CHECK(confusion.result() == 1);
}

TEST_CASE("a prediction without classes is refused") {
  const Var<double> none(Array<double>(Shape{2, 0}));
  const auto labels = array<std::int64_t>({2}, {0, 1});
  const MetricOptions masked{.mask = array<bool>({2}, {false, false})};
  const auto refuses = [&](auto metric) {
    for (const MetricOptions& options : {MetricOptions{}, masked}) {
      const std::string text = error_of<ShapeError>([&] { metric.update(none, labels, options); });
      CHECK(contains(text, "no classes: prediction is (2, 0), labels is (2,)"));
    }
    metric.update(Var<double>(Array<double>(Shape{0, 3})), Array<std::int64_t>(Shape{0}));
  };
  refuses(Precision());
  refuses(Recall());
  refuses(F1());
  refuses(ConfusionMatrix());
  refuses(Accuracy());
  refuses(TopKAccuracy(1));
}
