// Training runs that end suddenly: killed at random instants, or told to stop. The run that goes on
// ends with the same bytes. XTAPE_KILLS: how many are killed (20).

#include "support/catch.hpp"
#include "support/processes.hpp"
#include "support/tiny_run.hpp"

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>

using namespace xtape;
using namespace xtape::test;

namespace {

constexpr std::int64_t kSteps = 150;
constexpr std::int64_t kEvery = 4;  // steps between two checkpoints

/// Memory that parent and child share.
struct Shared {
  std::atomic<std::int64_t> saved{0};    // the step of the last save that came back
  std::atomic<std::int64_t> reached{0};  // steps done
  std::atomic<std::int64_t> resumed{0};  // where the last child began
};

class SharedMemory {
 public:
  SharedMemory()
      : at_(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                   0)) {
    if (at_ == MAP_FAILED) throw std::runtime_error("no shared memory");
    new (at_) Shared;
  }
  ~SharedMemory() { ::munmap(at_, sizeof(Shared)); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  Shared* operator->() const { return static_cast<Shared*>(at_); }
  Shared& operator*() const { return *static_cast<Shared*>(at_); }

 private:
  void* at_;
};

/// The program that is interrupted: goes on from the newest checkpoint, trains, saves, and leaves its
/// last state in `folder`/end. Returns 0 also when it was told to stop.
int train(const std::string& folder, Shared& shared) {
  TinyRun<float> run;
  Checkpoints checkpoints(folder + "/run");
  if (const auto found = checkpoints.restore(run.params, run.adam)) run.start(*found);
  if (!checkpoints.skipped().empty()) return 3;
  shared.resumed = run.progress.step;
  const StopSignals signals;
  while (run.progress.step < kSteps && !signals.requested()) {
    run.step();
    shared.reached = run.progress.step;
    const double loss = run.progress.numbers["loss"];
    if (run.progress.step % kEvery == 0) {
      double& best = run.progress.numbers.emplace("best", HUGE_VAL).first->second;
      const bool is_best = loss < best;
      if (is_best) best = loss;
      checkpoints.save(run.params, run.adam, run.progress, is_best);
      shared.saved = run.progress.step;
    }
  }
  if (run.progress.step < kSteps) {
    checkpoints.save(run.params, run.adam, run.progress);
    shared.saved = run.progress.step;
    return 0;
  }
  run.save(folder + "/end");
  return 0;
}

std::int64_t number_from_environment(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoll(text, nullptr, 10);
}

/// Loads every file as a reader elsewhere would; false when one cannot be.
bool all_load(const Checkpoints& checkpoints) {
  std::vector<std::string> paths = checkpoints.files();
  if (std::ifstream(checkpoints.best_file())) paths.push_back(checkpoints.best_file());
  for (const std::string& path : paths) {
    TinyRun<float> run(77);
    try {
      run.load(path);
    } catch (const Error& e) {
      std::cout << e.what() << '\n';
      return false;
    }
  }
  return true;
}

void sleep_for(std::chrono::nanoseconds time) {
  const timespec t{time.count() / 1'000'000'000, time.count() % 1'000'000'000};
  ::nanosleep(&t, nullptr);
}

}  // namespace

TEST_CASE("killed at random instants, a run loses no completed save and ends with the same bytes") {
  const SharedMemory shared;
  const Directory whole;
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(in_child([&] { return train(whole.path(), *shared); }) == 0);
  const auto duration = std::chrono::steady_clock::now() - begin;
  const std::string expected = read_text(whole / "end");
  const std::string best = read_text(whole / "run/best.safetensors");

  const std::int64_t kills = number_from_environment("XTAPE_KILLS", 20);
  const std::int64_t seed = number_from_environment("XTAPE_KILLS_SEED", 1);
  RandomStream stream(static_cast<std::uint64_t>(seed), 5);
  std::int64_t killed = 0;
  std::int64_t torn = 0;
  std::int64_t finished = 0;
  std::int64_t most_lost = 0;
  bool good = true;
  while (killed < kills && good) {
    const Directory folder;
    shared->saved = 0;
    shared->reached = 0;
    for (bool running = true; running && good;) {
      const pid_t child = begin_child([&] { return train(folder.path(), *shared); });
      if (killed < kills) {
        sleep_for(
            std::chrono::duration_cast<std::chrono::nanoseconds>(duration * stream.uniform() / 2));
        ::kill(child, SIGKILL);
      }
      const int end = end_of(child);
      running = end == -SIGKILL;
      if (!running) {
        good = good && end == 0;
        break;
      }
      ++killed;
      if (!std::filesystem::exists(folder / "run")) continue;  // killed before it began
      for (const auto& entry : std::filesystem::directory_iterator(folder / "run")) {
        torn += contains(entry.path().filename().string(), ".tmp.") ? 1 : 0;
      }
      Checkpoints checkpoints(folder / "run");
      TinyRun<float> run(77);
      const auto progress = checkpoints.restore(run.params, run.adam);
      const std::int64_t restored = progress ? progress->step : 0;
      most_lost = std::max(most_lost, shared->reached - restored);
      INFO("kill " << killed << " of seed " << seed << ": restored " << restored << ", saved "
                   << shared->saved << ", reached " << shared->reached);
      good = good && checkpoints.skipped().empty() && all_load(checkpoints) &&
             restored >= shared->saved && shared->reached - restored <= kEvery;
      CHECK(good);
    }
    if (!good || !std::filesystem::exists(folder / "end")) break;
    ++finished;
    good =
        read_text(folder / "end") == expected && read_text(folder / "run/best.safetensors") == best;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "run")) {
      good = good && !contains(entry.path().filename().string(), ".tmp.");
    }
    CHECK(good);
  }
  std::cout << killed << " runs killed, " << torn << " of them while writing; at most " << most_lost
            << " steps lost; " << finished << " runs went on to the end, all with the same bytes\n";
  CHECK(good);
  CHECK(killed == kills);
  CHECK(finished > 0);
}

TEST_CASE("told to stop, a run finishes its step, saves, and goes on later to the same bytes") {
  const SharedMemory shared;
  const Directory whole;
  REQUIRE(in_child([&] { return train(whole.path(), *shared); }) == 0);
  const std::string expected = read_text(whole / "end");
  const Directory folder;
  for (const int signal : {SIGTERM, SIGINT, SIGTERM}) {
    shared->reached = 0;
    const pid_t child = begin_child([&] {
      std::signal(SIGINT, SIG_DFL);  // ignored in a shell's background
      return train(folder.path(), *shared);
    });
    for (int i = 0; shared->reached == 0 && i < 300'000; ++i) {  // half a minute at most
      sleep_for(std::chrono::microseconds(100));
    }
    ::kill(child, signal);
    CHECK(end_of(child) == 0);
    CHECK(shared->saved == shared->reached);
    if (shared->reached == kSteps) break;
    TinyRun<float> run;
    CHECK(Checkpoints(folder / "run").restore(run.params, run.adam)->step == shared->reached);
  }
  REQUIRE(in_child([&] { return train(folder.path(), *shared); }) == 0);
  CHECK((read_text(folder / "end") == expected));
}
