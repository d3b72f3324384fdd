// Training on more ranks than there are machines here: what a step sends and computes, counted on one rank of a team
// that exists in its imagination, and a replay of many shards on one process. scaling.py makes the model of it:
//   build/bench/bench/scaling > counts.txt
#include <xtape/xtape.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

namespace xp = xtape;

namespace {

/// One rank of a team that counts what it sends. What it receives are its own bytes: all ranks are alike.
class CountingTeam final : public xp::Team {
 public:
  CountingTeam(int rank, int size) : rank_(rank), size_(size) {}
  [[nodiscard]] int rank() const noexcept override { return rank_; }
  [[nodiscard]] int size() const noexcept override { return size_; }
  void exchange(std::span<const xp::Outgoing> send,
                std::span<const xp::Incoming> receive) override {
    exchanges += send.empty() ? 0 : 1;
    messages += static_cast<double>(send.size());
    for (const xp::Outgoing& piece : send) bytes += static_cast<double>(piece.bytes.size());
    for (std::size_t i = 0; i < receive.size(); ++i) {
      const auto from = send.empty() ? std::span<const std::byte>() : send[i % send.size()].bytes;
      const std::size_t n = std::min(from.size(), receive[i].bytes.size());
      std::copy(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(n),
                receive[i].bytes.begin());
    }
  }
  void fail(const std::string& why) noexcept override {
    std::fprintf(stderr, "scaling: %s\n", why.c_str());
  }

  double exchanges = 0, messages = 0, bytes = 0;

 private:
  int rank_, size_;
};

struct Batch {
  xp::Array<float> x, y;
};
Batch make_batch(std::span<const std::size_t> examples) {
  Batch batch{xp::Array<float>(xp::Shape{examples.size(), 8}, 1.0F),
              xp::Array<float>(xp::Shape{examples.size(), 8}, 2.0F)};
  for (std::size_t i = 0; i < examples.size(); ++i) {
    batch.x(i, 0) = static_cast<float>(examples[i] % 17);
  }
  return batch;
}

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// A stack of small layers: `count` of them, with two arrays each.
struct Model {
  Model(int count, int units) {
    for (int i = 0; i < count; ++i) {
      layers.push_back(std::make_unique<xp::Dense<float>>(
          params.scope() / ("layer" + std::to_string(i)),
          xp::Dense<float>::Options{.units = static_cast<std::size_t>(units)}));
    }
  }
  xp::StepResult<float> step(xp::Tape<float>& tape, const Batch& shard) const {
    xp::Var<float> y = tape.input(shard.x);
    for (const auto& layer : layers) y = (*layer)(y);
    const auto count = static_cast<double>(shard.x.shape()[0]);
    return {xp::mean(y * y), count, count};
  }
  xp::Params<float> params{xp::ParamsOptions{.seed = 1}};
  std::vector<std::unique_ptr<xp::Dense<float>>> layers;
};

/// Runs steps of fit with a shard for each rank. Returns the processor time.
double run(Model& model, xp::Team* team, std::int64_t shards, std::int64_t steps) {
  xp::Adam<float> adam({.learning_rate = 1e-4});
  const auto examples = static_cast<std::size_t>(shards * steps);
  const xp::Batches<Batch> batches(
      examples, {.batch_size = static_cast<std::size_t>(shards), .prefetch = 0}, make_batch);
  const double begin = processor_seconds();
  xp::fit(model.params, adam, batches,
          [&](xp::Tape<float>& tape, const Batch& b) { return model.step(tape, b); },
          {.epochs = 1,
           .progress = {.style = xp::ProgressStyle::none},
           .shards = shards,
           .team = team,
           .verify_steps = 1000});
  return processor_seconds() - begin;
}

/// Prints what a step of one rank sends: of gradients, by weight, and beside them.
void count(int ranks) {
  constexpr std::int64_t kSteps = 12;
  double exchanges[2], messages[2], bytes[2], weights[2], seconds[2];
  for (int size = 0; size < 2; ++size) {  // a small model and one of more weights in as many arrays
    Model model(75, size == 0 ? 8 : 64);
    CountingTeam one(ranks / 3, ranks), all(ranks / 3, ranks);
    const double first = run(model, &one, ranks, 1);
    Model again(75, size == 0 ? 8 : 64);
    seconds[size] = (run(again, &all, ranks, 1 + kSteps) - first) / kSteps;
    // The ranks are compared in the second step, which is left out with the start: both runs have it or not.
    exchanges[size] = (all.exchanges - one.exchanges) / kSteps;
    messages[size] = (all.messages - one.messages) / kSteps;
    bytes[size] = (all.bytes - one.bytes) / kSteps;
    weights[size] = 0;
    for (const auto& p : model.params.all()) weights[size] += static_cast<double>(p.value().size());
  }
  const double by_weight = (bytes[1] - bytes[0]) / (weights[1] - weights[0]);
  std::printf(
      "ranks %d exchanges %.1f messages %.1f bytes_by_weight %.4f bytes_beside %.0f ms %.3f\n",
      ranks, exchanges[0], messages[0], by_weight, bytes[0] - by_weight * weights[0],
      1e3 * seconds[0]);
  std::fflush(stdout);
}

/// Nanoseconds for each weight.
struct Costs {
  double add, packing, update;
};

/// Returns what a local sum, packing with unpacking, and an update cost.
Costs local_costs(int layers, int units) {
  Model model(layers, units);
  xp::Tape<float> tape;
  const std::size_t example = 0;
  static_cast<void>(model.step(tape, make_batch({&example, 1})));
  tape.clear();
  double weights = 0;
  for (const auto& p : model.params.all()) weights += static_cast<double>(p.value().size());
  const auto gradients = [&] {
    xp::Gradients<float> g;
    for (const auto& p : model.params.all()) {
      xp::set_gradient(g, p, xp::Array<float>(p.value().shape(), 1e-3F));
    }
    return g;
  };
  std::vector<double> add, pack, update;
  xp::Adam<float> adam;
  CountingTeam alone(0, 1);
  xp::ShardSum<float> sum(model.params, 1, &alone);  // keeps its buffers, as fit does
  for (int i = 0; i < 9; ++i) {
    xp::Gradients<float> left = gradients();
    const xp::Gradients<float> right = gradients();
    double begin = processor_seconds();
    left.add(right);
    add.push_back(processor_seconds() - begin);
    sum.add(0, gradients(), 1);
    begin = processor_seconds();
    xp::Gradients<float> total = sum.finish();
    pack.push_back(processor_seconds() - begin);
    begin = processor_seconds();
    total.clip_global_norm(1.0);
    adam.step(model.params, total);
    update.push_back(processor_seconds() - begin);
  }
  for (auto* times : {&add, &pack, &update}) std::sort(times->begin(), times->end());
  const double each = 1e9 / weights;
  return {add[4] * each, pack[4] * each, update[4] * each};
}

/// Runs steps of 4096 shards on one process, and prints the sets of gradients that it held.
void replay() {
  constexpr std::int64_t kShards = 4096;
  const auto peak = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;
  };
  Model model(1, 1 << 16);  // 589,824 weights
  const double weights = 9.0 * (1 << 16);
  const double before = peak();
  const double seconds = run(model, nullptr, kShards, 1);
  std::printf(
      "replay: %lld shards in one process, %.1f s of processor time, memory grew by %.1f sets "
      "of gradients (weights and Adam are 3 of them)\n",
      static_cast<long long>(kShards), seconds, (peak() - before) / (weights * 4 / (1 << 20)));
}

}  // namespace

int main() {
  xp::set_num_threads(1);
  replay();  // first: it looks at the peak of memory
  const Costs large = local_costs(10, 1000), small = local_costs(90, 316);
  std::printf("nanoseconds by weight: add %.3f update %.3f packing %.3f, of large arrays %.3f\n",
              large.add, large.update, small.packing, large.packing);
  for (const int ranks : {2, 3, 4, 8, 16, 48, 64, 256, 1024, 4096}) count(ranks);
}
