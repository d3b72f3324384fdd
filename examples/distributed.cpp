// Training by a team: ranks share each batch, and end with the bits of one process. With MPI, on any number
// of machines: mpirun -n 2 distributed. Without it two threads are the ranks.
#include <cstdio>
#include <xtape/xtape.hpp>
#ifdef WITH_MPI
#include <xtape/mpi/mpi_team.hpp>
#endif
namespace xp = xtape;

constexpr std::int64_t kShards = 4;  // of every batch: part of the result, as the seed is
struct Batch {
  xp::Array<float> x, y;
};

// A function of the indices alone: every rank makes its own shards.
static Batch make_batch(std::span<const std::size_t> examples) {
  Batch batch{xp::Array<float>(xp::Shape{examples.size(), 2}),
              xp::Array<float>(xp::Shape{examples.size(), 1})};
  for (std::size_t i = 0; i < examples.size(); ++i) {
    xp::RandomStream random(7, examples[i]);
    for (std::size_t k = 0; k < 2; ++k) batch.x(i, k) = static_cast<float>(random.normal());
    batch.y(i, 0) = batch.x(i, 0) * batch.x(i, 1);
  }
  return batch;
}
static void train(xp::Team& team) {
  xp::Params<float> params({.seed = 1});
  const xp::Dense<float> hidden(params.scope() / "hidden", {.units = 16, .activation = "tanh"});
  const xp::Dense<float> output(params.scope() / "output", {.units = 1});
  const auto step = [&](xp::Tape<float>& tape, const Batch& shard) {
    const auto loss = xp::mean_squared_error(output(hidden(tape.input(shard.x))), shard.y);
    return xp::StepResult<float>(loss, static_cast<double>(shard.x.shape()[0]));  // its weight
  };
  const xp::Batches<Batch> batches(500, {.batch_size = 64, .seed = 3}, make_batch);
  xp::Adam<float> adam({.learning_rate = 0.01});
  const xp::ProgressOptions silent{.style = xp::ProgressStyle::none};
  const auto history =
      xp::fit(params, adam, batches, step,
              {.epochs = 20, .progress = silent, .shards = kShards, .team = &team});
  // A step of a loop of one's own.
  xp::Tape<float> tape({.training = true});
  xp::ShardSum<float> sum(params, kShards, &team);
  auto shards = batches.epoch(20, 0, sum.mine());
  for (auto at = shards.begin(); at != shards.end() && at.place().batch == 0; ++at) {
    const auto result = step(tape, *at);
    sum.add(at.place().shard, tape.backward(result.loss), result.weight);
  }
  adam.step(params, sum.finish());
  const double weight = params.at("hidden/kernel").value()(0, 0);  // the same on all ranks
  if (team.lead()) std::printf("loss %.4f, weight %.9g\n", history["loss"].back(), weight);
}

int main() {
#ifdef WITH_MPI
  xp::MpiTeam team;
  train(team);
#else
  xp::run_threads(2, train);
#endif
}
