// Training with fit: validation, metrics, callbacks and checkpoints. Then the same pieces in a loop of
// your own.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <xtape/xtape.hpp>

namespace xp = xtape;
namespace fs = std::filesystem;

namespace {

struct Batch {
  xp::Array<float> x;
  xp::Array<std::int64_t> labels;
};

// Points of the plane; labels tell which are inside the unit circle.
std::vector<Batch> make_batches(std::uint64_t seed, std::size_t count) {
  xp::RandomStream random(seed, 0);
  std::vector<Batch> batches;
  for (std::size_t b = 0; b < count; ++b) {
    Batch batch{xp::Array<float>(xp::Shape{16, 2}), xp::Array<std::int64_t>(xp::Shape{16})};
    for (std::size_t i = 0; i < 16; ++i) {
      const double x = 3 * random.uniform() - 1.5;
      const double y = 3 * random.uniform() - 1.5;
      batch.x(i, 0) = static_cast<float>(x);
      batch.x(i, 1) = static_cast<float>(y);
      batch.labels(i) = x * x + y * y < 1 ? 1 : 0;
    }
    batches.push_back(std::move(batch));
  }
  return batches;
}

struct Model {
  xp::Dense<float> hidden, output;
  explicit Model(xp::Scope<float> s)
      : hidden(s / "hidden", {.units = 16, .activation = "tanh"}),
        output(s / "output", {.units = 2}) {}
  xp::Var<float> operator()(const xp::Var<float>& x) const { return output(hidden(x)); }
};

xp::History train(const std::string& folder) {
  const std::vector<Batch> batches = make_batches(1, 24);
  const std::vector<Batch> held_out = make_batches(2, 6);
  xp::Params<float> params({.seed = 1});
  const Model model(params.scope());
  xp::Adam<float> adam({.learning_rate = 0.02});
  xp::Accuracy accuracy;

  const auto step = [&](xp::Tape<float>& tape, const Batch& batch) {
    const auto logits = model(tape.input(batch.x));
    accuracy.update(logits, batch.labels);
    const auto loss =
        xp::sparse_categorical_crossentropy(logits, batch.labels, {.from_logits = true});
    return xp::StepResult<float>(loss, 16, 16);  // its weight, and its tokens
  };

  xp::EarlyStopping early({.patience = 5, .restore_best_weights = true, .verbose = true});
  xp::ReduceLROnPlateau plateau({.patience = 2});
  xp::LearningRateScheduler decay([](std::int64_t, double rate) { return 0.98 * rate; });
  xp::ModelCheckpoint best({.path = folder + "/best-{epoch:02d}-{val_loss:.2f}.safetensors",
                            .save_best_only = true,
                            .save_weights_only = true});
  xp::CSVLogger csv({.path = folder + "/log.csv"});
  xp::TensorBoard board({.log_dir = folder + "/logs"});
  xp::TerminateOnNaN guard;
  xp::BackupAndRestore backup({.backup_dir = folder + "/backup"});
  xp::LambdaCallback own({.on_train_end = [](xp::Run& run, const xp::Logs&) {
    std::printf("trained for %lld steps\n", static_cast<long long>(run.step()));
  }});

  xp::Checkpoints checkpoints(folder + "/run");
  const xp::StopSignals signals;  // Ctrl-C saves and returns
  const xp::History history =
      xp::fit(params, adam, batches, step,
              {.epochs = 12,
               .validation = {held_out, step},
               .metrics = {&accuracy},
               .callbacks = {&early, &plateau, &decay, &best, &csv, &board, &guard, &backup, &own},
               .clip_norm = 5.0,
               .seed = 7,
               .checkpoints = &checkpoints,
               .best_monitor = "val_accuracy",
               .resume = true,
               .signals = &signals});
  const xp::Logs logs = xp::evaluate(params, held_out, step, {.metrics = {&accuracy}});
  std::printf("held out: loss %.3f, accuracy %.3f\n", logs.at("loss"), logs.at("accuracy"));
  return history;
}

// A loop of your own, with a bar and a callback.
double own_loop() {
  const std::vector<Batch> batches = make_batches(1, 24);
  xp::Params<float> params({.seed = 1});
  const Model model(params.scope());
  xp::Adam<float> adam({.learning_rate = 0.02});
  xp::RunOf<float> run(params, adam, {.epochs = 5});
  xp::EarlyStopping early({.monitor = "loss"});
  xp::ProgressBar bar;
  double last = 0;
  early.on_train_begin(run);
  for (std::int64_t epoch = 0; epoch < run.epochs() && !run.stopping(); ++epoch) {
    xp::Mean loss("loss");
    bar.begin("Epoch " + std::to_string(epoch + 1) + "/5", 24);
    for (std::size_t i = 0; i < batches.size(); ++i) {
      xp::Tape<float> tape;
      const auto value = xp::sparse_categorical_crossentropy(
          model(tape.input(batches[i].x)), batches[i].labels, {.from_logits = true});
      adam.step(params, tape.backward(value));
      loss.update(value.item());
      bar.update(static_cast<std::int64_t>(i) + 1, {{"loss", loss.result()}});
    }
    xp::Logs logs{{"loss", last = loss.result()}};
    bar.finish(24, logs);
    early.on_epoch_end(run, epoch, logs);
  }
  early.on_train_end(run, {});
  return last;
}

}  // namespace

int main() {
  std::string name = fs::temp_directory_path() / "xtape-fit-XXXXXX";
  const std::string folder = ::mkdtemp(name.data());
  const xp::History history = train(folder);
  std::printf("accuracy by epoch:");
  for (const double value : history["accuracy"]) std::printf(" %.2f", value);
  std::printf("\n");
  const double loss = own_loop();
  fs::remove_all(folder);
  return history["val_accuracy"].back() > 0.8 && loss < 0.6 ? 0 : 1;
}
