// The sum of gradients over ranks against MPI_Allreduce of the same bytes, and what a message costs:
//   mpirun -n 2 build/bench/bench/reduction [MOST_ELEMENTS]
#include <xtape/mpi/mpi_team.hpp>
#include <xtape/xtape.hpp>

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

namespace xp = xtape;

namespace {

constexpr int kTimes = 15;

/// A team of one, which sends nothing: what is left is the copy of the gradient.
class Alone final : public xp::Team {
 public:
  [[nodiscard]] int rank() const noexcept override { return 0; }
  [[nodiscard]] int size() const noexcept override { return 1; }
  void exchange(std::span<const xp::Outgoing>, std::span<const xp::Incoming>) override {}
  void fail(const std::string&) noexcept override {}
};

/// Milliseconds, sorted.
using Times = std::vector<double>;

void measure(Times& times, const std::function<void()>& work) {
  MPI_Barrier(MPI_COMM_WORLD);
  const auto begin = std::chrono::steady_clock::now();
  work();
  times.push_back(
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  std::sort(times.begin(), times.end());
}
double median(const Times& times) { return times[times.size() / 2]; }

/// Adds up a gradient of ones; every rank has a shard.
void add_up(const xp::Params<float>& params, xp::ShardSum<float>& shards,
            const xp::Array<float>& ones) {
  xp::Gradients<float> gradients;
  xp::set_gradient(gradients, params.at("dense/kernel"), ones);
  shards.add(shards.mine().begin, std::move(gradients), 1);
  static_cast<void>(shards.finish());
}

void row(xp::Team& team, std::size_t n) {
  constexpr std::size_t kWidth = 1024;
  xp::Params<float> params({.seed = 1});
  const xp::Dense<float> dense(params.scope() / "dense", {.units = kWidth, .use_bias = false});
  static_cast<void>(dense(xp::Var<float>(xp::Array<float>(xp::Shape{1, n / kWidth}, 1.0F))));
  const xp::Array<float> ones(xp::Shape{n / kWidth, kWidth}, 1.0F);
  std::vector<float> sums(n, 1.0F);
  Alone alone;
  xp::ShardSum<float> shared(params, team.size(), &team),
      own(params, 1, &alone);  // with their room
  Times reduce, tree, local;
  for (int i = 0; i < kTimes; ++i) {  // in turn: others use the machine
    measure(reduce, [&] {
      MPI_Allreduce(MPI_IN_PLACE, sums.data(), static_cast<int>(n), MPI_FLOAT, MPI_SUM,
                    MPI_COMM_WORLD);
    });
    measure(tree, [&] { add_up(params, shared, ones); });
    measure(local, [&] { add_up(params, own, ones); });
  }
  if (!team.lead()) return;
  std::printf("%9zu %11.2f %11.2f %11.2f %11.2f %11.2f %11.2f %8.2f\n", n, reduce[0],
              median(reduce), tree[0], median(tree), local[0], median(local),
              (median(tree) - median(local)) / median(reduce));
  std::fflush(stdout);
}

/// Prints the time of a message of so many bytes each way between neighbours.
void message(xp::Team& team, std::size_t bytes) {
  std::vector<std::byte> mine(bytes), theirs(bytes);
  const int other = team.rank() ^ 1;
  if (other >= team.size()) return;
  Times times;
  for (int i = 0; i < 200; ++i) {
    const xp::Outgoing send{other, mine};
    const xp::Incoming receive{other, theirs};
    const auto begin = std::chrono::steady_clock::now();
    team.exchange({&send, 1}, {&receive, 1});
    times.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count());
  }
  std::sort(times.begin(), times.end());
  if (team.lead()) {
    std::printf("message of %zu bytes: least %.2f us, median %.2f us\n", bytes, times[0],
                median(times));
  }
}

}  // namespace

int main(int argc, char** argv) {
  xp::MpiTeam team;
  const auto most = static_cast<std::size_t>(argc > 1 ? std::atoll(argv[1]) : 1 << 24);
  message(team, 8);
  message(team, 1 << 20);
  if (team.lead()) {
    std::printf("ranks %d, milliseconds\n%9s %23s %23s %23s %8s\n%9s", team.size(), "elements",
                "MPI_Allreduce", "tree with a copy", "the copy alone", "ratio", "");
    for (int i = 0; i < 3; ++i) std::printf(" %11s %11s", "least", "median");
    std::printf("\n");
  }
  for (std::size_t n = 1 << 16; n <= most; n *= 4) row(team, n);
}
