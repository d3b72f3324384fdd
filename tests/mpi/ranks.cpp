// One rank of a run for tests/mpi/check.sh: ranks FOLDER [SHARDS] [RESUME] [WHAT STEP RANK]. WHAT is kill,
// stop, throw or return, done by this rank after this step. The lead prints a checksum of its checkpoint.
#include "support/sharded_run.hpp"

#include <xtape/mpi/mpi_team.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>

using namespace xtape;

namespace {

struct Settings {
  std::string folder;
  std::int64_t shards;
  bool resume;
  std::string what;
  std::int64_t step;
  int rank;
};

void run(Team& team, const Settings& s) {
  test::ShardedRun run{.shards = s.shards, .epochs = 6, .save_steps = 1, .resume = s.resume};
  const StopSignals signals({.also = {SIGUSR1}});
  run.signals = &signals;
  run.after_batch = [&](Run& r) {
    if (r.step() != s.step || team.rank() != s.rank) return;
    if (s.what == "kill") static_cast<void>(std::raise(SIGKILL));
    if (s.what == "stop") static_cast<void>(std::raise(SIGSTOP));
    if (s.what == "signal") static_cast<void>(std::raise(SIGUSR1));
    if (s.what == "throw") throw std::runtime_error("fails on purpose");
  };
  if (s.what == "return" && team.rank() == s.rank) return;
  const std::string own =
      team.lead() ? s.folder : s.folder + "/rank-" + std::to_string(team.rank());
  const test::ShardedOutcome out = test::train(run, own, &team);
  if (!team.lead()) return;
  std::printf("%016llx%s\n", static_cast<unsigned long long>(stable_hash(out.checkpoint + out.csv)),
              out.history.interrupted ? " interrupted" : "");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    MpiTeam team({.stall_seconds = 3});
    const auto argument = [&](int i, const char* otherwise) {
      return std::string(i < argc ? argv[i] : otherwise);
    };
    run(team, {argument(1, "."), std::stoll(argument(2, "8")), argument(3, "no") == "resume",
               argument(4, ""), std::stoll(argument(5, "0")), std::stoi(argument(6, "0"))});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "ranks: %s\n", e.what());
    return 1;
  }
  return 0;
}
