#include <xtape/run/team.hpp>

#include "base/check.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

namespace xtape {

namespace {

/// The mail between the ranks, and who is still there.
struct Hub {
  explicit Hub(int ranks, double seconds)
      : size(ranks),
        stall_seconds(seconds),
        mail(static_cast<std::size_t>(ranks) * static_cast<std::size_t>(ranks)),
        ended(static_cast<std::size_t>(ranks)) {}

  std::deque<std::vector<std::byte>>& box(int from, int to) {
    return mail[static_cast<std::size_t>(from) * static_cast<std::size_t>(size) +
                static_cast<std::size_t>(to)];
  }

  int size;
  double stall_seconds;
  std::mutex mutex;  // guards what follows
  std::condition_variable change;
  std::vector<std::deque<std::vector<std::byte>>> mail;
  std::vector<bool> ended;
  std::optional<std::string> failure;
};

class ThreadTeam final : public Team {
 public:
  ThreadTeam(Hub& hub, int rank) : hub_(hub), rank_(rank) {}

  [[nodiscard]] int rank() const noexcept override { return rank_; }
  [[nodiscard]] int size() const noexcept override { return hub_.size; }

  void exchange(std::span<const Outgoing> send, std::span<const Incoming> receive) override {
    std::unique_lock lock(hub_.mutex);
    for (const Outgoing& piece : send) {
      hub_.box(rank_, piece.rank).emplace_back(piece.bytes.begin(), piece.bytes.end());
    }
    hub_.change.notify_all();
    for (std::size_t i = 0; i < receive.size(); ++i) {
      take(lock, receive[i], receive.subspan(i));
    }
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
  // `rest` begins with the piece, and has what is waited for.
  void take(std::unique_lock<std::mutex>& lock, const Incoming& piece,
            std::span<const Incoming> rest) {
    auto& box = hub_.box(piece.rank, rank_);
    const auto gone = [&] { return hub_.ended[static_cast<std::size_t>(piece.rank)]; };
    const bool answered =
        hub_.change.wait_for(lock, std::chrono::duration<double>(hub_.stall_seconds),
                             [&] { return !box.empty() || hub_.failure || gone(); });
    if (box.empty()) {
      if (hub_.failure) throw TeamError("team: " + *hub_.failure);
      if (answered) {
        detail::fail<TeamError>("team", "rank ended: ", name_of(rank_), " waits for ",
                                name_of(piece.rank),
                                ", which has ended, expected the same calls on all ranks");
      }
      std::vector<int> missing;
      for (const Incoming& other : rest) {
        if (hub_.box(other.rank, rank_).empty()) missing.push_back(other.rank);
      }
      hub_.failure = stalled(missing, hub_.stall_seconds);
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
