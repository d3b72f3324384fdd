// A folder of checkpoints that others use too: processes, strangers' files, and runs with other options.

#include "support/catch.hpp"
#include "support/processes.hpp"
#include "support/tiny_run.hpp"
#include "support/training.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <csignal>
#include <filesystem>

using namespace xtape;
using namespace xtape::test;
namespace fs = std::filesystem;
using Names = std::vector<std::string>;

TEST_CASE("one process at a time saves into a folder, and a dead one holds nothing") {
  const Directory folder;
  TinyRun<float> run;
  run.steps(1);
  std::int64_t told[2];
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t holder = begin_child([&] {
    Checkpoints checkpoints(folder / "run");
    checkpoints.save(run.params, run.adam, run.progress);
    if (::write(ready[1], "x", 1) != 1) return 1;
    ::pause();
    return 0;
  });
  REQUIRE(::read(ready[0], told, 1) == 1);
  Checkpoints second(folder / "run");
  const std::string expected = folder / "run" + (": in use: process " + std::to_string(holder));
  for (const auto& refused : std::vector<std::function<void()>>{
           [&] { second.lock(); }, [&] { second.clear(); },
           [&] { second.save(run.params, run.adam, run.progress); }}) {
    CHECK(error_of<IoError>(refused).starts_with(expected));
    CHECK(folder.files() == Names{"run"});
    CHECK(second.files().size() == 1);
  }
  // A reader needs no lock.
  TinyRun<float> other(9);
  CHECK(second.restore(other.params, other.adam)->step == 1);
  ::kill(holder, SIGKILL);
  CHECK(end_of(holder) == -SIGKILL);
  second.save(run.params, run.adam, run.progress);
  CHECK(second.files().size() == 2);
  // Copies share the lock; other objects of this process are let in.
  const auto copy = std::make_unique<Checkpoints>(second);
  Checkpoints(folder / "run").save(run.params, run.adam, run.progress);
  const auto try_lock = [&] {
    return in_child([&] {
      Checkpoints mine(folder / "run");
      return error_of<IoError>([&] { mine.lock(); }).empty() ? 1 : 0;
    });
  };
  CHECK(try_lock() == 0);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("fit locks the folder before its first step") {
  const Directory folder;
  Checkpoints checkpoints(folder / "run");
  const pid_t holder = begin_child([&] {
    Checkpoints mine(folder / "run");
    mine.lock();
    ::pause();
    return 0;
  });
  for (int i = 0; i < 5000; ++i) {
    const int taken = in_child([&] {
      try {
        Checkpoints(folder / "run").lock();
      } catch (const IoError&) {
        return 1;
      }
      return 0;
    });
    if (taken == 1) break;
    ::usleep(1000);
  }
  Network<float> net;
  SGD<float> sgd;
  int steps = 0;
  const auto step = [&](Tape<float>& tape, const Batch<float>& b) {
    ++steps;
    return net.step(tape, b);
  };
  CHECK(contains(error_of<IoError>([&] {
                   fit(net.params, sgd, background_batches<float>(2), step,
                       {.progress = silent(), .checkpoints = &checkpoints});
                 }),
                 "in use: process " + std::to_string(holder)));
  CHECK(steps == 0);
  ::kill(holder, SIGKILL);
  end_of(holder);
}

TEST_CASE("strangers among the checkpoints harm nothing") {
  const Directory folder;
  TinyRun<float> run;
  Checkpoints checkpoints(folder.path(), {.keep = 1});
  run.steps(1);
  checkpoints.save(run.params, run.adam, run.progress);
  const Names strangers{"checkpoint-00000002.safetensors", "checkpoint-00000004.safetensors",
                        "checkpoint-00000005.safetensors", "checkpoint-99999999.safetensors"};
  fs::create_directories(folder / (strangers[0] + "/full"));
  REQUIRE(::mkfifo((folder / strangers[1]).c_str(), 0600) == 0);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::snprintf(name.sun_path, sizeof name.sun_path, "%s", (folder / strangers[2]).c_str());
  REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
  fs::create_directory(folder / strangers[3]);
  for (int i = 2; i <= 5; ++i) {
    run.steps(1);
    checkpoints.save(run.params, run.adam, run.progress);
    CHECK(checkpoints.files().size() == 1);
    TinyRun<float> other(9);
    CHECK(checkpoints.restore(other.params, other.adam)->step == i);
  }
  for (const std::string& stranger : strangers) {
    INFO(stranger);
    CHECK(fs::exists(fs::symlink_status(folder / stranger)));
  }
  CHECK(checkpoints.files() == Names{folder / "checkpoint-00000008.safetensors"});
  checkpoints.clear();
  CHECK(checkpoints.files().empty());
  CHECK(folder.files() == strangers);
  ::close(socket);
}

TEST_CASE("temporaries of one file go, and those of others stay") {
  const Directory folder;
  const pid_t dead = begin_child([] { return 0; });
  REQUIRE(end_of(dead) == 0);
  const std::string number = std::to_string(dead);
  for (const char* name : {"a.json", "b.json"}) {
    write_file(folder / (name + (".tmp." + number)), "torn");
    write_file(folder / name, "whole");
  }
  remove_temporaries(folder / "a.json");
  CHECK(folder.files() == Names{"a.json", "b.json", "b.json.tmp." + number});
  CHECK_THROWS_AS(remove_temporaries(folder / "none/a.json"), IoError);
}

TEST_CASE("the weights alone are the averages where the optimizer kept them") {
  const Directory folder;
  Network<double> net;
  SGD<double> sgd({.learning_rate = 0.5}, {.use_ema = true, .ema_momentum = 0.5});
  Checkpoints checkpoints(folder.path());
  const std::vector<Batch<double>> held_out{make_batch<double>(8), make_batch<double>(9, 1)};
  const auto step = [](const Network<double>& n) {
    return [&n](Tape<double>& tape, const Batch<double>& b) { return n.step(tape, b); };
  };
  Monitor best("test", "val_loss", MonitorMode::min);
  const History history = fit(net.params, sgd, background_batches<double>(3), step(net),
                              {.epochs = 4,
                               .validation = {held_out, step(net)},
                               .progress = silent(),
                               .checkpoints = &checkpoints,
                               .best_monitor = "val_loss"});
  const std::vector<double>& losses = history["val_loss"];
  Network<double> again;
  checkpoints.restore_best(again.params);
  CHECK(evaluate(again.params, held_out, step(again)).at("loss") ==
        *std::min_element(losses.begin(), losses.end()));
  Network<double> whole;
  SGD<double> other({.learning_rate = 0.5}, {.use_ema = true, .ema_momentum = 0.5});
  checkpoints.restore_best(whole.params, other);
  static_cast<void>(whole(Var<double>(held_out[0].x)));
  static_cast<void>(again(Var<double>(held_out[0].x)));
  CHECK(whole.params.values() != again.params.values());
  other.finalize(whole.params);
  CHECK(whole.params.values() == again.params.values());
}

TEST_CASE("a resumed run must have the configuration of the checkpoint") {
  const Directory folder;
  using Configuration = std::map<std::string, std::string>;
  const auto train = [&](std::int64_t epochs, Configuration configuration, Said& said) {
    Network<double> net;
    net.hidden.build({1, 2});
    net.output.build({1, 5});
    const auto before = net.params.values();
    SGD<double> sgd;
    Checkpoints checkpoints(folder / "run");
    try {
      fit(net.params, sgd, background_batches<double>(2),
          [&](auto& tape, const auto& b) { return net.step(tape, b); },
          {.epochs = epochs,
           .progress = silent(),
           .message = said.sink(),
           .checkpoints = &checkpoints,
           .resume = true,
           .configuration = std::move(configuration)});
    } catch (const Error&) {
      CHECK(net.params.values() == before);
      throw;
    }
  };
  Said said;
  train(1, {}, said);
  train(2, {{"rate", "0.5"}, {"data", "7 pairs"}, {"empty", ""}}, said);
  REQUIRE(said.texts.size() == 1);
  CHECK(contains(said.texts[0], "options and data are not compared"));
  train(3, {{"rate", "0.5"}, {"data", "7 pairs"}, {"empty", ""}}, said);
  const auto refused = [&](Configuration configuration) {
    return error_of<ValueError>([&] { train(4, std::move(configuration), said); });
  };
  const std::string text = refused({{"rate", "0.25"}, {"data", "7 pairs"}, {"more", "1"}});
  CHECK(contains(text,
                 "run/checkpoint-00000003.safetensors: cannot resume with other options or "
                 "data: empty is unknown, expected unset; more is 1, expected unknown; "
                 "rate is 0.25, expected 0.5;"));
  CHECK(!contains(text, "7 pairs"));
  Configuration many;
  for (int i = 0; i < 40; ++i) many["\x1b option " + std::to_string(i)] = std::string(500, '\n');
  const std::string cut = refused(many);
  CHECK(cut.size() < 2000);
  CHECK(contains(cut, "and 35 more"));
  CHECK(cut.find_first_of("\x1b\n") == std::string::npos);
  CHECK(said.texts.size() == 1);
  train(4, {}, said);  // whoever gives none compares none
}
