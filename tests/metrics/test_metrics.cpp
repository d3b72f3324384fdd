// Metrics against Keras, sacrebleu and rapidfuzz, and their edges.

#include "support/golden.hpp"

using namespace xtape;
using namespace xtape::test;
using V = Var<double>;
using Words = std::vector<std::string>;

namespace {

constexpr double kTolerance = 1e-12;

template <class A> std::optional<Array<A>> maybe(const Json& batch, const char* name) {
  if (!batch.contains(name)) return std::nullopt;
  return golden_array<A>(batch[name]);
}

// Drops a last axis of one column, which masks and weights of Keras's samples may have.
template <class A>
std::optional<Array<A>> of_samples(std::optional<Array<A>> array, std::size_t rank) {
  if (!array || array->dimension() < rank) return array;
  Array<A> out(Shape(array->shape().begin(), array->shape().end() - 1));
  const std::size_t n = array->shape().back();
  for (std::size_t i = 0; i < out.size(); ++i) out.data()[i] = array->data()[i * n];
  return out;
}

template <class M, class T> void update(M& metric, const Json& batch) {
  const Var<T> prediction(golden_array<T>(batch["prediction"]));
  const MetricOptions options{of_samples(maybe<bool>(batch, "mask"), prediction.rank()),
                              of_samples(maybe<double>(batch, "sample_weight"), prediction.rank())};
  if constexpr (!std::same_as<M, BinaryAccuracy>) {
    if (batch["truth"]["shape"].size() < prediction.rank()) {
      metric.update(prediction, golden_array<std::int64_t>(batch["truth"]), options);
      return;
    }
  }
  if constexpr (std::same_as<M, BinaryAccuracy> || std::same_as<M, Accuracy>) {
    metric.update(prediction, Var<T>(golden_array<T>(batch["truth"])), options);
  } else {
    FAIL("no such update");
  }
}

template <class T, class M> void follow(Errors& errors, const Json& c, M metric) {
  for (std::size_t i = 0; i < c["batches"].size(); ++i) {
    const Json& batch = c["batches"][i];
    if constexpr (std::same_as<M, Mean>) {
      metric.update(golden_array<double>(batch["values"]),
                    {.sample_weight = maybe<double>(batch, "sample_weight")});
    } else {
      update<M, T>(metric, batch);
    }
    errors.add("batch " + std::to_string(i),
               std::abs(metric.result() - c["results"][i].get<double>()));
  }
  metric.reset();
  CHECK(metric.result() == 0);
}

template <class T> void compare_metric(Errors& errors, const Json& c) {
  const Json& o = c["options"];
  const auto kind = c["kind"].get<std::string>();
  if (kind == "accuracy") return follow<T>(errors, c, Accuracy(o.value("threshold", 0.5)));
  if (kind == "binary_accuracy") {
    return follow<T>(errors, c, BinaryAccuracy(o.value("threshold", 0.5)));
  }
  if (kind == "top_k") return follow<T>(errors, c, TopKAccuracy(o["k"].get<std::int64_t>()));
  if (kind == "mean") return follow<T>(errors, c, Mean());
  REQUIRE(kind == "perplexity");
  Perplexity::Options options{.from_logits = o["from_logits"].get<bool>()};
  if (!o["mask_token_id"].is_null()) options.mask_token_id = o["mask_token_id"].get<std::int64_t>();
  follow<T>(errors, c, Perplexity(options));
}

}  // namespace

TEMPLATE_TEST_CASE("metrics agree with Keras", "", double, float) {
  using T = TestType;
  const Json cases = golden("metrics");
  Errors errors(with_type<T>("metrics"), golden_tolerance<T>);
  for (const Json& c : cases) {
    if (c["kind"] == "edit_distance" || c["kind"] == "lower") continue;
    errors.begin(c["name"].get<std::string>());
    compare_metric<T>(errors, c);
  }
  CHECK(errors.cases() >= 15);
}

TEST_CASE("edit distances agree with rapidfuzz") {
  int pairs = 0;
  const Json cases = golden("metrics");
  for (const Json& c : cases) {
    if (c["kind"] == "lower") {
      CHECK(to_lower(c["text"].get<std::string>()) == c["lower"].get<std::string>());
    }
    if (c["kind"] != "edit_distance") continue;
    for (const Json& p : c["pairs"]) {
      ++pairs;
      const auto a = p[0].get<std::vector<std::int64_t>>();
      const auto b = p[1].get<std::vector<std::int64_t>>();
      const auto expected = p[2].get<std::int64_t>();
      CHECK(edit_distance(a, b) == expected);
      Words u, v;
      for (const auto x : a) u.push_back(std::to_string(x));
      for (const auto x : b) v.push_back(std::to_string(x));
      CHECK(edit_distance(v, u) == expected);
    }
  }
  CHECK(pairs == 45);
}

TEST_CASE("BLEU agrees with sacrebleu") {
  const Json cases = golden("bleu");
  Errors errors("bleu", kTolerance);
  for (const Json& c : cases) {
    errors.begin(c["name"].get<std::string>());
    BLEU bleu({.max_order = c["max_order"].get<int>(), .lowercase = c["lowercase"].get<bool>()});
    for (std::size_t i = 0; i < c["hypotheses"].size(); ++i) {
      bleu.update(c["hypotheses"][i].get<Words>(), c["references"][i].get<std::vector<Words>>());
    }
    CHECK(bleu.matches() == c["counts"].get<std::vector<std::int64_t>>());
    CHECK(bleu.totals() == c["totals"].get<std::vector<std::int64_t>>());
    CHECK(bleu.hypothesis_length() == c["hypothesis_length"].get<std::int64_t>());
    CHECK(bleu.reference_length() == c["reference_length"].get<std::int64_t>());
    errors.add("score", std::abs(bleu.result() - c["score"].get<double>()) / 100);
    bleu.reset();
    CHECK(bleu.result() == 0);
  }
  CHECK(errors.cases() >= 28);
}

TEST_CASE("error rates take the nearest of several references") {
  EditDistance rate;
  CHECK(rate.result() == 0);
  CHECK(rate.sequence_error_rate() == 0);
  rate.update(Words{"a", "b"}, {{"a", "b"}});
  rate.update(Words{"a"}, {{"a", "b", "c"}, {"a", "b"}});
  rate.update(Words{}, {{"x", "y"}});
  CHECK(rate.distance() == 3);
  CHECK(rate.samples() == 3);
  CHECK(rate.result() == Approx(50.0));  // 3 of 2 + 2 + 2
  CHECK(rate.sequence_error_rate() == Approx(200.0 / 3));
  const std::vector<std::int64_t> ids{1, 2, 3};
  rate.reset();
  rate.update(ids, {{1, 2, 3}});
  CHECK(rate.result() == 0);
  CHECK(rate.samples() == 1);
  CHECK_FALSE(rate.higher_is_better());
}

TEST_CASE("properties of edit distance and BLEU") {
  RandomStream stream(3, 1);
  const auto draw = [&] {
    Words out(static_cast<std::size_t>(4 + 6 * stream.uniform()));
    for (std::string& w : out) w = std::to_string(static_cast<int>(4 * stream.uniform()));
    return out;
  };
  for (int i = 0; i < 200; ++i) {
    const Words a = draw(), b = draw(), c = draw();
    const auto ab = edit_distance(a, b);
    CHECK(ab == edit_distance(b, a));
    CHECK(edit_distance(a, a) == 0);
    CHECK(edit_distance(a, c) <= ab + edit_distance(b, c));
    CHECK(static_cast<std::size_t>(ab) <= std::max(a.size(), b.size()));
    BLEU bleu;
    bleu.update(a, {b, a});
    CHECK(bleu.result() == Approx(100.0));
    bleu.update(a, {b});
    CHECK(bleu.result() <= 100.0);
  }
  CHECK(to_lower("\xC3") == "\xC3");  // cut off
  CHECK(to_lower("\xC3Z") == "\xC3z");
}

TEST_CASE("metrics refuse what does not fit, and stay as they are") {
  const V p(random_array<double>({2, 3}, 1, 0.1, 1));
  const auto refused = [&](auto metric, const char* part, auto call) {
    std::string text;
    try {
      call(metric);
    } catch (const Error& e) {
      text = e.what();
    }
    INFO(text);
    CHECK(contains(text, part));
    CHECK(metric.result() == 0);
  };
  const auto labels = [](std::initializer_list<std::int64_t> v) {
    return array<std::int64_t>(Shape{v.size()}, v);
  };
  refused(Accuracy(), "label out of range: element 1", [&](Accuracy& m) {
    m.update(p, labels({0, 3}));
  });
  refused(Accuracy(), "labels is (3,)", [&](Accuracy& m) { m.update(p, labels({0, 1, 2})); });
  refused(Accuracy(), "mask is (3,)", [&](Accuracy& m) {
    m.update(p, labels({0, 1}), {.mask = Array<bool>(Shape{3}, true)});
  });
  refused(Accuracy(), "sample_weight is (3,)", [&](Accuracy& m) {
    m.update(p, labels({0, 1}), {.sample_weight = Array<double>(Shape{3}, 1.0)});
  });
  refused(Accuracy(), "sample_weight is nan", [&](Accuracy& m) {
    m.update(p, labels({0, 1}), {.sample_weight = Array<double>(Shape{2}, std::nan(""))});
  });
  refused(Accuracy(), "expected 0 to 1", [&](Accuracy& m) {
    m.update(V(Array<double>(Shape{1, 1}, 0.5)), labels({2}));
  });
  refused(Accuracy(), "target is (2, 2)", [&](Accuracy& m) {
    m.update(p, V(random_array<double>({2, 2}, 1)));
  });
  refused(BinaryAccuracy(), "target is (2, 2)", [&](BinaryAccuracy& m) {
    m.update(p, V(random_array<double>({2, 2}, 1)));
  });
  refused(TopKAccuracy(), "label out of range", [&](TopKAccuracy& m) {
    m.update(p, labels({-1, 0}));
  });
  refused(Perplexity(), "label out of range", [&](Perplexity& m) { m.update(p, labels({-1, 0})); });
  refused(Mean(), "weight is inf", [&](Mean& m) { m.update(1.0, HUGE_VAL); });
  refused(EditDistance(), "no reference", [](EditDistance& m) { m.update(Words{"a"}, {}); });
  refused(BLEU(), "no reference", [](BLEU& m) { m.update(Words{"a"}, {}); });
  CHECK_THROWS_AS(TopKAccuracy(0), ValueError);
  CHECK_THROWS_AS(Accuracy(std::nan("")), ValueError);
  CHECK_THROWS_AS(BinaryAccuracy(HUGE_VAL), ValueError);
  CHECK_THROWS_AS(BLEU({.max_order = 0}), ValueError);
  CHECK_THROWS_AS(BLEU({.max_order = 17}), ValueError);
  // A masked label may be anything; a NaN is not among the best.
  TopKAccuracy best(1);
  Array<bool> mask(Shape{2}, true);
  mask(1) = false;
  best.update(p, labels({argmax(p)(0), -100}), {.mask = mask});
  CHECK(best.result() == 1);
  best.update(V(Array<double>(Shape{1, 2}, std::nan(""))), labels({0}));
  CHECK(best.result() == 0.5);
}

TEST_CASE("a prediction that is not a number is never right") {
  const double nan = std::nan("");
  Accuracy classes, column, hot;
  BinaryAccuracy binary;
  classes.update(Var<double>(array<double>({3, 2}, {nan, nan, nan, 1, 0, 1})),
                 array<std::int64_t>({3}, {0, 1, 1}));
  CHECK(classes.result() == Approx(1.0 / 3));
  column.update(Var<double>(array<double>({2, 1}, {nan, 0.9})), array<std::int64_t>({2}, {0, 1}));
  CHECK(column.result() == 0.5);
  hot.update(Var<double>(array<double>({1, 2}, {nan, nan})),
             Var<double>(array<double>({1, 2}, {1, 0})));
  CHECK(hot.result() == 0);
  binary.update(Var<double>(array<double>({1, 2}, {nan, 0.1})),
                Var<double>(array<double>({1, 2}, {0, 0})));
  CHECK(binary.result() == 0.5);
}

TEST_CASE("merged metrics are one metric of all samples") {
  const auto feed = [](auto& metric, int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::vector<std::string> said{"a", i % 3 == 0 ? "b" : "c", "d", "e"};
      metric.update(said, {{"a", "b", "d", "e"}});
    }
  };
  const auto check = [&](auto one, auto left, auto right) {
    feed(one, 0, 9);
    feed(left, 0, 4);
    feed(right, 4, 9);
    left.merge(right.state());
    CHECK(left.state() == one.state());
    CHECK(left.result() == one.result());
    const std::vector<double> wrong(left.state().size() + 1);
    CHECK_THROWS_AS(left.merge(wrong), ValueError);
    CHECK(left.state() == one.state());
  };
  check(BLEU(), BLEU(), BLEU());
  check(EditDistance(), EditDistance(), EditDistance());
  Mean mean;
  mean.update(3.0, 2.0);
  mean.merge(std::vector<double>{4.0, 2.0});
  CHECK(mean.result() == 2.5);
}
