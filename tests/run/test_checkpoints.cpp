// Checkpoints: what is in the file, that all of it comes back, and what is refused.

#include "support/catch.hpp"
#include "support/processes.hpp"
#include "support/tiny_run.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <limits>

using namespace xtape;
using namespace xtape::test;
namespace fs = std::filesystem;
using Names = std::vector<std::string>;

namespace {

TrainingProgress special_progress() {
  using Limits = std::numeric_limits<double>;
  TrainingProgress p{.epoch = 3,
                     .batch = std::numeric_limits<std::int64_t>::max(),
                     .step = 1'000'000'007,
                     .tape_seed = std::numeric_limits<std::uint64_t>::max(),
                     .random_index = std::uint64_t{1} << 63U};
  p.numbers = {{"zero", 0.0},
               {"minus zero", -0.0},
               {"one", 1.0},
               {"tenth", 0.1},
               {"third", -1.0 / 3},
               {"big", 123456789012345680.0},
               {"bigger", 1e23},
               {"2^64", 0x1p64},
               {"most", Limits::max()},
               {"least", Limits::denorm_min()},
               {"normal", Limits::min()},
               {"inf", Limits::infinity()},
               {"-inf", -Limits::infinity()},
               {"nan", Limits::quiet_NaN()},
               {"other nan", std::bit_cast<double>(0xFFF8000012345678U)},
               {"a \"quoted\"\n\\name\t\u00e9", 2.5}};
  RandomStream stream(3, 4);
  for (int i = 0; i < 300; ++i) {  // of any size and sign
    const std::uint64_t bits = (std::uint64_t{stream.bits()} << 32U) | stream.bits();
    p.numbers["r" + std::to_string(i)] = std::bit_cast<double>(bits);
  }
  p.texts = {{"", ""}, {"note", "line\nline \u4f60\u597d \x7F"}, {"nul", std::string("a\0b", 3)}};
  return p;
}

}  // namespace

TEMPLATE_TEST_CASE("a run that is interrupted goes on bit by bit", "", float, double) {
  const Directory folder;
  const std::string path = folder / "run.safetensors";
  TinyRun<TestType> whole;
  whole.steps(40);
  for (const bool built : {false, true}) {
    for (const int cut : {0, 1, 17, 40}) {
      TinyRun<TestType> first;
      first.build();
      first.steps(cut);
      first.save(path);
      TinyRun<TestType> second(99);  // other initial values
      if (built) {
        second.build();
        second.steps(3);
      }
      second.start(second.load(path));
      CHECK(same(second.progress, first.progress));
      second.steps(40 - cut);
      second.build();
      INFO("interrupted after " << cut << ", built " << built);
      CHECK(Snapshot(second) == Snapshot(whole));
      CHECK(same(second.progress, whole.progress));
    }
  }
}

TEST_CASE(
    "every reader of safetensors sees weights and optimizer, and the same state has the same "
    "bytes") {
  const Directory folder;
  TinyRun<float> run;
  run.steps(3);
  save_checkpoint(folder / "a", run.params, run.adam, special_progress());
  const TensorFile file = read_safetensors(folder / "a");
  Names names;
  for (const auto& [name, tensor] : file.tensors) names.push_back(name);
  CHECK(names == Names{"optimizer/adam/m/hidden/bias", "optimizer/adam/m/hidden/kernel",
                       "optimizer/adam/m/output/bias", "optimizer/adam/m/output/kernel",
                       "optimizer/adam/v/hidden/bias", "optimizer/adam/v/hidden/kernel",
                       "optimizer/adam/v/output/bias", "optimizer/adam/v/output/kernel",
                       "params/hidden/bias", "params/hidden/kernel", "params/output/bias",
                       "params/output/kernel"});
  for (const auto& [path, value] : run.params.values()) {
    CHECK(same_bits(to_array<float>(file.tensors.at("params/" + path)), value));
  }
  CHECK(file.metadata.size() == 2);
  CHECK(file.metadata.at("crc32c").size() == 8);
  const std::string& notes = file.metadata.at("xtape.checkpoint");
  for (const std::string& part : std::initializer_list<std::string>{
           R"({"version":1,"arithmetic":)" + std::to_string(arithmetic()) + ",",
           R"("epoch":3,"batch":9223372036854775807,"step":1000000007,)",
           R"("tape_seed":18446744073709551615,"random_index":9223372036854775808,"numbers":{)",
           R"("minus zero":-0.0)", R"("tenth":0.1)", R"("one":1.0)",
           R"("nan":"nan:7ff8000000000000")", R"("-inf":"-inf")",
           R"("optimizer":{"adam/steps":3.0}})"}) {
    INFO(part << " in " << notes);
    CHECK(contains(notes, part));
  }
  TinyRun<float> again(17);
  const TrainingProgress loaded = again.load(folder / "a");
  CHECK(same(loaded, special_progress()));
  again.build();
  save_checkpoint(folder / "b", again.params, again.adam, loaded);
  CHECK((read_text(folder / "a") == read_text(folder / "b")));
}

TEST_CASE("weights alone, also into the other type") {
  const Directory folder;
  TinyRun<float> run;
  run.steps(3);
  run.progress.texts["note"] = "x";
  run.save(folder / "a");
  TinyRun<double> other;
  CHECK(same(load_checkpoint(folder / "a", other.params), run.progress));
  other.build();
  for (const auto& [path, value] : run.params.values()) {
    CHECK(difference(other.params.at(path).value(), value) == 0);
  }
  CHECK(other.adam.state().arrays.empty());
}

TEST_CASE("another architecture or optimizer: one message with all names, and nothing changes") {
  const Directory folder;
  const std::string path = folder / "a";
  TinyRun<float> run;
  run.steps(2);
  run.save(path);

  SECTION("missing, unexpected and mis-shaped weights") {
    Params<float> params({.seed = 1});
    const Dense<float> hidden(params.scope() / "hidden", {.units = 7});
    const Dense<float> extra(params.scope() / "extra", {.units = 1});
    const Dense<float> output(params.scope() / "output", {.units = 2, .use_bias = false});
    for (const bool built : {false, true}) {
      if (built)
        static_cast<void>(output(extra(hidden(Var<float>(Array<float>(Shape{1, 3}, 1.0F))))));
      const auto before = params.values();
      Adam<float> adam;
      std::string text = error_of<ParameterError>([&] { load_checkpoint(path, params, adam); });
      INFO(text);
      CHECK(
          text.starts_with(path + ": another architecture: missing: 'extra/kernel' 'extra/bias';"));
      CHECK(contains(text, "unexpected: 'output/bias';"));
      CHECK(contains(text, built ? "mis-shaped: 'hidden/kernel' is F32 (3, 6), expected F32 (3, 7);"
                                 : "mis-shaped: none;"));
      CHECK(contains(text, "'hidden/bias' is F32 (6,), expected F32 (7,)") == built);
      CHECK(text == error_of<ParameterError>([&] { load_checkpoint(path, params); }));
      CHECK(same_bits(params.values(), before));
      CHECK_NOTHROW(params.check_pending());
      CHECK(adam.state().arrays.empty());
    }
  }
  SECTION("another type") {
    TinyRun<double> other;
    other.steps(1);
    const Snapshot<double> before(other);
    const std::string text = error_of<ParameterError>([&] { other.load(path); });
    CHECK(contains(text, "'hidden/kernel' is F32 (3, 6), expected F64 (3, 6)"));
    CHECK(Snapshot(other) == before);
  }
  SECTION("another optimizer, or other options") {
    TinyRun<float> other(8);
    other.steps(1);
    const Snapshot<float> before(other);
    SGD<float> sgd({.momentum = 0.9});
    Adam<float> amsgrad(
        {.learning_rate = schedules::Noam{.d_model = 4, .warmup_steps = 3}, .amsgrad = true});
    Adam<float> constant;
    const auto refused = [&](Optimizer<float>& optimizer) {
      const std::string text =
          error_of<ParameterError>([&] { load_checkpoint(path, other.params, optimizer); });
      INFO(text);
      CHECK(text.starts_with(path + ": load_state: state does not fit: "));
      CHECK(optimizer.state().arrays.empty());
      CHECK(optimizer.iterations() == 0);
      CHECK(Snapshot(other) == before);
      CHECK_NOTHROW(other.params.check_pending());
      return text;
    };
    CHECK(contains(refused(sgd), "'adam/m/hidden/kernel' is unexpected"));
    CHECK(contains(refused(amsgrad), "'adam/v_max/hidden/kernel' is missing"));
    CHECK(contains(refused(constant), "'adam/learning_rate' is missing"));
  }
  SECTION("layers that come later are checked when they come") {
    Params<float> params;
    Adam<float> adam({.learning_rate = schedules::Constant{}});
    load_checkpoint(path, params, adam);
    const Dense<float> hidden(params.scope() / "hidden", {.units = 7});
    CHECK(contains(error_of<ParameterError>([&] {
                     hidden.build({1, 3});
                   }),
                   "missing: none; unexpected: 'output/bias' 'output/kernel';"));
    const Dense<float> output(params.scope() / "output", {.units = 2});
    CHECK(contains(error_of<ShapeError>([&] { hidden.build({1, 3}); }), "(3, 6), expected (3, 7)"));
    CHECK_THROWS_AS(params.check_pending(), ParameterError);
  }
}

TEST_CASE("what cannot be saved is refused, and the file before stays") {
  const Directory folder;
  const std::string path = folder / "a";
  TinyRun<float> run;
  const auto refused = [&](const TrainingProgress& progress) {
    try {
      save_checkpoint(path, run.params, run.adam, progress);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(contains(refused({}), path + ": not built yet: 'hidden/kernel'"));
  run.params.set("hidden/kernel", Array<float>(Shape{3, 6}, 1.0F));
  CHECK(contains(refused({}), "values without a layer"));
  run.steps(1);
  run.save(path);
  const std::string before = read_text(path);
  CHECK(contains(refused({.epoch = -1}), "progress out of range: epoch is -1"));
  CHECK(contains(refused({.batch = -1}), "batch -1"));
  CHECK(contains(refused({.step = -5}), "step -5"));
  CHECK(contains(refused({.numbers = {{"\xFF", 1}}}), "progress a file cannot hold: '\\xff'"));
  CHECK(contains(refused({.texts = {{"key", "\xC0\x80"}}}), "cannot hold: 'key'"));
  CHECK((read_text(path) == before));
  CHECK(folder.files() == Names{"a"});
}

TEST_CASE("the last K and the best are kept, numbered as they were saved") {
  const Directory folder;
  TinyRun<float> run;
  Checkpoints checkpoints(folder / "deep/er", {.keep = 3});
  CHECK(checkpoints.files().empty());
  CHECK(!checkpoints.restore(run.params, run.adam));
  CHECK(!checkpoints.restore_best(run.params, run.adam));
  CHECK(!checkpoints.restore_best(run.params));
  std::vector<Snapshot<float>> history;
  for (int i = 1; i <= 6; ++i) {
    run.step();
    history.emplace_back(run);
    checkpoints.save(run.params, run.adam, run.progress, i == 2);
  }
  const Directory& f = folder;
  const std::string base = f / "deep/er";
  CHECK(checkpoints.files() == Names{base + "/checkpoint-00000004.safetensors",
                                     base + "/checkpoint-00000005.safetensors",
                                     base + "/checkpoint-00000006.safetensors"});
  CHECK(checkpoints.best_file() == base + "/best.safetensors");
  CHECK(std::distance(fs::directory_iterator(base), {}) == 4);

  TinyRun<float> other(9);
  other.build();
  CHECK(checkpoints.restore(other.params, other.adam)->step == 6);
  CHECK(Snapshot(other) == history[5]);
  CHECK(checkpoints.skipped().empty());
  CHECK(checkpoints.restore_best(other.params, other.adam)->step == 2);
  CHECK(Snapshot(other) == history[1]);
  TinyRun<float> weights(9);
  weights.build();
  CHECK(checkpoints.restore_best(weights.params)->step == 2);
  CHECK(same_bits(weights.params.values(), history[1].weights));

  // Another object, fewer to keep; the order is that of numbers, also where they grow longer.
  fs::rename(checkpoints.files().back(), base + "/checkpoint-99999999.safetensors");
  write_file(base + "/checkpoint-1.safetensors", "not ours: too few digits");
  write_file(base + "/checkpoint-0000000x.safetensors", "nor this");
  write_file(base + "/checkpoint-1234567890123456789.safetensors", "nor this: too many");
  Checkpoints later(base, {.keep = 1});
  later.save(run.params, run.adam, run.progress);
  CHECK(later.files() == Names{base + "/checkpoint-100000000.safetensors"});
  CHECK(std::distance(fs::directory_iterator(base), {}) == 5);
  CHECK_THROWS_AS(Checkpoints(base, {.keep = 0}), ValueError);
}

TEST_CASE("the newest that is undamaged is restored, and those passed over are told") {
  const Directory folder;
  TinyRun<float> run;
  Checkpoints checkpoints(folder.path(), {.keep = 3});
  for (int i = 1; i <= 4; ++i) {
    run.step();
    checkpoints.save(run.params, run.adam, run.progress, i == 1);
  }
  const Names files = checkpoints.files();
  const auto damage = [](const std::string& path) {
    std::string text = read_text(path);
    text.back() = static_cast<char>(text.back() ^ 1);
    write_file(path, text);
  };
  damage(files[2]);
  write_file(files[1], read_text(files[1]).substr(0, 100));
  TinyRun<float> other(9);
  CHECK(checkpoints.restore(other.params, other.adam)->step == 2);
  REQUIRE(checkpoints.skipped().size() == 2);
  CHECK(checkpoints.skipped()[0].path == files[2]);
  CHECK(contains(checkpoints.skipped()[0].reason, files[2] + ": damaged: checksum is "));
  CHECK(checkpoints.skipped()[1].path == files[1]);
  CHECK(contains(checkpoints.skipped()[1].reason, "header beyond the file"));

  // Damaged ones do not count among those to keep.
  checkpoints.save(run.params, run.adam, run.progress);
  checkpoints.save(run.params, run.adam, run.progress);
  CHECK(checkpoints.files().front() == files[0]);
  checkpoints.save(run.params, run.adam, run.progress);
  CHECK(checkpoints.files().size() == 3);

  // The best is the last resort.
  for (const std::string& path : checkpoints.files()) damage(path);
  CHECK(checkpoints.restore(other.params, other.adam)->step == 1);
  CHECK(checkpoints.skipped().size() == 3);
  damage(checkpoints.best_file());
  other.build();
  const Snapshot<float> before(other);
  const std::string text =
      error_of<FormatError>([&] { checkpoints.restore(other.params, other.adam); });
  CHECK(contains(text, folder.path() + ": none of its 4 checkpoints can be loaded"));
  CHECK(contains(text, "best.safetensors: damaged"));
  CHECK_THROWS_AS(checkpoints.restore_best(other.params, other.adam), FormatError);
  CHECK(Snapshot(other) == before);

  // One of another model is not passed over: it would be lost by and by.
  Params<float> params;
  const Dense<float> dense(params.scope() / "dense", {.units = 1});
  dense.build({1, 1});
  Adam<float> adam({.learning_rate = schedules::Constant{}});
  checkpoints.save(run.params, run.adam, run.progress);
  CHECK_THROWS_AS(checkpoints.restore(params, adam), ParameterError);
}

TEST_CASE("what a dead process was writing is removed, what a living one writes stays") {
  const Directory folder;
  const auto left = [&](const std::string& name) {
    write_file(folder / name, "torn");
    return name;
  };
  const pid_t dead = begin_child([] { return 0; });
  REQUIRE(end_of(dead) == 0);
  const std::string number = std::to_string(dead);
  left("checkpoint-00000003.safetensors.tmp." + number);
  left("best.safetensors.tmp." + number + ".2");
  // Its number is ours now, as always in a container.
  left("checkpoint-00000004.safetensors.tmp." + std::to_string(::getpid()));
  Names stay{left("model.safetensors.tmp." + number), left("checkpoint-00000003.safetensors.tmp."),
             left("checkpoint-00000003.safetensors.tmp.x"), left("notes.txt")};
  // A process that is writing: stopped while it does.
  const std::string path = folder / "checkpoint-00000005.safetensors";
  TinyRun<float> run(1, 100'000);
  run.build();
  const pid_t writer = begin_child([&] {
    for (;;) run.save(path);
    return 0;
  });
  const std::string writing = path + ".tmp." + std::to_string(writer);
  for (int tries = 0; tries < 1000; ++tries) {
    ::usleep(2000);
    ::kill(writer, SIGSTOP);
    int status = 0;
    ::waitpid(writer, &status, WUNTRACED);  // it goes on for a moment
    if (fs::exists(writing)) break;
    ::kill(writer, SIGCONT);
  }
  REQUIRE(fs::exists(writing));
  const bool whole = fs::exists(path);
  Checkpoints(folder.path());
  CHECK(fs::exists(writing));
  ::kill(writer, SIGKILL);
  CHECK(end_of(writer) == -SIGKILL);
  if (whole) stay.push_back("checkpoint-00000005.safetensors");
  Checkpoints again(folder.path());
  std::sort(stay.begin(), stay.end());
  CHECK(folder.files() == stay);
}
