#include <xtape/run/team.hpp>

#include "base/check.hpp"

#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

namespace xtape {

namespace {

/// The mail between the ranks, and who is still there.
struct Hub {
  Hub(int ranks, double seconds)
      : size(ranks), stall_seconds(seconds), ended(static_cast<std::size_t>(ranks)) {}

  int size;
  double stall_seconds;
  std::mutex mutex;  // guards what follows
  std::condition_variable change;
  std::map<std::array<int, 3>, std::deque<std::vector<std::byte>>> mail;  // by channel, from, to
  std::vector<bool> ended;
  std::optional<std::string> failure;
};

class ThreadTeam final : public Team {
 public:
  ThreadTeam(Hub& hub, int rank) : hub_(hub), rank_(rank) {}

  [[nodiscard]] int rank() const noexcept override { return rank_; }
  [[nodiscard]] int size() const noexcept override { return hub_.size; }

  void exchange(std::span<const Outgoing> send, std::span<const Incoming> receive) override {
    ThreadTeam::start(0, send, receive)->wait();
  }
  std::unique_ptr<Pending> start(int channel, std::span<const Outgoing> send,
                                 std::span<const Incoming> receive) override {
    const std::lock_guard lock(hub_.mutex);
    for (const Outgoing& piece : send) {
      hub_.mail[{channel, rank_, piece.rank}].emplace_back(piece.bytes.begin(), piece.bytes.end());
    }
    hub_.change.notify_all();
    return std::make_unique<Receipt>(*this, channel, receive);
  }
  void fail(const std::string& why) noexcept override {
    const std::lock_guard lock(hub_.mutex);
    if (!hub_.failure) hub_.failure = name_of(rank_) + " failed: " + why;
    hub_.change.notify_all();
  }
  void end() {
    const std::lock_guard lock(hub_.mutex);
    hub_.ended[static_cast<std::size_t>(rank_)] = true;
    hub_.change.notify_all();
  }

 private:
  /// Pieces to be received. Sending copies, so it is over at once.
  struct Receipt final : Pending {
    Receipt(ThreadTeam& t, int c, std::span<const Incoming> pieces)
        : team(t), channel(c), receive(pieces.begin(), pieces.end()) {}
    bool done() override { return finish(0); }
    // Called once: pieces of other exchanges are copied by their sender, and need no call to move.
    void wait(const std::function<void()>& idle) override {
      if (idle) idle();
      finish(team.hub_.stall_seconds);
    }
    bool finish(double seconds) {
      std::unique_lock lock(team.hub_.mutex);
      for (; taken < receive.size(); ++taken) {
        if (!team.take(lock, channel, std::span(receive).subspan(taken), seconds)) return false;
      }
      return true;
    }
    ThreadTeam& team;
    int channel;
    std::vector<Incoming> receive;
    std::size_t taken = 0;
  };

  // Receives the first of the pieces. Returns false if it is not here and no time is given.
  bool take(std::unique_lock<std::mutex>& lock, int channel, std::span<const Incoming> pieces,
            double seconds) {
    const Incoming& piece = pieces.front();
    auto& box = hub_.mail[{channel, piece.rank, rank_}];
    const auto ready = [&] {
      return !box.empty() || hub_.failure || hub_.ended[static_cast<std::size_t>(piece.rank)];
    };
    const bool answered =
        ready() ||
        (seconds > 0 &&
         hub_.change.wait_for(lock, std::chrono::duration<double>(std::min(seconds, 1e9)), ready));
    if (box.empty()) {
      if (hub_.failure) throw TeamError("team: " + *hub_.failure);
      if (answered) {
        detail::fail<TeamError>("team", "rank ended: ", name_of(rank_), " waits for ",
                                name_of(piece.rank),
                                ", which has ended, expected the same calls on all ranks");
      }
      if (seconds == 0) return false;
      std::vector<int> missing;
      for (const Incoming& other : pieces) {
        if (hub_.mail[{channel, other.rank, rank_}].empty()) missing.push_back(other.rank);
      }
      hub_.failure = stalled(missing, seconds);
      hub_.change.notify_all();
      throw TeamError(*hub_.failure);
    }
    const std::vector<std::byte> bytes = std::move(box.front());
    box.pop_front();
    if (bytes.size() != piece.bytes.size()) {
      detail::fail<TeamError>("team", "piece of another size: ", name_of(piece.rank), " sent ",
                              bytes.size(), " bytes, expected ", piece.bytes.size(),
                              "; call the same functions on all ranks");
    }
    std::copy(bytes.begin(), bytes.end(), piece.bytes.begin());
    return true;
  }

  Hub& hub_;
  int rank_;
};

}  // namespace

void run_threads(int ranks, const std::function<void(Team&)>& work, ThreadTeamOptions options) {
  detail::check_count("run_threads", "ranks", ranks);
  detail::check_positive("run_threads", "stall_seconds", options.stall_seconds);
  Hub hub(ranks, options.stall_seconds);
  std::mutex mutex;  // guards the exceptions
  std::exception_ptr first, consequence;
  const auto run = [&](int rank) {
    ThreadTeam team(hub, rank);
    try {
      work(team);
    } catch (const TeamError& e) {  // mostly: another rank failed
      team.fail(e.what());
      const std::lock_guard lock(mutex);
      if (!consequence) consequence = std::current_exception();
    } catch (const std::exception& e) {
      team.fail(e.what());
      const std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
    } catch (...) {
      team.fail("an exception without a text");
      const std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
    }
    team.end();
  };
  std::vector<std::thread> threads;
  try {
    for (int rank = 1; rank < ranks; ++rank) threads.emplace_back(run, rank);
    run(0);
  } catch (const std::system_error& e) {
    ThreadTeam(hub, 0).fail(e.what());
    const std::lock_guard lock(mutex);
    first = std::current_exception();
  }
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
  if (consequence) std::rethrow_exception(consequence);
}

}  // namespace xtape
