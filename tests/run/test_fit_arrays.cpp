// fit, evaluate and predict on arrays: Keras's numbers, and everything that is refused.

#include "support/files.hpp"
#include "support/golden.hpp"
#include "support/training.hpp"

#include <sstream>

using namespace xtape;
using namespace xtape::test;

namespace {

/// The models of tests/golden/make/fit_arrays.py.
struct Small {
  Params<double> params;
  Dense<double> hidden, output;
  Small(int units, const char* activation)
      : params({.seed = 1}),
        hidden(params.scope() / "hidden", {.units = 4, .activation = "tanh"}),
        output(params.scope() / "output", {.units = units, .activation = activation}) {}
  Var<double> operator()(const Var<double>& x) const { return output(hidden(x)); }
  void load(const Json& weights) {
    const char* names[] = {"hidden/kernel", "hidden/bias", "output/kernel", "output/bias"};
    for (std::size_t i = 0; i < 4; ++i) params.set(names[i], golden_array<double>(weights[i]));
  }
};

template <class Y, class M>
void compare(const Json& c, Errors& errors, Small model, double rate, const char* loss, M metric,
             const char* metric_name) {
  const Json& o = c["options"];
  const Array<double> x = golden_array<double>(c["x"]);
  const Array<Y> y = golden_array<Y>(c["y"]);
  model.load(c["weights"]);
  SGD<double> sgd({.learning_rate = rate});
  ArrayFitOptions<double, double, Y> options{.loss = loss,
                                             .metrics = {&metric},
                                             .epochs = 3,
                                             .batch_size = o.value("batch_size", std::size_t{32}),
                                             .shuffle = false,
                                             .validation_split = o.value("validation_split", 0.0),
                                             .progress = silent()};
  if (o.value("sample_weight", false))
    options.sample_weight = golden_array<double>(c["sample_weight"]);
  if (o.contains("class_weight")) {
    for (const auto& [label, weight] : o["class_weight"].items()) {
      options.class_weight[std::stoll(label)] = weight.template get<double>();
    }
  }
  const History history = fit(model.params, sgd, model, x, y, options);
  for (const auto& [name, values] : c["history"].items()) {
    const std::string ours = name;
    for (std::size_t i = 0; i < values.size(); ++i) {
      errors.add(ours, std::abs(history[ours][i] - values[i].template get<double>()));
    }
  }
  const Logs logs =
      evaluate(model.params, model, x, y,
               {.loss = loss, .metrics = {&metric}, .batch_size = 7, .progress = silent()});
  errors.add("evaluated loss", std::abs(logs.at("loss") - c["evaluation"]["loss"].get<double>()));
  errors.add("evaluated metric",
             std::abs(logs.at(metric_name) - c["evaluation"][metric_name].get<double>()));
  const Array<double> p = predict(model.params, model, x, {.batch_size = 10, .progress = silent()});
  errors.add("prediction", difference(p, golden_array<double>(c["prediction"])));
}

struct Data {
  Array<double> x = random_array<double>({20, 3}, 1);
  Array<double> y = random_array<double>({20, 2}, 2);
  Array<std::int64_t> labels{Shape{20}};
  Data() {
    for (std::size_t i = 0; i < 20; ++i) labels(i) = x(i, 0) > 0 ? 1 : 0;
  }
};

}  // namespace

TEST_CASE("fit on arrays ends with Keras's numbers") {
  const Json cases = golden("fit_arrays");
  Errors errors("fit on arrays", 1e-12);
  for (const Json& c : cases) {
    errors.begin(c["name"].get<std::string>());
    if (c["y"]["shape"].size() == 1) {
      compare<std::int64_t>(c, errors, Small(3, "softmax"), 0.5, "sparse_categorical_crossentropy",
                            Accuracy(), "accuracy");
    } else {
      compare<double>(c, errors, Small(2, "linear"), 0.1, "mse", MeanAbsoluteError(),
                      "mean_absolute_error");
    }
  }
  CHECK(errors.cases() == 6);
}

TEST_CASE("fit on arrays is fit on their batches") {
  const Data data;
  Small one(2, "linear"), two(2, "linear");
  Adam<double> adam, other;
  const History a =
      fit(one.params, adam, one, data.x, data.y,
          {.loss = "mse", .epochs = 3, .batch_size = 6, .seed = 5, .progress = silent()});
  const auto batches = Batches<test::Batch<double>>(
      20, {.batch_size = 6, .seed = 5}, [&](std::span<const std::size_t> at) {
        return test::Batch<double>{rows(data.x, at), rows(data.y, at)};
      });
  const History b =
      fit(two.params, other, batches,
          [&](Tape<double>& tape, const test::Batch<double>& batch) {
            return StepResult<double>(mean_squared_error(two(tape.input(batch.x)), batch.y),
                                      static_cast<double>(batch.y.shape()[0]));
          },
          {.epochs = 3, .seed = 5, .progress = silent()});
  CHECK(a == b);
  CHECK(same_bits(one.output.kernel().value(), two.output.kernel().value()));
}

TEST_CASE("fit on arrays takes checkpoints, shards, held-out data, ids and expressions") {
  const Data data;
  Directory folder;
  Small model(2, "linear");
  Adam<double> adam;
  R2Score r2;
  Checkpoints checkpoints(folder.path());
  const History first = fit(model.params, adam, model, data.x, data.y,
                            {.loss = "mse",
                             .metrics = {&r2},
                             .epochs = 2,
                             .validation_data = {{data.x, data.y}},
                             .progress = silent(),
                             .more = {.checkpoints = &checkpoints, .shards = 2}});
  CHECK(first["val_loss"].size() == 2);
  Small again(2, "linear");
  Adam<double> fresh;
  const History resumed = fit(again.params, fresh, again, data.x, data.y,
                              {.loss = "mse",
                               .metrics = {&r2},
                               .epochs = 3,
                               .validation_data = {{data.x, data.y}},
                               .progress = silent(),
                               .more = {.checkpoints = &checkpoints, .resume = true, .shards = 2}});
  CHECK(resumed["val_loss"].size() == 3);
  CHECK(resumed["val_loss"][0] == first["val_loss"][0]);
  CHECK(resumed["r2_score"][1] == first["r2_score"][1]);

  Params<float> params({.seed = 1});
  const Embedding<float> table(params.scope() / "table", {.input_dim = 2, .output_dim = 3});
  const Dense<float> head(params.scope() / "head", {.units = 1, .activation = "sigmoid"});
  const auto classify = [&](const Tokens<float>& ids) { return head(table(ids)); };
  Adam<float> sgd({.learning_rate = 0.5});
  F1 f1;
  AUC auc;
  const History h = fit(
      params, sgd, classify, data.labels, data.labels,
      {.loss = "binary_crossentropy", .metrics = {&f1, &auc}, .epochs = 20, .progress = silent()});
  CHECK(h["f1_score"].back() == 1);
  CHECK(h["auc"].back() == Approx(1));
  const Array<float> p = predict(params, classify, data.labels, {.progress = silent()});
  CHECK(p.shape() == Shape{20, 1});
  const auto expression =
      predict(params, classify, data.labels + std::int64_t{0}, {.progress = silent()});
  CHECK(same_bits(p, expression));
}

TEST_CASE("predict and evaluate show their bar, and predict records nothing") {
  const Data data;
  Small model(2, "linear");
  std::ostringstream out;
  double now = 0;
  const ProgressOptions bar{
      .style = ProgressStyle::lines, .stream = &out, .clock = [&] { return now += 1; }};
  Dropout<double> dropout({.rate = 0.5});
  const auto noisy = [&](const Var<double>& x) { return dropout(model(x)); };
  const Array<double> p = predict(model.params, noisy, data.x, {.batch_size = 8, .progress = bar});
  CHECK(same_bits(p, model(Var<double>(data.x)).value()));
  CHECK(contains(out.str(), "3/3"));
  out.str("");
  evaluate(model.params, noisy, data.x, data.y, {.loss = "mse", .progress = bar});
  CHECK(contains(out.str(), "1/1"));
  CHECK(contains(out.str(), "loss: "));
  // Weights of samples in the loss.
  Array<double> weight(Shape{20}, 0.0);
  weight(3) = 2;
  const double loss = evaluate(model.params, model, data.x, data.y,
                               {.loss = "mse", .sample_weight = weight, .progress = silent()})
                          .at("loss");
  const std::vector<std::size_t> third{3};
  CHECK(
      loss ==
      Approx(
          mean_squared_error(model(Var<double>(rows(data.x, third))), rows(data.y, third)).item() /
          10));
}

TEST_CASE("fit on arrays refuses what does not fit, before any work") {
  const Data data;
  Small model(2, "linear");
  Adam<double> adam;
  using Options = ArrayFitOptions<double, double, double>;
  const auto refused = [&](const char* part, Options options) {
    options.progress = silent();
    std::string text;
    try {
      fit(model.params, adam, model, data.x, data.y, options);
    } catch (const Error& e) {
      text = e.what();
    }
    INFO(text);
    CHECK(contains(text, part));
    CHECK_FALSE(model.output.kernel().built());
  };
  const Array<double> weight(Shape{20}, 1.0);
  refused("no loss", {});
  refused("validation_split is 1", {.loss = "mse", .validation_split = 1});
  refused("validation_split leaves nothing", {.loss = "mse", .validation_split = 0.999});
  refused("validation_split and validation_data",
          {.loss = "mse", .validation_split = 0.5, .validation_data = {{data.x, data.y}}});
  refused("class_weight and sample_weight",
          {.loss = "mse", .class_weight = {{0, 1.0}}, .sample_weight = weight});
  refused("class_weight is -1", {.loss = "mse", .class_weight = {{0, -1.0}}});
  refused("class_weight without a class", {.loss = "mse", .class_weight = {{0, 1.0}}});
  refused("sample_weight is (3,), expected (20,)",
          {.loss = "mse", .sample_weight = Array<double>(Shape{3}, 1.0)});
  refused("takes none", {.loss = [](const auto& p, const auto& y) { return sum(p - y); },
                         .sample_weight = weight});
  refused("batch_size out of range", {.loss = "mse", .batch_size = 0});
  refused("more.epochs is set", {.loss = "mse", .more = {.epochs = 3}});
  refused("more.seed is set", {.loss = "mse", .more = {.seed = 3}});
  refused("more.progress is set",
          {.loss = "mse", .more = {.progress = {.style = xtape::ProgressStyle::none}}});
  refused("fit: validation_data: samples do not fit: x is (20, 3), y is (3,)",
          {.loss = "mse", .validation_data = {{data.x, Array<double>(Shape{3}, 1.0)}}});
  const auto samples = [&](const Shape& x, const Shape& y) {
    return error_of<ShapeError>([&] {
      fit(model.params, adam, model, Array<double>(x, 1.0), Array<double>(y, 1.0), {.loss = "mse"});
    });
  };
  CHECK(contains(samples({20, 3}, {19, 2}), "x is (20, 3), y is (19, 2)"));
  CHECK(contains(samples({0, 3}, {0, 2}), "1 or more"));
  CHECK(contains(samples({}, {}), "samples do not fit"));
  CHECK_THROWS_AS(fit(model.params, adam, model, data.x, Array<double>(Shape{20, 2, 1}, 1.0),
                      {.loss = "mse", .class_weight = {{0, 1.0}}}),
                  ShapeError);
  CHECK_THROWS_AS(predict(model.params, model, data.x, {.batch_size = 0}), ValueError);
  const auto bad = [](const Var<double>& x) { return sum(x); };
  CHECK(contains(
      error_of<ShapeError>([&] { predict(model.params, bad, data.x, {.progress = silent()}); }),
      "the result of 20 rows is ()"));
}
