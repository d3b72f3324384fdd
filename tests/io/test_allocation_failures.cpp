// Memory runs out at every allocation in turn: a clean exception, nothing half done, all usable.

#include "support/catch.hpp"
#include "support/tiny_run.hpp"

#include <cstdlib>
#include <iostream>
#include <new>

namespace {

// How many more allocations of this thread succeed; negative: all.
thread_local std::int64_t left = -1;
thread_local bool failed = false;

void* take(std::size_t bytes, std::size_t alignment) {
  if (left == 0) {
    failed = true;
    throw std::bad_alloc();
  }
  if (left > 0) --left;
  // aligned_alloc wants a multiple of the alignment.
  void* p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

// The forms for arrays call these. Not inlined: g++ would see free() meet operator new.
[[gnu::noinline]] void* operator new(std::size_t bytes) { return take(bytes == 0 ? 1 : bytes, 16); }
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return take(bytes, static_cast<std::size_t>(alignment));
}
// std::stable_sort asks by this one, and does without.
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return left >= 0 ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
}
[[gnu::noinline]] void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}

using namespace xtape;
using namespace xtape::test;

namespace {

/// Runs fn with the k-th allocation failing, for every k until none does; `after` sees every failure.
/// Returns how many allocations fn makes.
template <class F, class After> std::int64_t sweep(const char* what, F fn, After after) {
  for (std::int64_t k = 0; k < 10000; ++k) {
    trim();  // so that arrays ask the system too
    failed = false;
    bool thrown = false;
    left = k;
    try {
      fn();
      left = -1;
    } catch (const std::bad_alloc&) {
      left = -1;
      thrown = true;
    } catch (...) {
      left = -1;
      FAIL_CHECK(what << ": another exception than bad_alloc at allocation " << k);
    }
    if (!failed) {
      std::cout << what << ": " << k << " allocations failed in turn\n";
      return k;
    }
    INFO(what << ", allocation " << k);
    // A failure that was swallowed would be a result that lacks something.
    CHECK(thrown);
    after();
  }
  return 10000;
}

struct Model {
  explicit Model(std::uint64_t seed)
      : params({.seed = seed}),
        attention(params.scope() / "attention", {.num_heads = 2, .key_dim = 3}),
        dense(params.scope() / "dense", {.units = 2, .kernel_regularizer = "l2"}) {
    attention.build({1, 2, 4}, {1, 3, 4});
    dense.build({1, 4});
  }
  Params<double> params;
  MultiHeadAttention<double> attention;
  Dense<double> dense;
};

}  // namespace

TEST_CASE("memory runs out while weights are saved: the file before stays") {
  const Directory folder;
  for (const std::string name : {"w.safetensors", "w.npz"}) {
    const std::string path = folder / name;
    const Model first(1), second(2);
    save(first.params, path);
    const std::string before = read_text(path);
    const std::int64_t count = sweep(("save " + name).c_str(), [&] { save(second.params, path); },
                                     [&] {
                                       CHECK((read_text(path) == before));
                                       CHECK(folder.files() == std::vector<std::string>{name});
                                     });
    CHECK(count > 20);
    CHECK(count < 10000);
    CHECK((read_text(path) != before));
    std::filesystem::remove(path);
  }
}

TEST_CASE("memory runs out while weights are loaded: the parameters stay") {
  const Directory folder;
  for (const std::string name : {"w.safetensors", "w.npz"}) {
    const std::string path = folder / name;
    const Model saved(1);
    save(saved.params, path);
    for (const bool strict : {false, true}) {
      Model model(2);
      const auto before = model.params.values();
      const std::int64_t count = sweep(((strict ? "strict load " : "load ") + name).c_str(),
                                       [&] { load(model.params, path, {.strict = strict}); },
                                       [&] {
                                         CHECK(same_bits(model.params.values(), before));
                                         CHECK_NOTHROW(model.params.check_pending());
                                       });
      CHECK(count > 20);
      CHECK(count < 10000);
      CHECK(same_bits(model.params.values(), saved.params.values()));
    }
    std::filesystem::remove(path);
  }
}

TEST_CASE("memory runs out while a checkpoint is saved: the one before stays") {
  const Directory folder;
  const std::string path = folder / "a";
  TinyRun<double> run;
  run.steps(2);
  run.progress.texts["note"] = "longer than what a string holds without an allocation";
  run.save(path);
  const std::string before = read_text(path);
  run.step();
  const Snapshot<double> state(run);
  const std::int64_t count = sweep(
      "save_checkpoint", [&] { run.save(path); },
      [&] {
        CHECK((read_text(path) == before));
        CHECK(folder.files() == std::vector<std::string>{"a"});
      });
  CHECK(count > 50);
  CHECK(count < 10000);
  CHECK((read_text(path) != before));
  CHECK(Snapshot(run) == state);
}

TEST_CASE("memory runs out while a checkpoint is loaded: weights and optimizer stay") {
  const Directory folder;
  Checkpoints checkpoints(folder.path());
  TinyRun<double> saved;
  saved.steps(3);
  saved.progress.texts["note"] = "longer than what a string holds without an allocation";
  checkpoints.save(saved.params, saved.adam, saved.progress);
  const std::string path = checkpoints.files().at(0);
  for (const bool built : {false, true}) {
    for (const bool folder_too : {false, true}) {
      TinyRun<double> run(9);
      if (built) run.steps(1);
      const Snapshot<double> before(run);
      TrainingProgress progress;
      const std::int64_t count = sweep(
          folder_too ? "Checkpoints::restore" : "load_checkpoint",
          [&] {
            progress = folder_too ? *checkpoints.restore(run.params, run.adam) : run.load(path);
          },
          [&] {
            CHECK(Snapshot(run) == before);
            CHECK_NOTHROW(run.params.check_pending());
          });
      CHECK(count > 50);
      CHECK(count < 10000);
      run.build();
      CHECK(Snapshot(run) == Snapshot(saved));
      CHECK(same(progress, saved.progress));
    }
  }
}

TEST_CASE("memory runs out in attention, forward and backward: the tape is usable") {
  Model model(1);
  const Array<double> q = random_array<double>({2, 3, 4}, 1);
  const Array<double> v = random_array<double>({2, 5, 4}, 2);
  std::vector<Array<double>> results;
  Tape<double> tape;
  const auto step = [&] {
    const Var<double> x = tape.watch(q);
    const Var<double> y = model.dense(model.attention(
        x, tape.input(v), {.mask = Mask::padding({5, 3}, 5), .use_causal_mask = true}));
    const auto gradients = tape.backward(sum(square(y)) + tape.penalties(model.params));
    results = {y.value(), gradients[x].value(), gradients.at("attention/key/kernel").value()};
  };
  step();
  const auto expected = results;
  int unusable = 0;
  const std::int64_t count = sweep("attention, forward and backward", step, [&] {
    tape.clear();
    results.clear();
    step();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      unusable += !same_bits(results[i], expected[i]);
    }
  });
  CHECK(unusable == 0);
  CHECK(count > 100);
  CHECK(count < 10000);
}
