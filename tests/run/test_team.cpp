// Training by a team: the bits of one process for any number of ranks, and what happens if ranks fail.
#include "support/catch.hpp"
#include "support/sharded_run.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

using namespace xtape;
using namespace xtape::test;

namespace {

/// On the thread of a rank, where Catch's macros may not be.
void must(bool good, const std::string& what) {
  if (!good) throw std::logic_error(what);
}

struct Killed : std::runtime_error {
  Killed() : std::runtime_error("killed") {}
};

/// Trains on so many ranks in this folder, and checks that they end with the same weights and history.
ShardedOutcome train_on(int ranks, const ShardedRun& run, const std::string& folder) {
  std::vector<ShardedOutcome> outcomes(static_cast<std::size_t>(ranks));
  run_threads(ranks, [&](Team& team) {
    const auto rank = static_cast<std::size_t>(team.rank());
    // The others see an empty folder: the checkpoint comes from rank 0.
    const std::string own = team.lead() ? folder : folder + "/rank-" + std::to_string(rank);
    outcomes[rank] = train(run, own, &team);
  });
  for (std::size_t rank = 1; rank < outcomes.size(); ++rank) {
    CHECK(outcomes[rank].history.epochs() == outcomes[0].history.epochs());
    for (const auto& [path, array] : outcomes[0].weights) {
      CHECK(same_bits(array, outcomes[rank].weights.at(path)));
    }
    CHECK(outcomes[rank].said.empty());
    CHECK(outcomes[rank].checkpoint.empty());
  }
  return outcomes[0];
}

/// Bit by bit, as a loss may be NaN.
void check_same(const ShardedOutcome& a, const ShardedOutcome& b) {
  CHECK(a.checkpoint == b.checkpoint);  // weights, optimizer, history, sums
  CHECK(a.csv == b.csv);
  REQUIRE(a.weights.size() == b.weights.size());
  for (const auto& [path, array] : a.weights) CHECK(same_bits(array, b.weights.at(path)));
}

template <class E> std::string failure_of(int ranks, const std::function<void(Team&)>& work) {
  return error_of<E>([&] { run_threads(ranks, work, {.stall_seconds = 20}); });
}

}  // namespace

TEST_CASE("any number of ranks trains with the bits of one process", "[threads]") {
  Directory folder;
  for (const std::int64_t shards : {4, 8}) {
    const ShardedRun run{.shards = shards, .save_steps = 2};
    const ShardedOutcome alone = train(run, folder / ("alone" + std::to_string(shards)));
    REQUIRE(!alone.checkpoint.empty());
    REQUIRE(alone.said.size() == 1);  // the NaN
    for (const int ranks : {1, 2, 3, 4, 5, 8}) {
      if (ranks > shards) continue;
      INFO(ranks << " ranks, " << shards << " shards");
      const std::string here = folder / (std::to_string(shards) + "-" + std::to_string(ranks));
      const ShardedOutcome together = train_on(ranks, run, here);
      check_same(together, alone);
      CHECK(together.said == alone.said);
    }
  }
}

TEST_CASE("every optimizer has the same bits in a team", "[threads]") {
  Directory folder;
  const std::vector<OptimizerOptions> common = {
      {.gradient_accumulation_steps = 2},
      {.exclude_from_weight_decay = {"bias$"}, .global_clipnorm = 0.1, .use_ema = true}};
  int count = 0;
  for (const char* name : {"SGD", "Adam", "AdamW", "Adamax", "Nadam", "Lamb", "Lion", "Adagrad",
                           "Adadelta", "RMSprop", "Adafactor"}) {
    INFO(name);
    ++count;
    const ShardedRun run{
        .shards = 4, .optimizer = name, .common = common[static_cast<std::size_t>(count % 2)]};
    const ShardedOutcome alone = train(run, folder / (std::string(name) + "1"));
    check_same(train_on(count % 2 == 0 ? 2 : 3, run, folder / (std::string(name) + "n")), alone);
  }
}

TEST_CASE("a killed team resumes with another number of ranks to the same bits", "[threads]") {
  Directory folder;
  const ShardedRun run{.shards = 6, .save_steps = 1};
  const ShardedOutcome whole = train(run, folder / "whole");
  int ranks = 1;
  for (const int next : {3, 2, 6}) {
    const std::string here = folder / std::to_string(next);
    ShardedRun killed = run;
    killed.after_batch = [&](Run& r) {
      if (r.step() == 3 && !r.lead()) throw Killed();
      if (r.step() == 4) throw Killed();
    };
    CHECK_THROWS_AS(train_on(ranks, killed, here), Killed);
    ShardedRun rest = run;
    rest.resume = true;
    check_same(train_on(next, rest, here), whole);
    ranks = next;
  }
}

TEST_CASE("a signal to one rank stops all after the same step", "[threads]") {
  Directory folder;
  const StopSignals signals;
  std::atomic<bool> raised = false;
  ShardedRun run{.shards = 4};
  const ShardedOutcome whole = train(run, folder / "whole");
  run.in_step = [&](const Rows& rows) {
    if (rows.first && !raised.exchange(true)) std::raise(SIGTERM);
  };
  run_threads(3, [&](Team& team) {
    ShardedRun own = run;
    own.signals = team.rank() == 1 ? &signals : nullptr;
    const std::string here = folder / (team.lead() ? "part" : "rank" + std::to_string(team.rank()));
    must(train(own, here, &team).history.interrupted, "interrupted");
  });
  run.in_step = {};
  run.resume = true;
  check_same(train_on(2, run, folder / "part"), whole);
}

TEST_CASE("an exception on one rank ends the team, and is the one thrown", "[threads]") {
  Directory folder;
  const auto fails_in = [&](const std::string& place) {
    return failure_of<Killed>(3, [&](Team& team) {
      ShardedRun run{.shards = 4};
      if (place == "step" && team.rank() == 2) run.in_step = [](const Rows&) { throw Killed(); };
      if (place == "callback" && team.rank() == 1) run.after_batch = [](Run&) { throw Killed(); };
      const std::string own = folder / (place + std::to_string(team.rank()));
      try {
        train(run, own, &team);
      } catch (const TeamError& e) {
        const int rank = place == "step" ? 2 : 1;
        must(contains(e.what(), "rank " + std::to_string(rank) + " of 3 failed: killed"), e.what());
        throw;
      }
    });
  };
  CHECK(fails_in("step") == "killed");
  CHECK(fails_in("callback") == "killed");
}

TEST_CASE("ranks that differ at the start are refused, with both values", "[threads]") {
  Directory folder;
  int runs = 0;
  const auto refused = [&](const std::function<void(ShardedRun&)>& change) {
    ++runs;
    std::atomic<int> steps = 0;
    const std::string text = failure_of<ValueError>(3, [&](Team& team) {
      ShardedRun run{.shards = 4};
      run.after_batch = [&](Run&) { ++steps; };
      if (team.rank() == 1) change(run);
      train(run, folder / (std::to_string(runs) + "-" + std::to_string(team.rank())), &team);
    });
    CHECK(steps == 0);
    return text;
  };
  CHECK(contains(refused([](ShardedRun& r) { r.seed = 6; }),
                 "fit: ranks differ: seed is 6 on rank 1 of 3, expected 5 as on rank 0 of 3"));
  CHECK(contains(refused([](ShardedRun& r) { r.shards = 8; }), "shards is 8 on rank 1"));
  CHECK(contains(refused([](ShardedRun& r) { r.clip_norm = {}; }), "clip_norm is unset on rank 1"));
  CHECK(contains(refused([](ShardedRun& r) { r.configuration["data"] = "b"; }),
                 "data is b on rank 1"));
  CHECK(contains(refused([](ShardedRun& r) { r.optimizer = "SGD"; }),
                 "the optimizer is sgd on rank 1 of 3, expected adam"));
  CHECK(contains(failure_of<ValueError>(
                     3,
                     [&](Team& team) {
                       train({.shards = 2}, folder / ("few" + std::to_string(team.rank())), &team);
                     }),
                 "fit: fewer shards than ranks: shards is 2, expected at least 3"));

  // A layer that only one shard calls is not built on all ranks.
  const std::string unbuilt = failure_of<TeamError>(3, [&](Team& team) {
    train({.shards = 4, .built = false, .save_steps = 0},
          folder / ("unbuilt" + std::to_string(team.rank())), &team);
  });
  INFO(unbuilt);
  CHECK(contains(unbuilt, "built and trainable ones, expected"));
  // The weights differ.
  const std::string text = failure_of<ValueError>(2, [&](Team& team) {
    Network<double> net;
    static_cast<void>(net(Var<double>(Array<double>(Shape{1, 2}, 1.0))));
    if (team.rank() == 1) net.params.set("output/bias", Array<double>(Shape{1}, 1e-300));
    SGD<double> sgd;
    fit(net.params, sgd, background_batches<double>(2),
        [&](auto& tape, const auto& b) { return net.step(tape, b); },
        {.progress = silent(), .shards = 2, .team = &team});
  });
  INFO(text);
  CHECK(contains(text, "fit: ranks differ: 'output/bias' is (1,) with checksum "));
}

TEST_CASE("wrong bits on one rank are found, and callbacks that decide differently", "[threads]") {
  const auto train_two = [&](const std::function<void(Team&, Network<double>&, Run&)>& change) {
    return failure_of<TeamError>(2, [&](Team& team) {
      Network<double> net;
      SGD<double> sgd({.learning_rate = 0.5});
      LambdaCallback callback({.on_train_batch_end = [&](Run& run, std::int64_t, const Logs&) {
        change(team, net, run);
      }});
      fit(net.params, sgd, background_batches<double>(6),
          [&](auto& tape, const auto& b) { return net.step(tape, b); },
          {.epochs = 3,
           .callbacks = {&callback},
           .progress = silent(),
           .shards = 2,
           .team = &team,
           .verify_steps = 4});
    });
  };
  std::int64_t last = 0;
  const std::string wrong = train_two([&](Team& team, Network<double>& net, Run& run) {
    if (team.lead()) last = run.step();
    if (run.step() != 6 || team.lead()) return;
    Array<double> bias = net.params.at("hidden/bias").value();
    bias(3) = std::nextafter(bias(3), 1.0);  // one bit
    net.params.set("hidden/bias", std::move(bias));
  });
  INFO(wrong);
  CHECK(contains(wrong, "fit: ranks differ: 'hidden/bias' is (5,) with checksum "));
  CHECK((last >= 6 && last <= 10));

  const std::string stops = train_two([](Team& team, Network<double>&, Run& run) {
    if (run.step() == 2 && !team.lead()) run.stop();
  });
  CHECK(contains(stops, "fit: callbacks decide differently: after on_train_batch_end"));
  CHECK(contains(stops, "0.5 and stop on rank 1 of 2, expected 0.5 and go on"));
  CHECK(contains(stops, "LambdaCallback"));
}

TEST_CASE("a rank that does not answer, or has ended, is named", "[threads]") {
  const auto waits = [](Team& team) {
    team.set_step(7);
    std::byte byte{};
    const Incoming piece{1, {&byte, 1}};
    if (team.rank() != 1) team.exchange({}, {&piece, 1});
  };
  CHECK(contains(failure_of<TeamError>(3, waits), "waits for rank 1 of 3, which has ended"));
  const std::string text = error_of<TeamError>([&] {
    run_threads(2,
                [&](Team& team) {
                  std::byte byte{};
                  const Incoming piece{1 - team.rank(), {&byte, 1}};
                  team.set_step(7);
                  team.exchange({}, {&piece, 1});
                },
                {.stall_seconds = 0.05});
  });
  CHECK(contains(text, "waits in step 7 since 0.05 seconds for rank"));
  CHECK_THROWS_AS(run_threads(0, [](Team&) {}), ValueError);
}

TEST_CASE("a rank may wait for longer than a clock counts") {
  CHECK_NOTHROW(run_threads(2,
                            [](Team& team) {
                              if (team.rank() == 1)
                                std::this_thread::sleep_for(std::chrono::milliseconds(50));
                              static_cast<void>(team.all_gather("x"));
                            },
                            {.stall_seconds = 1e12}));
}

TEST_CASE("gathering and sending to all, for any number of ranks", "[threads]") {
  for (const int ranks : {1, 2, 3, 5, 8}) {
    run_threads(ranks, [&](Team& team) {
      const auto text = [](int rank) {
        return std::string(static_cast<std::size_t>(rank % 3), 'a');
      };
      const auto all = team.all_gather(text(team.rank()));
      must(all.size() == static_cast<std::size_t>(ranks), "size");
      for (int r = 0; r < ranks; ++r) must(all[static_cast<std::size_t>(r)] == text(r), "gather");
      for (int from = 0; from < ranks; ++from) {
        for (const std::string& sent : {std::string(), std::string(1000, 'x')}) {
          std::string bytes = team.rank() == from ? sent : "old";
          team.broadcast(bytes, from);
          must(bytes == sent, "broadcast");
        }
      }
    });
  }
}

TEST_CASE("evaluate by a team has the result of one process, whatever the ranks", "[threads]") {
  std::vector<std::vector<double>> results;
  for (const int ranks : {1, 2, 3, 7}) {
    run_threads(ranks, [&](Team& team) {
      Network<double> net;
      Mean error("error");
      const Logs logs = evaluate(net.params, background_batches<double>(5),
                                 [&](Tape<double>& tape, const Batch<double>& b) {
                                   const auto result = net.step(tape, b);
                                   error.update(net(tape.input(b.x)).value());
                                   return result;
                                 },
                                 {.metrics = {&error}, .team = &team});
      if (team.rank() == ranks - 1) results.push_back({logs.at("loss"), logs.at("error")});
    });
    CHECK(results.back() == results.front());
  }
}
