#pragma once
// Programs under mpirun: their ranks, what these send each other, and how they end.

#include "console.hpp"

#include <xtape/run/team.hpp>
#ifdef WITH_MPI
#include <xtape/mpi/mpi_team.hpp>
#endif

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace console {

/// Returns the team that a launcher of MPI started, or null for a process alone. ValueError if the processes cannot be
/// a team: each would do the same work.
inline std::unique_ptr<xtape::Team> make_team() {
  const int ranks = xtape::launched_ranks();
  if (ranks == 1) return nullptr;
  const std::string started =
      "mpirun: this program was started " + std::to_string(ranks) + " times, ";
#ifdef WITH_MPI
  auto team = std::make_unique<xtape::MpiTeam>();
  if (team->size() == ranks) return team;
  throw xtape::ValueError(
      started + "but rank 0 finds " + std::to_string(team->size()) + ", expected all; use the " +
      "mpirun of the MPI that it was built with, and under Slurm srun --mpi=pmix");
#else
  throw xtape::ValueError(
      started + "expected once, because it was built without MPI; leave out mpirun, or build it " +
      "where an MPI is installed (tools/setup.sh mpi)");
#endif
}

/// Whether this process reads, writes and prints: it is rank 0, or alone.
inline bool leads(const xtape::Team* team) { return team == nullptr || team->lead(); }

/// Throws ValueError in a team, for commands of one process.
inline void need_one_process(int ranks, const std::string& command) {
  if (ranks == 1) return;
  throw xtape::ValueError("mpirun: '" + command + "' was started " + std::to_string(ranks) +
                          " times, expected once, because it has no work to share; leave out "
                          "mpirun");
}

/// Throws ValueError for fewer shards than ranks.
inline void need_shards(const xtape::Team* team, std::int64_t shards) {
  if (team == nullptr || team->size() <= shards) return;
  const std::string ranks = std::to_string(team->size());
  throw xtape::ValueError("--shards: fewer than ranks: it is " + std::to_string(shards) +
                          ", expected at least " + ranks + ", one for each rank; give --shards " +
                          ranks + ", and note that it changes the result");
}

/// Runs a command of a program, which gets the team or null and returns the exit status. Rank 0 alone prints. An
/// exception on any rank ends all of them with its message.
template <class Command> int run_ranks(const std::string& program, const Command& command) {
  return run(program, [&] {
    const std::unique_ptr<xtape::Team> team = make_team();
    if (team == nullptr) return command(nullptr);
    output().silent = !team->lead();
    output().terminal = false;  // the launcher passes the bytes on
    try {
      const int status = command(team.get());
      check_output();
      return status;
    } catch (const std::exception& e) {
      flush();
      team->fail(shortened(escaped(e.what())));
      throw;
    }
  });
}

/// Returns the text that rank 0 makes. The other ranks need not see its files.
template <class Make> std::string from_lead(xtape::Team* team, const Make& make) {
  std::string text;
  if (leads(team)) text = make();
  if (team != nullptr) team->broadcast(text);
  return text;
}

/// Returns the sum over the ranks.
inline double summed(xtape::Team* team, double value) {
  if (team == nullptr) return value;
  double sum = 0;
  for (const std::string& text :
       team->all_gather({reinterpret_cast<const char*>(&value), sizeof value})) {
    double one = 0;
    std::memcpy(&one, text.data(), sizeof one);
    sum += one;
  }
  return sum;
}

/// Throws ValueError, naming a rank, unless the text is that of rank 0 on all ranks.
inline void need_same(xtape::Team* team, const std::string& what, const std::string& text,
                      const std::string& remedy) {
  if (team == nullptr) return;
  const std::vector<std::string> all = team->all_gather(text);
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    throw xtape::ValueError("ranks differ: " + what + " is " + all[rank] + " on " +
                            team->name_of(static_cast<int>(rank)) + ", expected " + all[0] +
                            " as on " + team->name_of(0) + "; " + remedy);
  }
}

/// Numbers and texts as bytes, for messages between ranks of one program.
class Message {
 public:
  Message() = default;
  explicit Message(std::string bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] bool done() const { return at_ == bytes_.size(); }

  template <class V> void put(V value) {
    static_assert(std::is_arithmetic_v<V>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put(const std::string& text) {
    put<std::uint64_t>(text.size());
    bytes_ += text;
  }
  template <class V> void put(const std::vector<V>& values) {
    put<std::uint64_t>(values.size());
    for (const V& value : values) put(value);
  }
  template <class V> void get(V& value) {
    std::memcpy(&value, bytes_.data() + take(sizeof value), sizeof value);
  }
  void get(std::string& text) {
    std::uint64_t size = 0;
    get(size);
    text.assign(bytes_, take(size), size);
  }
  template <class V> void get(std::vector<V>& values) {
    std::uint64_t size = 0;
    get(size);
    for (values.clear(); values.size() < size;) get(values.emplace_back());
  }

 private:
  std::size_t take(std::size_t size) {
    if (size > bytes_.size() - at_) throw xtape::TeamError("team: message out of form");
    at_ += size;
    return at_ - size;
  }
  std::string bytes_;
  std::size_t at_ = 0;
};

}  // namespace console
