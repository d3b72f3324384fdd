// fit with shards: the sums of one batch, whoever computes them.
#include "support/catch.hpp"
#include "support/sharded_run.hpp"

using namespace xtape;
using namespace xtape::test;

namespace {

struct Killed {};

double difference(const ShardedOutcome& a, const ShardedOutcome& b) {
  double worst = 0;
  for (const auto& [path, array] : a.weights) {
    worst = std::max(worst, test::difference(array, b.weights.at(path)));
  }
  for (const auto& [name, column] : a.history.columns()) {
    if (contains(name, "edit_distance")) continue;  // counts calls of the step
    for (std::size_t i = 0; i < column.size(); ++i) {
      if (std::isnan(column[i]) && std::isnan(b.history[name][i])) continue;
      worst = std::max(worst, std::abs(column[i] - b.history[name][i]));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("shards of unequal weight give the gradients of the whole batch, to rounding") {
  Directory folder;
  ShardedRun run{.dropout = 0, .spare = false, .not_a_number = kExamples};
  const ShardedOutcome whole = train(run, folder / "1");
  for (const std::int64_t shards : {2, 3, 4, 8, 100}) {
    INFO(shards << " shards");
    run.shards = shards;
    const ShardedOutcome cut = train(run, folder / std::to_string(shards));
    CHECK(difference(whole, cut) < 1e-12);
    CHECK(difference(whole, cut) > 0);  // other additions
    CHECK(cut.csv != whole.csv);
  }
}

TEST_CASE("a step with shards is the loop one would write") {
  const auto batches = background_batches<double>(1);  // three examples
  Network<double> a, b;
  a.hidden.kernel().set_regularizer("l2");
  b.hidden.kernel().set_regularizer("l2");
  SGD<double> sgd_a({.learning_rate = 0.5}), sgd_b({.learning_rate = 0.5});
  const History history =
      fit(a.params, sgd_a, batches, [&](auto& tape, const auto& x) { return a.step(tape, x); },
          {.seed = 11, .progress = silent(), .shards = 2});

  const auto order = batches.order().epoch(0)[0];
  REQUIRE(order.size() == 3);
  Tape<double> tape({.training = true, .seed = 11});
  std::vector<Gradients<double>> parts;
  double loss = 0;
  for (std::uint64_t shard = 0; shard < 2; ++shard) {
    const auto epoch = [&] {
      return batches.epoch(
          0, 0, {2, static_cast<std::int64_t>(shard), static_cast<std::int64_t>(shard) + 1});
    };
    auto range = epoch();
    const auto at = range.begin();
    CHECK(at.place().examples == 1 + shard);
    tape.set_random_index(shard << 16U);
    const StepResult<double> result = b.step(tape, *at);
    static_cast<void>(tape.penalties(b.params));
    loss += result.loss.item() * result.weight;
    parts.push_back(tape.backward(result.loss, {.seed = Var<double>(result.weight)}));
  }
  const Var<double> penalty = tape.penalties(b.params);
  CHECK(history["loss"][0] == loss / 3 + penalty.item());
  parts[0].add(parts[1]).add(tape.backward(penalty, {.seed = Var<double>(3.0)}));
  Gradients<double> ordered;
  for (const auto& p : b.params.all()) set_gradient(ordered, p, parts[0][p].value());
  ordered.scale(1.0 / 3.0);  // stored, as fit does: the norm is that of the sum, scaled
  CHECK(history["gradient_norm"][0] == ordered.global_norm());
  sgd_b.step(b.params, ordered);
  for (const auto& [path, value] : b.params.values()) {
    CHECK(same_bits(value, a.params.values().at(path)));
  }
}

TEST_CASE("a resumed run with shards ends with the same bytes") {
  Directory folder;
  ShardedRun run{.shards = 4, .common = {.use_ema = true, .gradient_accumulation_steps = 2}};
  run.save_steps = 2;
  const ShardedOutcome whole = train(run, folder / "whole");
  for (const std::int64_t at : {2, 3, 5}) {
    INFO("killed after step " << at);
    const std::string here = folder / std::to_string(at);
    ShardedRun killed = run;
    killed.after_batch = [&](Run& r) {
      if (r.step() == at) throw Killed();
    };
    CHECK_THROWS_AS(train(killed, here), Killed);
    ShardedRun rest = run;
    rest.resume = true;
    const ShardedOutcome end = train(rest, here);
    CHECK(end.checkpoint == whole.checkpoint);
    CHECK(end.csv == whole.csv);
    rest.shards = 2;
    CHECK(contains(error_of<ValueError>([&] { train(rest, here); }),
                   "fit: another number of shards: shards is 2, expected 4 as in the checkpoint"));
    rest.shards = 1;
    CHECK(contains(error_of<ValueError>([&] { train(rest, here); }), "shards is 1, expected 4"));
  }
}

TEST_CASE("a loss of one shard that is not finite leaves the whole update out") {
  Directory folder;
  const ShardedOutcome out = train({.shards = 8}, folder.path());
  CHECK(std::isnan(out.history["loss"][0]));
  REQUIRE(out.said.size() == 1);
  CHECK(contains(out.said[0], "fit: loss is not finite: it is nan in batch "));
  for (const auto& [path, value] : out.weights) {
    for (const double v : value) CHECK(std::isfinite(v));
  }
}

TEST_CASE("a step of another model's parameters is refused, with a team as without", "[threads]") {
  const auto batches = background_batches<double>(1);
  const auto run = [&](Team* team) {
    Network<double> model, other;
    for (const auto* network : {&model, &other}) {
      static_cast<void>((*network)(Var<double>(Array<double>(Shape{1, 2}, 1.0))));
    }
    SGD<double> sgd({.learning_rate = 0.5});
    fit(model.params, sgd, batches, [&](auto& tape, const auto& x) { return other.step(tape, x); },
        {.progress = silent(), .shards = 2, .team = team});
  };
  const std::string alone = error_of<ParameterError>([&] { run(nullptr); });
  INFO(alone);
  CHECK(contains(alone, "step: gradients missing"));
  CHECK(error_of<ParameterError>([&] { run_threads(2, [&](Team& team) { run(&team); }); }) ==
        alone);
}

TEST_CASE("what cannot be cut into shards is refused") {
  Directory folder;
  CHECK(contains(error_of<ValueError>([&] { train({.shards = 0}, folder.path()); }),
                 "fit: shards out of range: shards is 0, expected 1 to 1048576"));
  const std::string text =
      error_of<ValueError>([&] { train({.shards = 3, .weights = false}, folder.path()); });
  INFO(text);
  CHECK(contains(text,
                 "fit: shards of different sizes: shard 1 has 3 examples and shard 0 has 2, "
                 "expected a weight of each; return StepResult(loss, weight)"));

  Network<double> net;
  SGD<double> sgd;
  const auto step = [&](auto& tape, const auto& b) { return net.step(tape, b); };
  const std::vector<Batch<double>> list{make_batch<double>(1)};
  CHECK(contains(error_of<ValueError>([&] {
                   fit(net.params, sgd, list, step, {.progress = silent(), .shards = 2});
                 }),
                 "fit: batches cannot be cut: shards is 2, expected 1 for a list of batches"));
  struct Stateless final : Metric {
    [[nodiscard]] std::string name() const override { return "own"; }
    [[nodiscard]] double result() const override { return 0; }
    void reset() override {}
    [[nodiscard]] bool higher_is_better() const noexcept override { return false; }
  } own;
  CHECK(contains(error_of<ValueError>([&] {
                   fit(net.params, sgd, background_batches<double>(2), step,
                       {.metrics = {&own}, .progress = silent(), .shards = 2});
                 }),
                 "fit: metric without a state: state() of 'own' is empty"));
  CHECK(contains(error_of<ValueError>([&] {
                   fit(net.params, sgd, background_batches<double>(2),
                       [&](Tape<double>& tape, const Batch<double>& b) {
                         return StepResult<double>(net.step(tape, b).loss, 0);
                       },
                       {.progress = silent(), .shards = 2});
                 }),
                 "fit: batch without weight"));
  CHECK(contains(error_of<ValueError>([&] {
                   fit(net.params, sgd, background_batches<double>(2),
                       [&](Tape<double>& tape, const Batch<double>& b) {
                         const auto result = net.step(tape, b);
                         tape.set_random_index(tape.random_index() + 65536);
                         return result;
                       },
                       {.progress = silent(), .shards = 2});
                 }),
                 "fit: random operations of a shard: there are 65537, expected at most 65536"));
  CHECK(sgd.iterations() == 0);
}
