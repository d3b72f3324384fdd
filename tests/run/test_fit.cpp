// fit: the same as a loop written by hand, the order of hooks, and what it refuses.
#include "support/catch.hpp"
#include "support/training.hpp"

#include <sstream>

using namespace xtape;
using namespace xtape::test;

namespace {

template <class T> std::vector<Batch<T>> three_batches() {
  return {make_batch<T>(1), make_batch<T>(2), make_batch<T>(3, 2)};
}

}  // namespace

TEMPLATE_TEST_CASE("fit is the loop one would write", "", float, double) {
  using T = TestType;
  const std::vector<Batch<T>> batches = three_batches<T>();
  const std::vector<Batch<T>> held_out{make_batch<T>(8), make_batch<T>(9, 1)};

  Network<T> a;
  a.hidden.kernel().set_regularizer("l2");
  Adam<T> adam_a({.learning_rate = 0.05});
  Mean error_a("error");
  const auto step = [](Network<T>& net, Mean& error) {
    return [&](Tape<T>& tape, const Batch<T>& b) {
      const Var<T> y = net(tape.input(b.x));
      error.update(static_cast<double>(mean_absolute_error(y, Var<T>(b.y)).item()));
      return StepResult<T>(mean_squared_error(y, Var<T>(b.y)), static_cast<double>(b.x.shape()[0]));
    };
  };
  const History history = fit(a.params, adam_a, batches, step(a, error_a),
                              {.epochs = 3,
                               .validation = {held_out, step(a, error_a)},
                               .metrics = {&error_a},
                               .clip_norm = 0.5,
                               .seed = 11,
                               .progress = silent()});

  Network<T> b;
  b.hidden.kernel().set_regularizer("l2");
  Adam<T> adam_b({.learning_rate = 0.05});
  Mean error_b("error");
  const auto run = step(b, error_b);
  Tape<T> tape({.training = true, .seed = 11});
  for (std::size_t epoch = 0; epoch < 3; ++epoch) {
    Mean loss, norm;
    error_b.reset();
    for (const Batch<T>& batch : batches) {
      const StepResult<T> result = run(tape, batch);
      const Var<T> penalties = tape.penalties(b.params);
      const Var<T> total = result.loss + penalties;
      loss.update(static_cast<double>(total.item()), result.weight);
      Gradients<T> gradients = tape.backward(total);
      norm.update(gradients.global_norm());
      adam_b.step(b.params, gradients.clip_global_norm(0.5));
    }
    CHECK(history["loss"][epoch] == loss.result());
    CHECK(history["gradient_norm"][epoch] == norm.result());
    CHECK(history["error"][epoch] == error_b.result());
    error_b.reset();
    loss.reset();
    for (const Batch<T>& batch : held_out) {
      Tape<T> test({.record = false});
      const StepResult<T> result = run(test, batch);
      loss.update(static_cast<double>((result.loss + test.penalties(b.params)).item()),
                  result.weight);
    }
    CHECK(history["val_loss"][epoch] == loss.result());
    CHECK(history["val_error"][epoch] == error_b.result());
  }
  CHECK(a.params.values() == b.params.values());
  CHECK(history.epochs() == std::vector<std::int64_t>{0, 1, 2});
  CHECK(!history.stopped);
  CHECK(!history.interrupted);
  std::vector<std::string> names;
  for (const auto& column : history.columns()) names.push_back(column.first);
  CHECK(names == std::vector<std::string>{"loss", "error", "learning_rate", "gradient_norm",
                                          "val_loss", "val_error"});
  // And evaluate is what validation did.
  const Logs logs = evaluate(a.params, held_out, step(a, error_a), {.metrics = {&error_a}});
  CHECK(logs.at("loss") == history["val_loss"].back());
  CHECK(logs.at("error") == history["val_error"].back());
}

TEST_CASE("averages are put in place at the end, also when a step throws") {
  const auto batches = three_batches<double>();
  for (const bool throws : {false, true}) {
    Network<double> net;
    SGD<double> sgd({.learning_rate = 0.5}, {.use_ema = true, .ema_momentum = 0.5});
    int calls = 0;
    std::map<std::string, Array<double>> last;
    bool ended = false;
    LambdaCallback watch({.on_train_end = [&](Run&, const Logs&) { ended = true; },
                          .on_train_batch_end = [&](Run&, std::int64_t,
                                                    const Logs&) { last = net.params.values(); }});
    const auto train = [&] {
      fit(net.params, sgd, batches,
          [&](Tape<double>& tape, const Batch<double>& b) {
            if (throws && ++calls == 3) throw std::runtime_error("no");
            return net.step(tape, b);
          },
          {.callbacks = {&watch}, .progress = silent()});
    };
    if (throws) {
      CHECK_THROWS_AS(train(), std::runtime_error);
    } else {
      train();
    }
    CHECK(ended == !throws);
    CHECK(net.params.values() != last);
    CHECK(
        (net.params.at("output/bias").value() == sgd.state().arrays.at("sgd/average/output/bias")));
  }
}

TEST_CASE("validation measures the averages, and training goes on with the weights") {
  const auto batches = three_batches<double>();
  const std::vector<Batch<double>> held_out{make_batch<double>(8), make_batch<double>(9, 1)};
  const auto train = [&](bool validates, bool throws, std::map<std::string, Array<double>>& raw) {
    auto net = std::make_unique<Network<double>>();
    SGD<double> sgd({.learning_rate = 0.5}, {.use_ema = true, .ema_momentum = 0.5});
    const auto step = [&](Tape<double>& tape, const Batch<double>& b) {
      return net->step(tape, b);
    };
    LambdaCallback watch({.on_epoch_end =
                              [&](Run&, std::int64_t, Logs& logs) {
                                if (throws) throw std::runtime_error("no");
                                if (!validates) return;
                                CHECK(evaluate(net->params, held_out, step).at("loss") ==
                                      logs.at("val_loss"));
                                const auto averages = sgd.state().arrays;
                                CHECK((net->params.at("output/bias").value() ==
                                       averages.at("sgd/average/output/bias")));
                                CHECK((net->params.values() != raw));
                              },
                          .on_train_batch_end = [&](Run&, std::int64_t,
                                                    const Logs&) { raw = net->params.values(); }});
    FitOptions<double> options{.epochs = 3, .callbacks = {&watch}, .progress = silent()};
    if (validates) options.validation = {held_out, step};
    const auto run = [&] { return fit(net->params, sgd, batches, step, options); };
    if (throws) {
      CHECK_THROWS_AS(run(), std::runtime_error);
    } else {
      const History history = run();
      if (validates) {
        CHECK(evaluate(net->params, held_out, step).at("loss") == history["val_loss"].back());
      }
    }
    CHECK((net->params.at("output/bias").value() ==
           sgd.state().arrays.at("sgd/average/output/bias")));
  };
  std::map<std::string, Array<double>> with, without, thrown;
  train(true, false, with);
  train(false, false, without);
  train(false, true, thrown);
  CHECK(with == without);
}

TEST_CASE("steps, epochs and validation are as many as asked for") {
  const auto batches = three_batches<float>();
  Network<float> net;
  SGD<float> sgd;
  std::vector<std::string> calls;
  int validated = 0;
  const History history =
      fit(net.params, sgd, batches, [&](auto& tape, const auto& b) { return net.step(tape, b); },
          {.epochs = 5,
           .initial_epoch = 1,
           .steps_per_epoch = 2,
           .validation = {std::vector<Batch<float>>(batches),  // a temporary is kept
                          [&](Tape<float>& tape, const Batch<float>& b) {
                            ++validated;
                            CHECK(!tape.training());
                            return net.step(tape, b);
                          }},
           .validation_freq = 2,
           .validation_steps = 1,
           .log_optimizer = false,
           .progress = silent()});
  CHECK(history.epochs() == std::vector<std::int64_t>{1, 2, 3, 4});
  CHECK(history["loss"].size() == 4);
  CHECK(history["val_loss"].size() == 2);  // after epochs 2 and 4
  CHECK(!history.contains("learning_rate"));
  CHECK(validated == 2);
  CHECK(sgd.iterations() == 8);
}

TEST_CASE("a loss that is not finite is told once and changes no weight") {
  std::vector<Batch<double>> batches = three_batches<double>();
  batches[1].y(0, 0) = std::nan("");
  Network<double> net;
  SGD<double> sgd;
  Said said;
  const auto step = [&](auto& tape, const auto& b) { return net.step(tape, b); };
  const History history =
      fit(net.params, sgd, batches, step,
          {.epochs = 2, .clip_norm = 1.0, .progress = silent(), .message = said.sink()});
  CHECK(sgd.iterations() == 4);
  CHECK(std::isnan(history["loss"][1]));
  REQUIRE(said.texts.size() == 1);
  CHECK(contains(said.texts[0], "fit: loss is not finite: it is nan in batch 1 of epoch 0"));
  for (const auto& [path, value] : net.params.values()) {
    for (const double v : value) CHECK(std::isfinite(v));
  }

  TerminateOnNaN guard;
  Said again;
  const History stopped =
      fit(net.params, sgd, batches, step,
          {.epochs = 2, .callbacks = {&guard}, .progress = silent(), .message = again.sink()});
  CHECK(stopped.stopped);
  CHECK(stopped.epochs().size() == 1);
  CHECK(sgd.iterations() == 5);
  CHECK(again.texts.back() == "Batch 1: Invalid loss, terminating training");

  TerminateOnNaN strict({.raise_error = true});
  CHECK_THROWS_AS(fit(net.params, sgd, batches, step,
                      {.callbacks = {&strict}, .progress = silent(), .message = again.sink()}),
                  NonFiniteError);
}

TEST_CASE("gradients that are not finite are told once and change nothing") {
  for (const auto& clip_norm : {std::optional<double>(), std::optional(1.0)}) {
    for (const bool logged : {true, false}) {
      Params<float> params;
      const Parameter<float> w = params.scope().reserve("w");
      w.build(Shape{2}, "zeros", {});
      Adam<float> adam;
      Said said;
      // The slope of a root is infinite at 0, and a float's square beyond 1.8e19.
      const std::vector<float> batches{1, 1, 1e20F, 0};
      const auto step = [&](Tape<float>& tape, float b) {
        const Var<float> c = tape.input(Var<float>(b));
        const Var<float> x = w.value_for(c);
        return b == 1 ? sum(sqrt(x)) : sum(x * c);
      };
      const History history = fit(params, adam, batches, step,
                                  {.clip_norm = clip_norm,
                                   .log_optimizer = logged,
                                   .progress = silent(),
                                   .message = said.sink()});
      REQUIRE(said.texts.size() == 1);
      CHECK(contains(said.texts[0],
                     "fit: gradients are not finite in batch 0 of epoch 0, whose update was left "
                     "out"));
      CHECK(contains(said.texts[0], "gradient of 'w' holds a NaN or infinity"));
      CHECK(adam.iterations() == (clip_norm ? 2 : 1));
      for (const float v : w.value())
        CHECK((std::isfinite(v) && (v == 0) != clip_norm.has_value()));
      for (const auto& [name, array] : adam.state().arrays) {
        for (const float v : array) CHECK(std::isfinite(v));
      }
      CHECK(std::isfinite(history["loss"][0]));
    }
  }
}

TEST_CASE("what cannot be trained is refused before any work") {
  const auto batches = three_batches<double>();
  Network<double> net;
  SGD<double> sgd;
  int steps = 0;
  const auto step = [&](Tape<double>& tape, const Batch<double>& b) {
    ++steps;
    return net.step(tape, b);
  };
  Mean one("m"), two("m"), loss("loss");
  const auto refused = [&](FitOptions<double> options, const std::string& part) {
    options.progress.style = ProgressStyle::none;
    bool began = false;
    LambdaCallback watch({.on_train_begin = [&](Run&) { began = true; }});
    options.callbacks.push_back(&watch);
    const std::string text =
        error_of<ValueError>([&] { fit(net.params, sgd, batches, step, options); });
    INFO(text);
    CHECK(contains(text, part));
    CHECK(steps == 0);
    CHECK(!began);
  };
  refused({.epochs = -1}, "fit: epochs out of range: epochs is -1, expected 0 or more");
  refused({.initial_epoch = -1}, "initial_epoch is -1");
  refused({.steps_per_epoch = 0}, "steps_per_epoch is 0, expected a positive number");
  refused({.steps_per_epoch = 4}, "too few batches: steps(0) is 3, expected at least 4");
  refused({.validation_freq = 0}, "validation_freq is 0");
  refused({.validation_steps = 2}, "no validation: validation_steps is 2");
  refused({.validation = {std::vector<Batch<double>>(), step}}, "no batches: steps(0) is 0");
  refused({.clip_norm = 0.0}, "clip_norm is 0");
  refused({.metrics = {nullptr}}, "metrics: no metric: element 0 is null");
  refused({.metrics = {&one, &two}}, "element 1 is 'm', expected names that differ");
  refused({.metrics = {&loss}}, "element 0 is 'loss'");
  refused({.callbacks = {nullptr}}, "callbacks: no callback: element 0 is null");
  refused({.progress = {.width = 0}}, "width is 0");
  refused({.save_steps = -1}, "save_steps is -1");
  refused({.save_steps = 5}, "no checkpoints: save_steps is set but checkpoints is null");
  refused({.resume = true}, "no checkpoints: resume is true");
  refused({.best_monitor = "loss"}, "no checkpoints: best_monitor is set");
  const std::vector<Batch<double>> none;
  CHECK(contains(error_of<ValueError>([&] { fit(net.params, sgd, none, step); }),
                 "fit: no batches: steps(0) is 0, expected at least one"));
  CHECK(contains(error_of<ValueError>([&] { evaluate(net.params, none, step); }), "no batches"));
  CHECK(contains(error_of<ValueError>([&] { evaluate(net.params, batches, step, {.steps = 0}); }),
                 "evaluate: steps out of range: steps is 0"));
}

TEST_CASE("a step's loss must be a tracked scalar") {
  const auto batches = three_batches<double>();
  Network<double> net;
  SGD<double> sgd;
  const auto train = [&](auto step) {
    fit(net.params, sgd, batches, step, {.progress = silent()});
  };
  const auto loss_of = [&](Tape<double>& tape, const Batch<double>& b) {
    return net.step(tape, b).loss;
  };
  CHECK(contains(error_of<ShapeError>([&] {
                   train([&](auto& tape, const auto& b) { return net(tape.input(b.x)); });
                 }),
                 "fit: loss is not a scalar: loss is (4, 1), expected one element"));
  CHECK(contains(error_of<TapeError>([&] {
                   train([&](auto& tape, const auto& b) { return loss_of(tape, b).detach(); });
                 }),
                 "fit: loss without gradients"));
  CHECK(contains(
      error_of<ValueError>([&] { train([&](auto&, const auto&) { return Var<double>(); }); }),
      "fit: no loss"));
  for (const double weight : {-1.0, HUGE_VAL}) {
    CHECK(contains(error_of<ValueError>([&] {
                     train([&](auto& tape, const auto& b) {
                       return StepResult<double>(loss_of(tape, b), weight);
                     });
                   }),
                   "weight of the step"));
  }
}

TEST_CASE("batches that end before they said are an error, not a short epoch") {
  struct Liar {
    std::vector<Batch<double>> batches;
    [[nodiscard]] std::size_t steps(std::int64_t) const { return 5; }
    [[nodiscard]] std::span<const Batch<double>> epoch(std::int64_t, std::size_t first) const {
      return std::span(batches).subspan(first);
    }
  };
  Network<double> net;
  SGD<double> sgd;
  const std::string text = error_of<ValueError>([&] {
    fit(net.params, sgd, Liar{three_batches<double>()},
        [&](auto& tape, const auto& b) { return net.step(tape, b); }, {.progress = silent()});
  });
  CHECK(contains(text, "fit: batches ended too early: epoch 0 has 3, expected 5"));
}

TEST_CASE("reports: a line per epoch, with rate, norm, tokens and time left") {
  const auto batches = three_batches<float>();
  Network<float> net;
  SGD<float> sgd;
  std::ostringstream out;
  double now = 0;
  fit(net.params, sgd, batches, [&](auto& tape, const auto& b) { return net.step(tape, b); },
      {.epochs = 2, .progress = {.stream = &out, .clock = [&] { return now += 0.125; }}});
  const std::string text = out.str();
  INFO(text);
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK(contains(text, "Epoch 1/2 - 3/3 - "));
  CHECK(contains(text, "Epoch 2/2 - 3/3 - "));
  for (const char* part :
       {"ms/step - loss: ", " - learning_rate: 0.0100 - gradient_norm: ", " tokens/s", " left\n"}) {
    CHECK(contains(text, part));
  }
}
