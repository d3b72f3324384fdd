// Callbacks one by one, in a loop without fit: what Keras documents, and what goes wrong elsewhere.
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/training.hpp"

#include <sys/stat.h>

using namespace xtape;
using namespace xtape::test;

namespace {

/// A model of one weight, and the run that callbacks see.
struct Small {
  Params<double> params;
  Parameter<double> weight = params.scope().reserve("w");
  SGD<double> sgd;
  Mean error{"error"}, hits{"hits", true};
  Said said;
  RunOf<double> run;

  explicit Small(Schedule rate = 0.1)
      : sgd({.learning_rate = std::move(rate)}),
        run(params, sgd, {.epochs = 100, .metrics = {&error, &hits}, .message = said.sink()}) {
    weight.build(Shape{1}, Initializer("zeros"), Fans{1, 1});
  }
  void set(double value) { params.set("w", Array<double>(Shape{1}, value)); }

  /// Epochs until it stops; the weight is the epoch's number.
  int train(Callback& callback, const std::string& name, const std::vector<double>& values) {
    RunOf<double> fresh(params, sgd,
                        {.epochs = 100, .metrics = {&error, &hits}, .message = said.sink()});
    callback.on_train_begin(fresh);
    int epochs = 0;
    for (const double value : values) {
      set(epochs);
      fresh.set_epoch(epochs);
      Logs logs{{name, value}};
      callback.on_epoch_end(fresh, epochs++, logs);
      if (fresh.stopping()) break;
    }
    callback.on_train_end(fresh, {});
    return epochs;
  }
};

}  // namespace

TEST_CASE("EarlyStopping: the sequences of the specification") {
  Small s;
  const std::vector<double> losses{10, 9, 8, 9, 8.9, 8.8, 8.7, 8.6, 8.5, 8.4, 8.3};
  for (std::int64_t patience = 0; patience < 6; ++patience) {
    EarlyStopping early({.patience = patience});
    s.train(early, "val_loss", losses);
    CHECK(early.stopped_epoch() == std::max<std::int64_t>(patience, 1) + 2);
    CHECK(early.best_epoch() == 2);
    CHECK(early.best() == 8.0);
    // It can be used again.
    s.train(early, "val_loss", losses);
    CHECK(early.stopped_epoch() == std::max<std::int64_t>(patience, 1) + 2);
  }
  EarlyStopping early({.patience = 5, .baseline = 0.5, .restore_best_weights = true});
  CHECK(s.train(early, "val_loss", {.9, .8, .7, .71, .72, .73, .74}) == 5);
  CHECK(s.weight.value()(0) == 2);
}

TEST_CASE("directions come from the metric, and are asked for where nobody knows") {
  Small s;
  for (const char* name : {"loss", "val_loss", "error", "val_error"}) {
    EarlyStopping early({.monitor = name, .patience = 1});
    CHECK(s.train(early, name, {3, 2, 1, 2}) == 4);
  }
  for (const char* name : {"hits", "val_hits"}) {
    EarlyStopping early({.monitor = name, .patience = 1});
    CHECK(s.train(early, name, {1, 2, 3, 2}) == 4);
  }
  for (const char* name : {"val_unknown", "gradient_norm"}) {
    EarlyStopping early({.monitor = name});
    const std::string text = error_of<ValueError>([&] { early.on_train_begin(s.run); });
    INFO(text);
    CHECK(contains(text, std::string("EarlyStopping: direction unknown: monitor is '") + name));
    CHECK(contains(text, "set mode to MonitorMode::max or MonitorMode::min"));
    EarlyStopping told({.monitor = name, .mode = MonitorMode::max});
    CHECK_NOTHROW(told.on_train_begin(s.run));
  }
}

TEST_CASE("NaN is never an improvement, not even the first") {
  Small s;
  EarlyStopping early({.patience = 2});
  CHECK(s.train(early, "val_loss", {std::nan(""), 2, 1, std::nan(""), std::nan("")}) == 5);
  CHECK(early.best() == 1.0);
}

TEST_CASE("a number that is missing is told once, and nothing else happens") {
  Small s;
  EarlyStopping early({.patience = 1});
  CHECK(s.train(early, "loss", {1, 2, 3, 4}) == 4);
  REQUIRE(s.said.texts.size() == 1);
  CHECK(s.said.texts[0] ==
        "EarlyStopping: number missing: monitor is 'val_loss', expected one of the logs: loss");
  ReduceLROnPlateau plateau({.patience = 1});
  s.train(plateau, "loss", {1, 2, 3});
  CHECK(s.said.texts.size() == 2);
  CHECK(s.sgd.learning_rate() == 0.1);
}

TEST_CASE("ReduceLROnPlateau: two cuts in four flat epochs with a cooldown of 2") {
  Small s;
  ReduceLROnPlateau plateau({.patience = 1, .cooldown = 2, .verbose = true});
  s.train(plateau, "val_loss", {1, 1, 1, 1});
  CHECK(s.sgd.learning_rate() == Approx(0.001).epsilon(1e-15));
  REQUIRE(s.said.texts.size() == 2);
  CHECK(s.said.texts[0] == "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.01.");
  Logs logs{{"val_loss", 1.0}};
  plateau.on_epoch_end(s.run, 4, logs);
  CHECK(logs.at("learning_rate") == Approx(0.001).epsilon(1e-15));
}

TEST_CASE("learning rates that cannot be set are refused at the beginning") {
  Small s{Schedule(schedules::ExponentialDecay{
      .initial_learning_rate = 0.1, .decay_steps = 10, .decay_rate = 0.5})};
  ReduceLROnPlateau plateau;
  LearningRateScheduler scheduler([](std::int64_t, double rate) { return rate; });
  for (Callback* c : std::initializer_list<Callback*>{&plateau, &scheduler}) {
    const std::string text = error_of<ValueError>([&] { c->on_train_begin(s.run); });
    CHECK(contains(text, "learning rate cannot be set: the optimizer's is a schedule"));
  }
  Small plain;
  for (const double rate : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    LearningRateScheduler bad([&](std::int64_t, double) { return rate; });
    CHECK_THROWS_AS(bad.on_epoch_begin(plain.run, 0), ValueError);
    CHECK(plain.sgd.learning_rate() == 0.1);
  }
  LearningRateScheduler good(
      [](std::int64_t epoch, double rate) { return epoch < 2 ? rate : 0.5 * rate; }, true);
  Logs logs;
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    good.on_epoch_begin(plain.run, epoch);
    good.on_epoch_end(plain.run, epoch, logs);
  }
  CHECK(logs.at("learning_rate") == 0.025);
  CHECK(plain.said.texts.back() ==
        "Epoch 4: LearningRateScheduler setting learning rate to 0.025.");
}

TEST_CASE("ModelCheckpoint: names, best only, thresholds, batches") {
  Small s;
  Directory d;
  ModelCheckpoint every(
      {.path = d / "a/w-{epoch:02d}-{val_loss:.2f}.npz", .save_weights_only = true});
  s.train(every, "val_loss", {0.5, 0.25});
  CHECK(std::filesystem::exists(d / "a/w-01-0.50.npz"));
  CHECK(every.last_path() == d / "a/w-02-0.25.npz");
  Params<double> loaded;
  load(loaded, every.last_path());
  const Parameter<double> w = loaded.scope().reserve("w");
  w.build(Shape{1}, Initializer("zeros"), Fans{1, 1});
  CHECK(w.value()(0) == 1);

  ModelCheckpoint best({.path = d / "best-{epoch}.safetensors",
                        .save_best_only = true,
                        .save_weights_only = true,
                        .initial_value_threshold = 3.0,
                        .verbose = true});
  s.said.texts.clear();
  s.train(best, "val_loss", {4, 2, 2, 1});
  CHECK(!std::filesystem::exists(d / "best-1.safetensors"));
  CHECK(std::filesystem::exists(d / "best-2.safetensors"));
  CHECK(!std::filesystem::exists(d / "best-3.safetensors"));
  CHECK(std::filesystem::exists(d / "best-4.safetensors"));
  REQUIRE(s.said.texts.size() == 4);
  CHECK(s.said.texts[0] == "Epoch 1: val_loss did not improve from 3.00000");
  CHECK(s.said.texts[3] == "Epoch 4: val_loss improved from 2.00000 to 1.00000, saving model to " +
                               d / "best-4.safetensors");
  // As in Keras a missing number is told, and the model saved.
  ModelCheckpoint missing(
      {.path = d / "m.safetensors", .save_best_only = true, .save_weights_only = true});
  s.train(missing, "loss", {1});
  CHECK(std::filesystem::exists(d / "m.safetensors"));

  // So many batches, counted on across epochs.
  ModelCheckpoint batches(
      {.path = d / "b-{epoch}-{batch}.safetensors", .save_weights_only = true, .save_freq = 4});
  batches.on_train_begin(s.run);
  std::vector<std::string> saved;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    s.run.set_epoch(epoch);
    for (std::int64_t batch = 0; batch < 3; ++batch) {
      batches.on_train_batch_end(s.run, batch, {});
      if (saved.empty() || saved.back() != batches.last_path())
        saved.push_back(batches.last_path());
    }
  }
  CHECK(saved == std::vector<std::string>{"", d / "b-2-1.safetensors", d / "b-3-2.safetensors"});

  // The whole state waits until all callbacks are through.
  ModelCheckpoint whole({.path = d / "whole.safetensors"});
  Logs logs;
  whole.on_epoch_end(s.run, 0, logs);
  CHECK(s.run.wants_save());
  CHECK(!std::filesystem::exists(d / "whole.safetensors"));
  s.run.save_now({.epoch = 1});
  SGD<double> other;
  CHECK(load_checkpoint(d / "whole.safetensors", s.params, other).epoch == 1);
}

TEST_CASE("ModelCheckpoint refuses endings, placeholders and names it does not know") {
  const auto refused = [](ModelCheckpoint::Options options) {
    return error_of<ValueError>([&] { ModelCheckpoint c(options); });
  };
  CHECK(contains(refused({}), "ModelCheckpoint: ending unknown: path is ''"));
  CHECK(contains(refused({.path = "a.keras"}), "expected .safetensors"));
  CHECK(contains(refused({.path = "a.npz"}), ".npz is for save_weights_only"));
  CHECK(contains(refused({.path = "a.safetensors", .save_freq = -1}), "save_freq is -1"));
  CHECK(contains(refused({.path = "a.safetensors", .monitor = ""}), "no number to watch"));
  for (const char* path :
       {"{", "}", "{epoch", "{}", "{epoch:}", "{epoch:q}", "{a:.f}", "{a:1.2d}", "{a:9999d}"}) {
    INFO(path);
    const std::string text = refused({.path = std::string(path) + ".safetensors"});
    if (std::string(path) == "{epoch:}") {
      CHECK(text.empty());  // an empty format is one, as in Python
    } else {
      CHECK(contains(text, "malformed path"));
    }
  }
  Small s;
  Directory d;
  ModelCheckpoint c({.path = d / "{val_loss}.safetensors", .save_weights_only = true});
  Logs logs{{"loss", 1.0}};
  CHECK(contains(error_of<ValueError>([&] { c.on_epoch_end(s.run, 0, logs); }),
                 "placeholder without a number: 'val_loss'"));
  ModelCheckpoint whole({.path = d / "{loss:d}.safetensors", .save_weights_only = true});
  logs.set("loss", 0.5);
  CHECK(contains(error_of<ValueError>([&] { whole.on_epoch_end(s.run, 0, logs); }),
                 "placeholder for a whole number: 'loss'"));
  ModelCheckpoint braces({.path = d / "{{{epoch:3d}}}.safetensors", .save_weights_only = true});
  braces.on_epoch_end(s.run, 6, logs);
  CHECK(d.files() == std::vector<std::string>{"{  7}.safetensors"});
}

TEST_CASE("CSVLogger: refusals, separators, and files that cannot be written") {
  CHECK_THROWS_AS(CSVLogger(CSVLogger::Options{}), ValueError);
  CHECK_THROWS_AS(CSVLogger({.path = "a", .separator = '"'}), ValueError);
  Small s;
  Directory d;
  CSVLogger nowhere({.path = d / "none/log.csv"});
  CHECK(contains(error_of<IoError>([&] { nowhere.on_train_begin(s.run); }),
                 d / "none/log.csv" + ": cannot be opened: No such file or directory"));
  CSVLogger csv({.path = d / "log.csv", .separator = ';'});
  s.train(csv, "val_a;b", {-0.0, std::nan("")});
  CHECK(read_text(d / "log.csv") == "epoch;\"val_a;b\"\n0;-0.0\n1;nan\n");
  REQUIRE(::mkfifo((d / "pipe").c_str(), 0600) == 0);
  CSVLogger pipe({.path = d / "pipe"});  // nobody reads: it must not wait
  CHECK(contains(error_of<IoError>([&] { pipe.on_train_begin(s.run); }),
                 d / "pipe" + ": cannot be opened"));
  CSVLogger full({.path = "/dev/full"});
  full.on_train_begin(s.run);
  Logs logs{{"loss", 1.0}};
  if (std::filesystem::exists("/dev/full")) {
    CHECK(error_of<IoError>([&] { full.on_epoch_end(s.run, 0, logs); }) != "");
  }
}

TEST_CASE("TensorBoard: folders for training and validation, batches when asked for") {
  const auto files = [](const std::string& folder) {
    std::string all;
    if (!std::filesystem::exists(folder)) return all;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      all += read_text(entry.path().string());
    }
    return all;
  };
  const std::vector<Batch<double>> batches{make_batch<double>(1), make_batch<double>(2)};
  const auto train = [&](TensorBoard::Options options, bool validate) {
    Network<double> net;
    SGD<double> sgd;
    TensorBoard board(options);
    const auto step = [&](auto& tape, const auto& b) { return net.step(tape, b); };
    FitOptions<double> o{
        .epochs = 2, .callbacks = {&board}, .log_optimizer = false, .progress = silent()};
    if (validate) o.validation = {batches, step};
    fit(net.params, sgd, batches, step, o);
  };
  Directory d;
  train({.log_dir = d / "a"}, false);
  CHECK(!std::filesystem::exists(d / "a/validation"));
  const std::string a = files(d / "a/train");
  CHECK(contains(a, "epoch_loss"));
  CHECK(contains(a, "epoch_learning_rate"));
  CHECK(!contains(a, "batch_loss"));
  CHECK(!contains(a, "histogram"));
  train({.log_dir = d / "b", .update_freq = 1, .histogram_freq = 1}, true);
  const std::string b = files(d / "b/train");
  CHECK(contains(b, "batch_loss"));
  CHECK(contains(b, "hidden/kernel/histogram"));
  const std::string v = files(d / "b/validation");
  for (const char* tag : {"epoch_loss", "evaluation_loss_vs_iterations", "batch_loss"}) {
    CHECK(contains(v, tag));
  }
  CHECK(!contains(v, "val_"));
  write_text(d / "file", "");
  CHECK_THROWS_AS(train({.log_dir = d / "file"}, false), IoError);
}

TEST_CASE("options out of range are refused when a callback is made") {
  CHECK_THROWS_AS(EarlyStopping({.monitor = ""}), ValueError);
  CHECK_THROWS_AS(EarlyStopping({.min_delta = std::nan("")}), ValueError);
  CHECK_THROWS_AS(EarlyStopping({.patience = -1}), ValueError);
  CHECK_THROWS_AS(EarlyStopping({.baseline = HUGE_VAL}), ValueError);
  CHECK_THROWS_AS(EarlyStopping({.start_from_epoch = -1}), ValueError);
  for (const double factor : {0.0, 1.0, 1.5, std::nan("")}) {
    CHECK(contains(error_of<ValueError>([&] { ReduceLROnPlateau({.factor = factor}); }),
                   "ReduceLROnPlateau: factor out of range"));
  }
  CHECK_THROWS_AS(ReduceLROnPlateau({.patience = -1}), ValueError);
  CHECK_THROWS_AS(ReduceLROnPlateau({.cooldown = -1}), ValueError);
  CHECK_THROWS_AS(ReduceLROnPlateau({.min_lr = -1.0}), ValueError);
  CHECK_THROWS_AS(LearningRateScheduler({}), ValueError);
  CHECK_THROWS_AS(TensorBoard({.log_dir = ""}), ValueError);
  CHECK_THROWS_AS(TensorBoard({.update_freq = -1}), ValueError);
  CHECK_THROWS_AS(TensorBoard({.histogram_freq = -1}), ValueError);
  CHECK_THROWS_AS(BackupAndRestore({}), ValueError);
  CHECK_THROWS_AS(BackupAndRestore({.backup_dir = "a", .save_freq = -1}), ValueError);
}
