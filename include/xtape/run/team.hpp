#pragma once
/// \file
/// Team: processes or threads that train one model together. fit takes one; ShardSum serves loops of
/// your own. run_threads() makes the ranks threads; the component xtape::mpi has a team of processes.

#include <xtape/base/error.hpp>
#include <xtape/base/shards.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace xtape {

/// A team cannot go on: a rank failed, ended, or does not answer.
struct TeamError : Error {
  using Error::Error;
};

/// Bytes for another rank.
struct Outgoing {
  int rank;                          ///< the receiver
  std::span<const std::byte> bytes;  ///< the bytes to send
};
/// Room for bytes of another rank, as many as it sends.
struct Incoming {
  int rank;                    ///< the sender
  std::span<std::byte> bytes;  ///< the place for its bytes
};

/// The ranks of one training. Every rank calls the same functions in the same order. A team only moves
/// bytes: xtape adds, so sums depend on no team. Use it from one thread.
class Team {
 public:
  virtual ~Team() = default;
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  /// The number of this rank, 0 to size() - 1.
  [[nodiscard]] virtual int rank() const noexcept = 0;
  /// Returns the number of ranks.
  [[nodiscard]] virtual int size() const noexcept = 0;
  /// Whether this is rank 0, which reads, writes and reports.
  [[nodiscard]] bool lead() const noexcept { return rank() == 0; }
  /// Returns "rank 2 of 4", with its host if there are several.
  [[nodiscard]] virtual std::string name_of(int rank) const;

  /// Sends and receives, and returns when all pieces are here and may be sent again. Pieces between
  /// two ranks arrive in the order of sending. TeamError when a rank failed, ended, or did not answer
  /// in time; a team of processes may end the process instead.
  virtual void exchange(std::span<const Outgoing> send, std::span<const Incoming> receive) = 0;
  /// An exchange that was started.
  struct Pending {
    virtual ~Pending() = default;
    /// Lets pieces move. Returns whether all are here and may be sent again. Errors as exchange().
    virtual bool done() = 0;
    /// Waits until that is so. A team may call `idle` in between, which must not touch this exchange.
    virtual void wait(const std::function<void()>& idle = {}) = 0;
  };
  /// Starts an exchange. Pieces of one channel are apart from those of others; channel 0 is that of
  /// exchange(). The memory of all stays as it is until done(). By default exchange() does it all now.
  virtual std::unique_ptr<Pending> start(int channel, std::span<const Outgoing> send,
                                         std::span<const Incoming> receive);
  /// Ends the team: this rank cannot go on. The other ranks get an error from their next exchange. A
  /// team of processes prints the reason, ends all, and does not return.
  virtual void fail(const std::string& why) noexcept = 0;

  /// Returns the bytes of every rank, by rank, in about 2 log2(size) messages of each. A team may call
  /// `idle` while it waits.
  [[nodiscard]] std::vector<std::string> all_gather(const std::string& mine,
                                                    const std::function<void()>& idle = {});
  /// Replaces the bytes by those of rank `from`.
  void broadcast(std::string& bytes, int from = 0);

  /// Tells what the team works on, for the message about a rank that does not answer.
  void set_step(std::int64_t step) noexcept { step_ = step; }
  /// Returns the step, for messages.
  [[nodiscard]] std::int64_t step() const noexcept { return step_; }

 protected:
  Team() = default;
  /// Returns "no answer: ...", which names the ranks that are waited for.
  [[nodiscard]] std::string stalled(const std::vector<int>& missing, double seconds) const;

 private:
  std::int64_t step_ = 0;
};

/// Returns how many ranks a launcher of MPI started, as the environment tells; 1 without one. A program
/// without MPI can refuse to train as many models.
int launched_ranks() noexcept;

/// Returns the shards that this rank computes; all of them without a team.
Shards shards_of(const Team* team, std::int64_t count);

/// Options of run_threads.
struct ThreadTeamOptions {
  double stall_seconds = 60;  ///< without an answer, until a wait is an error; positive
};

/// Calls work(team) on threads, one per rank, and waits for all. Each rank makes its own model, optimizer
/// and batches. If a rank throws, the others get a TeamError, and the first exception is thrown here.
/// ValueError unless `ranks` is positive.
void run_threads(int ranks, const std::function<void(Team&)>& work, ThreadTeamOptions options = {});

}  // namespace xtape
