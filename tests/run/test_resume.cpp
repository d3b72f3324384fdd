// A run that is interrupted and goes on ends with the same bytes as one that is not.
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/training.hpp"

#include <csignal>

using namespace xtape;
using namespace xtape::test;

namespace {

constexpr std::int64_t kEpochs = 5;
constexpr std::size_t kBatches = 4;

struct Outcome {
  History history;
  std::map<std::string, Array<double>> weights;
  std::string checkpoint, csv;
};

struct Interruption {
  std::int64_t after = -1;  // steps; -1: none
  bool kill = false;        // by an exception, as if the process had been killed
};

struct Killed {};

/// Everything that has a state: Adam, an average, a schedule or callbacks that set the rate, dropout,
/// metrics, callbacks, batches that depend on the epoch.
Outcome run(const Directory& folder, bool schedule, bool resume, Interruption stop,
            std::int64_t save_steps = 0, std::int64_t epochs = kEpochs) {
  Network<double> net;
  const Schedule rate =
      schedule ? Schedule(schedules::CosineDecay{.initial_learning_rate = 0.1, .decay_steps = 20})
               : Schedule(0.1);
  Adam<double> adam({.learning_rate = rate}, {.use_ema = true, .ema_momentum = 0.9});
  Checkpoints checkpoints(folder / "run", {.keep = 2});
  const StopSignals signals;
  Mean error("error");
  EditDistance words;
  const std::vector<std::string> reference{"a", "b", "c"};
  const auto step = [&](Tape<double>& tape, const Batch<double>& b) {
    const StepResult<double> result = net.step(tape, b);
    error.update(result.loss.item(), 0.5);
    const std::string letter = b.x(0, 0) > 0 ? "b" : "c";
    words.update(std::vector<std::string>{"a", letter, "c"}, {reference});
    return result;
  };
  // The loss after the second epoch is not among the best.
  EarlyStopping early({.monitor = "val_loss", .patience = 2, .restore_best_weights = true});
  EarlyStopping other({.monitor = "error", .patience = 9});
  ReduceLROnPlateau plateau({.monitor = "loss", .patience = 1, .min_delta = 0.5, .cooldown = 1});
  LearningRateScheduler decay([](std::int64_t, double old) { return old * 0.9; });
  CSVLogger csv({.path = folder / "log.csv"});
  ModelCheckpoint best({.path = folder / "best-{epoch:02d}.safetensors",
                        .save_best_only = true,
                        .save_weights_only = true});
  ModelCheckpoint every({.path = folder / "every.safetensors", .save_freq = 3});
  LambdaCallback interrupt({.on_train_batch_end = [&](Run& r, std::int64_t, const Logs&) {
    if (r.step() != stop.after) return;
    if (stop.kill) throw Killed();
    std::raise(SIGTERM);
  }});
  std::vector<Callback*> callbacks{&early, &other, &csv, &best, &every, &interrupt};
  if (!schedule) callbacks.insert(callbacks.begin(), {&plateau, &decay});
  const std::vector<Batch<double>> held_out{make_batch<double>(901), make_batch<double>(902, 1)};
  Outcome out;
  try {
    out.history = fit(net.params, adam, background_batches<double>(kBatches), step,
                      {.epochs = epochs,
                       .validation = {held_out, step},
                       .metrics = {&error, &words},
                       .callbacks = callbacks,
                       .clip_norm = 1.0,
                       .seed = 5,
                       .progress = silent(),
                       .checkpoints = &checkpoints,
                       .save_steps = save_steps,
                       .best_monitor = "val_loss",
                       .resume = resume,
                       .signals = &signals});
  } catch (const Killed&) {
  }
  out.weights = net.params.values();
  if (!checkpoints.files().empty()) out.checkpoint = read_text(checkpoints.files().back());
  out.csv = read_text(folder / "log.csv");
  return out;
}

void check_same(const Outcome& a, const Outcome& b) {
  CHECK(a.history == b.history);
  CHECK(a.checkpoint == b.checkpoint);
  CHECK(a.csv == b.csv);
  REQUIRE(a.weights.size() == b.weights.size());
  for (const auto& [path, array] : a.weights) CHECK(same_bits(array, b.weights.at(path)));
}

}  // namespace

TEST_CASE("a run stopped by a signal at any step and resumed ends with the same bytes") {
  const bool schedule = GENERATE(true, false);
  Directory whole_folder;
  const Outcome whole = run(whole_folder, schedule, false, {});
  REQUIRE(whole.history.epochs().size() >= 4);
  const auto steps = static_cast<std::int64_t>(whole.history.epochs().size() * kBatches);
  for (std::int64_t at = 1; at < steps; ++at) {
    INFO("schedule " << schedule << ", after step " << at);
    Directory folder;
    const Outcome part = run(folder, schedule, true, {at});
    CHECK(part.history.interrupted);
    CHECK(!part.history.stopped);
    CHECK(static_cast<std::int64_t>(part.history.epochs().size()) == (at - 1) / 4);
    const Outcome rest = run(folder, schedule, true, {});
    check_same(rest, whole);
    CHECK(read_text(folder / "run/best.safetensors") ==
          read_text(whole_folder / "run/best.safetensors"));
    std::vector<std::string> files = folder.files();
    CHECK(files == whole_folder.files());
    for (const std::string& file : files) {
      if (file == "run") continue;
      INFO(file);
      CHECK(read_text(folder / file) == read_text(whole_folder / file));
    }
  }
}

TEST_CASE("a run that was killed goes on from the last save, and ends with the same bytes") {
  Directory whole_folder;
  const Outcome whole = run(whole_folder, false, false, {}, 3);
  for (const std::int64_t at : {2, 3, 4, 5, 7, 8, 11, 12, 13}) {
    INFO("killed after step " << at);
    Directory folder;
    run(folder, false, true, {at, true}, 3);
    check_same(run(folder, false, true, {}, 3), whole);
  }
}

TEST_CASE("many interruptions are as none") {
  Directory whole_folder, folder;
  const Outcome whole = run(whole_folder, true, false, {});
  for (const std::int64_t at : {1, 2, 3, 4, 7, 8, 9, 15}) run(folder, true, true, {at});
  check_same(run(folder, true, true, {}), whole);
}

TEST_CASE("a run that is over is over, and goes on to more epochs exactly") {
  Directory whole_folder, folder;
  const Outcome whole = run(whole_folder, true, false, {}, 0, 3);
  const Outcome again = run(whole_folder, true, true, {}, 0, 3);
  CHECK(again.history == whole.history);
  CHECK(again.checkpoint == whole.checkpoint);
  for (const auto& [path, array] : whole.weights) CHECK(same_bits(array, again.weights.at(path)));

  run(folder, true, false, {}, 0, 2);
  check_same(run(folder, true, true, {}, 0, 3), whole);
}

TEST_CASE("BackupAndRestore brings a run back by itself, and cleans up") {
  const std::vector<Batch<float>> batches{make_batch<float>(1), make_batch<float>(2),
                                          make_batch<float>(3)};
  const auto train = [&](const std::string& folder, int fail_at, std::int64_t freq,
                         std::vector<std::int64_t>* begun) {
    Network<float> net;
    Adam<float> adam({.learning_rate = 0.01});
    BackupAndRestore backup({.backup_dir = folder, .save_freq = freq});
    LambdaCallback watch({.on_epoch_begin =
                              [&](Run&, std::int64_t epoch) {
                                if (begun != nullptr) begun->push_back(epoch);
                              },
                          .on_train_batch_end =
                              [&](Run& r, std::int64_t, const Logs&) {
                                if (r.step() == fail_at) throw Killed();
                              }});
    std::optional<History> history;
    try {
      history = fit(net.params, adam, batches,
                    [&](auto& tape, const auto& b) { return net.step(tape, b); },
                    {.epochs = 3, .callbacks = {&backup, &watch}, .progress = silent()});
    } catch (const Killed&) {
    }
    return std::pair(history, net.params.values());
  };
  Directory d;
  const auto whole = train(d / "whole", 0, 0, nullptr);
  CHECK(!std::filesystem::exists(d / "whole"));
  for (const std::int64_t freq : {0, 2}) {
    std::vector<std::int64_t> begun;
    train(d / "part", 5, freq, nullptr);
    CHECK(std::filesystem::exists(d / "part"));
    const auto rest = train(d / "part", 0, freq, &begun);
    CHECK(rest == whole);
    CHECK(begun == (freq == 0 ? std::vector<std::int64_t>{1, 2} : std::vector<std::int64_t>{2}));
    CHECK(!std::filesystem::exists(d / "part"));
  }
}

TEST_CASE("what does not fit the checkpoint is refused or told") {
  Directory folder;
  const auto train = [&](std::uint64_t seed, std::size_t count, std::vector<Callback*> callbacks,
                         Messages message) {
    Network<double> net;
    SGD<double> sgd;
    Checkpoints checkpoints(folder / "run");
    fit(net.params, sgd, background_batches<double>(count),
        [&](auto& tape, const auto& b) { return net.step(tape, b); },
        {.epochs = 2,
         .callbacks = std::move(callbacks),
         .seed = seed,
         .progress = silent(),
         .message = std::move(message),
         .checkpoints = &checkpoints,
         .save_steps = 3,
         .resume = true});
  };
  LambdaCallback killer({.on_train_batch_end = [&](Run& r, std::int64_t, const Logs&) {
    if (r.step() == 4) throw Killed();
  }});
  CHECK_THROWS_AS(train(1, 5, {&killer}, {}), Killed);
  CHECK(contains(error_of<ValueError>([&] { train(2, 5, {}, {}); }),
                 "fit: another seed: seed is 2, expected 1 as in the checkpoint"));
  CHECK(contains(error_of<ValueError>([&] { train(1, 6, {}, {}); }),
                 "fit: other batches: steps of epoch 0 is 6, expected 5"));
  EarlyStopping late({.monitor = "loss"});
  Said said;
  train(1, 5, {&late}, said.sink());
  REQUIRE(said.texts.size() == 1);
  CHECK(contains(said.texts[0], "fit: state missing: the checkpoint has nothing of EarlyStopping"));
}

TEST_CASE("a checkpoint of another arithmetic is resumed, and the user is told") {
  Directory folder;
  Network<double> net;
  SGD<double> sgd;
  Checkpoints checkpoints(folder.path());
  const auto train = [&](int epochs, bool resume, Messages message) {
    fit(net.params, sgd, background_batches<double>(3),
        [&](auto& tape, const auto& b) { return net.step(tape, b); },
        {.epochs = epochs,
         .seed = 5,
         .progress = silent(),
         .message = std::move(message),
         .checkpoints = &checkpoints,
         .resume = resume});
  };
  train(1, false, {});
  Said said;
  train(2, true, said.sink());
  CHECK(said.texts.empty());
  TrainingProgress old = *checkpoints.restore(net.params, sgd);
  CHECK(old.arithmetic == arithmetic());
  old.arithmetic = 0;
  checkpoints.save(net.params, sgd, old);
  train(3, true, said.sink());
  REQUIRE(said.texts.size() == 1);
  CHECK(contains(said.texts[0],
                 "fit: the checkpoint has arithmetic 0, this is " + std::to_string(arithmetic())));
  CHECK(checkpoints.restore(net.params, sgd)->arithmetic == arithmetic());
}

TEST_CASE("a damaged checkpoint is passed over, and the user is told") {
  Directory folder;
  const auto train = [&](Messages message) {
    Network<double> net;
    SGD<double> sgd;
    Checkpoints checkpoints(folder.path());
    const auto step = [&](auto& tape, const auto& b) { return net.step(tape, b); };
    return fit(net.params, sgd, background_batches<double>(kBatches), step,
               {.epochs = 2,
                .progress = silent(),
                .message = std::move(message),
                .checkpoints = &checkpoints,
                .resume = true});
  };
  const History whole = train({});
  const std::string newest = Checkpoints(folder.path()).files().back();
  std::string bytes = read_text(newest);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file(newest, bytes);
  Said said;
  CHECK(train(said.sink()) == whole);
  REQUIRE(said.texts.size() == 1);
  CHECK(contains(said.texts[0], "fit: passed over: " + newest));
}
