#pragma once
/// \file
/// MpiTeam: a team of processes, for training on many machines. The component xtape::mpi:
///
///     find_package(xtape REQUIRED COMPONENTS mpi)
///     target_link_libraries(program PRIVATE xtape::mpi)
///
///     MpiTeam team;                                  // mpirun -n 4 program
///     fit(params, adam, batches, step, {.shards = 8, .team = &team});

#include <xtape/run/team.hpp>

#include <memory>

namespace xtape {

/// Options of MpiTeam.
struct MpiOptions {
  double stall_seconds =
      600;  ///< without an answer, until the process ends with status 75; positive
};

/// The processes that mpirun or srun started; alone, a team of one. MPI moves bytes between two ranks
/// and computes nothing, so results depend on no algorithm of MPI. Waits poll, yield and then sleep, so
/// that ranks may outnumber processors.
///
/// Make it in main(), at the beginning, and let it live until the end. The destructor waits for all
/// ranks. It does not end MPI while an exception passes: the launcher then ends all ranks as soon as this
/// process does. If a rank fails in fit, its message is printed, and MPI_Abort ends all.
class MpiTeam final : public Team {
 public:
  /// Starts MPI unless the program did. If several ranks share a machine and XTAPE_NUM_THREADS is not
  /// set, they share its processors: set_num_threads(). Ranks that are bound to fewer processors than
  /// they have threads are told. ValueError for options out of range.
  explicit MpiTeam(MpiOptions options = {});
  ~MpiTeam() override;

  [[nodiscard]] int rank() const noexcept override;
  [[nodiscard]] int size() const noexcept override;
  /// Returns "rank 2 of 4 (node7)".
  [[nodiscard]] std::string name_of(int rank) const override;
  void exchange(std::span<const Outgoing> send, std::span<const Incoming> receive) override;
  std::unique_ptr<Pending> start(int channel, std::span<const Outgoing> send,
                                 std::span<const Incoming> receive) override;
  void fail(const std::string& why) noexcept override;

 private:
  struct State;
  struct Requests;
  std::unique_ptr<State> state_;
};

}  // namespace xtape
