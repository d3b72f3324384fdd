// A run that is interrupted and continues to the same bits, and logs for TensorBoard.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <xtape/xtape.hpp>

namespace xp = xtape;
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kSteps = 40;

struct Model {
  xp::Dense<float> hidden;
  xp::Dropout<float> dropout;
  xp::Dense<float> output;
  explicit Model(xp::Scope<float> s)
      : hidden(s / "hidden", {.units = 8, .activation = "tanh"}),
        dropout({.rate = 0.2}),
        output(s / "output", {.units = 1}) {}
  xp::Var<float> operator()(const xp::Var<float>& x) const { return output(dropout(hidden(x))); }
};

// Trains up to a step, from the newest checkpoint of the folder, if any. Returns the weights.
std::map<std::string, xp::Array<float>> train(const std::string& folder, std::int64_t until) {
  xp::Array<float> x(xp::Shape{4, 1});
  xp::Array<float> y(xp::Shape{4, 1});
  for (std::size_t i = 0; i < 4; ++i) {
    x(i, 0) = static_cast<float>(i) / 4.0F;
    y(i, 0) = 1.0F - 2.0F * x(i, 0);
  }
  xp::Params<float> params({.seed = 3});
  const Model model(params.scope());
  xp::Adam<float> adam({.learning_rate = xp::schedules::CosineDecay{.initial_learning_rate = 0.1,
                                                                    .decay_steps = kSteps}});

  xp::Checkpoints checkpoints(folder, {.keep = 2});
  xp::TrainingProgress progress{.tape_seed = 7, .numbers = {{"best", 1e9}}};
  if (const auto found = checkpoints.restore(params, adam)) progress = *found;
  for (const xp::SkippedCheckpoint& skipped : checkpoints.skipped()) {
    std::printf("passed over: %s\n", skipped.reason.c_str());
  }
  std::printf("from step %lld\n", static_cast<long long>(progress.step));

  xp::EventWriter events(folder + "/logs", {.purge_step = progress.step + 1});
  events.text("run", "A line through **four points**.", progress.step);
  xp::Tape<float> tape({.training = true, .seed = progress.tape_seed});
  tape.set_random_index(progress.random_index);
  const xp::StopSignals signals;  // Ctrl-C ends the loop, and the state is saved
  while (progress.step < until && !signals.requested()) {
    const auto loss = xp::mean_squared_error(model(tape.input(x)), y);
    adam.step(params, tape.backward(loss));
    progress.random_index = tape.random_index();
    ++progress.step;
    events.scalar("loss", loss.item(), progress.step);
    if (progress.step % 10 == 0) {
      const bool best = loss.item() < progress.numbers["best"];
      if (best) progress.numbers["best"] = loss.item();
      checkpoints.save(params, adam, progress, best);
      events.histogram("hidden/kernel", params.at("hidden/kernel").value(), progress.step);
    }
  }
  if (progress.step % 10 != 0) checkpoints.save(params, adam, progress);
  events.flush();
  return params.values();
}

// The bytes of a PNG file: one grey pixel.
void show_picture(const std::string& folder) {
  constexpr std::array<unsigned char, 67> png = {
      0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0x00, 0x00, 0x00, 0x0D, 0x49, 0x48,
      0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00,
      0x00, 0x3A, 0x7E, 0x9B, 0x55, 0x00, 0x00, 0x00, 0x0A, 0x49, 0x44, 0x41, 0x54, 0x78,
      0xDA, 0x63, 0x68, 0x00, 0x00, 0x00, 0x82, 0x00, 0x81, 0xDA, 0x45, 0x08, 0x3B, 0x00,
      0x00, 0x00, 0x00, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82};
  xp::EventWriter(folder + "/logs").image("pixel", std::as_bytes(std::span(png)), 0);
}

}  // namespace

int main() {
  std::string name = fs::temp_directory_path() / "xtape-checkpoints-XXXXXX";
  const fs::path folder = ::mkdtemp(name.data());
  const auto expected = train(folder / "whole", kSteps);
  train(folder / "parts", 17);  // stopped here
  const auto resumed = train(folder / "parts", kSteps);
  show_picture(folder / "parts");

  xp::Params<float> params;  // loads the best weights alone, to use the model
  const Model model(params.scope());
  const auto best = xp::Checkpoints(folder / "whole").restore_best(params);
  const auto y = model(xp::Array<float>(xp::Shape{1, 1}, 0.5F));
  std::printf("best at step %lld, of 0.5 comes %.3f\n", static_cast<long long>(best->step),
              y.item());

  bool same = resumed.size() == expected.size();
  for (const auto& [path, array] : expected) same = same && resumed.at(path) == array;
  std::printf("the interrupted run ends %s\n", same ? "with the same weights" : "elsewhere");
  fs::remove_all(folder);
  return same ? 0 : 1;
}
