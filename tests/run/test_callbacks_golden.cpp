// Callbacks against what Keras's do, from tests/golden/make/fit.py.
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/golden.hpp"
#include "support/training.hpp"

#include <memory>
#include <sstream>

using namespace xtape;
using namespace xtape::test;

namespace {

MonitorMode mode_of(const Json& options) {
  const std::string mode = options.value("mode", "auto");
  return mode == "max"   ? MonitorMode::max
         : mode == "min" ? MonitorMode::min
                         : MonitorMode::automatic;
}

/// Runs a callback as the script does: scripted logs, and a weight that is the number of the epoch.
struct Scripted {
  int epochs = 0;
  std::vector<double> rates;
  double weight = -1;

  Scripted(Callback& callback, const Json& columns, std::int64_t most, double rate) {
    Params<double> params;
    const Parameter<double> w = params.scope().reserve("w");
    params.set("w", Array<double>(Shape{1}, 0.0));
    w.build(Shape{1}, Initializer("zeros"), Fans{1, 1});
    SGD<double> sgd({.learning_rate = rate});
    LambdaCallback script({.on_epoch_end = [&](Run&, std::int64_t epoch, Logs& logs) {
      logs.clear();
      for (const auto& [name, values] : columns.items()) {
        const Json& value = values[static_cast<std::size_t>(epoch)];
        if (!value.is_null()) logs.set(name, value.get<double>());
      }
    }});
    LambdaCallback weights({.on_train_batch_end = [&](Run& run, std::int64_t, const Logs&) {
      params.set("w", Array<double>(Shape{1}, static_cast<double>(run.epoch())));
    }});
    LambdaCallback watch({.on_epoch_end = [&](Run& run, std::int64_t, Logs&) {
      ++epochs;
      rates.push_back(run.learning_rate());
    }});
    Said said;
    fit(params, sgd, std::vector<int>{0},
        [&](Tape<double>& tape, int) {
          return 0.0 * sum(w.value_for(tape.input(Var<double>(0.0))));
        },
        {.epochs = most,
         .callbacks = {&weights, &script, &callback, &watch},
         .progress = silent(),
         .message = said.sink()});
    weight = params.at("w").value()(0);
  }
};

}  // namespace

TEST_CASE("callbacks decide as Keras's do") {
  int cases = 0;
  for (const Json& c : golden("fit")) {
    const std::string kind = c.at("kind");
    if (kind != "early_stopping" && kind != "reduce_on_plateau") continue;
    ++cases;
    const Json& o = c.at("options");
    INFO(c.dump());
    const auto n = static_cast<std::int64_t>(c.at("columns").at("val_loss").size());
    std::unique_ptr<Callback> callback;
    if (kind == "early_stopping") {
      EarlyStopping::Options options{.min_delta = o.value("min_delta", 0.0),
                                     .patience = o.value("patience", 0),
                                     .mode = mode_of(o),
                                     .restore_best_weights = o.value("restore_best_weights", false),
                                     .start_from_epoch = o.value("start_from_epoch", 0)};
      if (o.contains("baseline")) options.baseline = o.at("baseline").get<double>();
      callback = std::make_unique<EarlyStopping>(options);
    } else {
      callback = std::make_unique<ReduceLROnPlateau>(
          ReduceLROnPlateau::Options{.factor = o.value("factor", 0.1),
                                     .patience = o.value("patience", 10),
                                     .mode = mode_of(o),
                                     .min_delta = o.value("min_delta", 1e-4),
                                     .cooldown = o.value("cooldown", 0),
                                     .min_lr = o.value("min_lr", 0.0)});
    }
    const double rate = kind == "early_stopping" ? 0.125 : 0.1;
    for (int again = 0; again < 2; ++again) {  // one object serves several fits
      const Scripted run(*callback, c.at("columns"), n, rate);
      CHECK(run.epochs == c.at("epochs").get<int>());
      CHECK(run.weight == c.at("weight").get<double>());
      CHECK(run.rates == c.at("rates").get<std::vector<double>>());
    }
  }
  CHECK(cases == 21);
}

TEST_CASE("CSVLogger writes what Keras's writes") {
  int cases = 0;
  for (const Json& c : golden("fit")) {
    if (c.at("kind") != "csv_logger") continue;
    ++cases;
    Directory folder;
    CSVLogger first({.path = folder / "log.csv"});
    Scripted(first, c.at("columns"), 2, 0.125);
    CSVLogger second({.path = folder / "log.csv", .append = true});
    Scripted(second, c.at("columns"), 3, 0.125);
    CHECK(read_text(folder / "log.csv") == c.at("text").get<std::string>());
  }
  CHECK(cases == 3);
}

TEST_CASE("hooks come in Keras's order") {
  int cases = 0;
  for (const Json& c : golden("fit")) {
    if (c.at("kind") != "hooks") continue;
    ++cases;
    std::vector<std::string> calls;
    const auto at = [&](const char* name) {
      return [&calls, name](Run&, std::int64_t i, auto&&...) {
        calls.push_back(std::string(name) + " " + std::to_string(i));
      };
    };
    LambdaCallback log({.on_epoch_begin = at("on_epoch_begin"),
                        .on_epoch_end = at("on_epoch_end"),
                        .on_train_begin = [&](Run&) { calls.push_back("on_train_begin"); },
                        .on_train_end = [&](Run&, const Logs&) { calls.push_back("on_train_end"); },
                        .on_train_batch_begin = at("on_train_batch_begin"),
                        .on_train_batch_end =
                            [&](Run& run, std::int64_t i, const Logs& logs) {
                              at("on_train_batch_end")(run, i, logs);
                              if (run.epoch() == 1 && i == 1) run.stop();
                            },
                        .on_test_begin = [&](Run&) { calls.push_back("on_test_begin"); },
                        .on_test_end = [&](Run&, const Logs&) { calls.push_back("on_test_end"); },
                        .on_test_batch_begin = at("on_test_batch_begin"),
                        .on_test_batch_end = at("on_test_batch_end")});
    Network<double> net;
    SGD<double> sgd;
    const std::vector<Batch<double>> batches{make_batch<double>(1), make_batch<double>(2),
                                             make_batch<double>(3)};
    const std::vector<Batch<double>> two(batches.begin(), batches.begin() + 2);
    const auto step = [&](auto& tape, const auto& b) { return net.step(tape, b); };
    const History history = fit(net.params, sgd, batches, step,
                                {.epochs = 3,
                                 .validation = {two, step},
                                 .validation_freq = 2,
                                 .callbacks = {&log},
                                 .progress = silent()});
    CHECK(calls == c.at("calls").get<std::vector<std::string>>());
    CHECK(history.stopped);
  }
  CHECK(cases == 1);
}

TEST_CASE("the progress bar looks like Keras's") {
  int cases = 0;
  for (const Json& c : golden("fit")) {
    if (c.at("kind") != "progress_bar") continue;
    ++cases;
    double now = 1000;
    std::ostringstream out;
    const bool is_bar = c.at("verbose") == 1;
    ProgressBar bar({.style = is_bar ? ProgressStyle::bar : ProgressStyle::lines,
                     .stream = &out,
                     .color = is_bar,
                     .clock = [&] { return now; }});
    const std::int64_t total = c.at("total");
    bar.begin("", total);
    for (std::size_t i = 0; i < c.at("steps").size(); ++i) {
      now = 1000 + c.at("times")[i].get<double>();
      Logs values;
      for (const Json& v : c.at("values")[i]) values.set(v[0].get<std::string>(), v[1]);
      const std::int64_t step = c.at("steps")[i];
      if (step == total) {
        bar.finish(step, values);
      } else {
        bar.update(step, values);
      }
    }
    CHECK(out.str() == c.at("text").get<std::string>());
  }
  CHECK(cases == 5);
}
