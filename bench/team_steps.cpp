// Steps of an encoder-decoder on the ranks of a team, by the clock and by processor time:
//   mpirun -n 2 build/bench/bench/team_steps [WIDTH] [ROWS] [STEPS]
// ROWS are those of a rank, of 24 tokens on either side. One rank is the step without messages.
#include <xtape/mpi/mpi_team.hpp>
#include <xtape/xtape.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace xp = xtape;

namespace {

constexpr std::size_t kLength = 24, kVocabulary = 8000;

struct Batch {
  xp::Array<std::int64_t> source, in, out;
};

Batch make_batch(std::span<const std::size_t> examples) {
  const xp::Shape shape{examples.size(), kLength};
  Batch batch{xp::Array<std::int64_t>(shape), xp::Array<std::int64_t>(shape),
              xp::Array<std::int64_t>(shape)};
  for (std::size_t i = 0; i < examples.size(); ++i) {
    xp::RandomStream random(3, examples[i]);
    for (std::size_t t = 0; t < kLength; ++t) {
      const auto token = static_cast<std::int64_t>(random.uniform() * (kVocabulary - 1)) + 1;
      batch.source(i, t) = batch.in(i, t) = batch.out(i, t) = token;
    }
  }
  return batch;
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, int otherwise) {
    return i < argc ? std::atoi(argv[i]) : otherwise;
  };
  xp::MpiTeam team;
  const int width = argument(1, 256), rows = argument(2, 32), steps = argument(3, 30);
  xp::Params<float> params({.seed = 1});
  const xp::Seq2Seq<float> model(params.scope(), {.source_vocabulary = kVocabulary,
                                                  .target_vocabulary = kVocabulary,
                                                  .hidden_dim = width,
                                                  .num_heads = width / 64,
                                                  .intermediate_dim = 4 * width,
                                                  .encoder_layers = 2,
                                                  .decoder_layers = 2});
  model.build();
  double weights = 0;
  for (const auto& p : params.all()) weights += static_cast<double>(p.value().size());
  const auto ranks = static_cast<std::size_t>(team.size());
  const auto batch = static_cast<std::size_t>(rows) * ranks;
  const xp::Batches<Batch> batches(batch * static_cast<std::size_t>(steps),
                                   {.batch_size = batch, .prefetch = 0}, make_batch);
  std::vector<double> wall, processor;  // milliseconds
  auto then = std::chrono::steady_clock::now();
  std::clock_t used = std::clock();
  xp::LambdaCallback clock({.on_train_batch_end = [&](xp::Run&, std::int64_t, const xp::Logs&) {
    const auto now = std::chrono::steady_clock::now();
    wall.push_back(std::chrono::duration<double, std::milli>(now - then).count());
    then = now;
    processor.push_back(1e3 * static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC);
    used = std::clock();
  }});
  xp::Adam<float> adam({.learning_rate = 1e-4});
  xp::fit(params, adam, batches,
          [&](xp::Tape<float>& tape, const Batch& b) {
            const auto tokens = static_cast<double>(b.out.size());
            const auto loss = model.loss(tape.input(xp::Tokens<float>(b.source)), {},
                                         tape.input(xp::Tokens<float>(b.in)), b.out);
            return xp::StepResult<float>(loss, tokens, tokens);
          },
          {.callbacks = {&clock},
           .clip_norm = 1.0,
           .progress = {.style = xp::ProgressStyle::none},
           .shards = std::max<std::int64_t>(2, team.size()),
           .team = team.size() > 1 ? &team : nullptr,
           .verify_steps = 1000000});
  if (!team.lead()) return 0;
  for (auto* times : {&wall, &processor}) {  // the first steps make arrays and compare the ranks
    times->erase(times->begin(), times->begin() + std::min<std::ptrdiff_t>(3, steps - 1));
    std::sort(times->begin(), times->end());
  }
  std::printf(
      "%d ranks, %.1f M weights: least %.0f, median %.0f ms; processor least %.0f, median %.0f "
      "ms\n",
      team.size(), weights * 1e-6, wall[0], wall[wall.size() / 2], processor[0],
      processor[processor.size() / 2]);
}
