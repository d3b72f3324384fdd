#include <xtape/run/team.hpp>

#include "base/message.hpp"
#include "run/packing.hpp"

#include <algorithm>
#include <cstdlib>

namespace xtape {

namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}
std::span<std::byte> room_in(std::string& text) { return std::as_writable_bytes(std::span(text)); }

}  // namespace

std::string Team::name_of(int rank) const {
  return "rank " + std::to_string(rank) + " of " + std::to_string(size());
}

std::unique_ptr<Team::Pending> Team::start(int /*channel*/, std::span<const Outgoing> send,
                                           std::span<const Incoming> receive) {
  struct Over final : Pending {
    bool done() override { return true; }
    void wait(const std::function<void()>& /*idle*/) override {}
  };
  exchange(send, receive);
  return std::make_unique<Over>();
}

std::string Team::stalled(const std::vector<int>& missing, double seconds) const {
  std::string names;
  for (const int rank : missing) names += (names.empty() ? "" : ", ") + name_of(rank);
  return detail::message("team", "no answer: ", name_of(rank()), " waits in step ", step_,
                         " since ", seconds, " seconds for ", names,
                         ", expected an answer; look at what they do, or resume without them");
}

// Bruck's algorithm: the blocks of ranks rank() ... rank() + known - 1 are here, and double.
std::vector<std::string> Team::all_gather(const std::string& mine,
                                          const std::function<void()>& idle) {
  const int n = size();
  std::vector<std::string> blocks{mine};
  for (int known = 1; known < n; known *= 2) {
    const int to = (rank() + n - known) % n, from = (rank() + known) % n;
    const auto count = static_cast<std::size_t>(std::min(known, n - known));
    std::string sizes, there(count * sizeof(std::uint64_t), '\0'), own;
    for (std::size_t i = 0; i < count; ++i) {
      detail::put<std::uint64_t>(sizes, blocks[i].size());
      own += blocks[i];
    }
    const Outgoing header{to, bytes_of(sizes)}, body{to, bytes_of(own)};
    const Incoming header_room{from, room_in(there)};
    start(0, {&header, 1}, {&header_room, 1})->wait(idle);
    std::vector<std::size_t> lengths;
    std::size_t length = 0;
    for (detail::Reader reader(there); !reader.done(); length += lengths.back()) {
      lengths.push_back(reader.get<std::uint64_t>());
    }
    std::string got(length, '\0');
    const Incoming room{from, room_in(got)};
    start(0, {&body, 1}, {&room, 1})->wait(idle);
    std::size_t at = 0;
    for (const std::size_t size : lengths) {
      blocks.push_back(got.substr(at, size));
      at += size;
    }
  }
  // blocks[i] is of rank rank() + i.
  std::rotate(blocks.begin(), blocks.begin() + (n - rank()) % n, blocks.end());
  return blocks;
}

// Along a binomial tree: after the round of distance d, the ranks below 2 d (from `from` on) have them.
void Team::broadcast(std::string& bytes, int from) {
  const int n = size(), place = (rank() - from + n) % n;
  for (int distance = 1; distance < n; distance *= 2) {
    const int other = place < distance ? place + distance : place - distance;
    if (place >= 2 * distance || other >= n) continue;
    const int peer = (other + from) % n;
    std::string size;
    if (place < distance) {
      detail::put<std::uint64_t>(size, bytes.size());
      const Outgoing send[] = {{peer, bytes_of(size)}, {peer, bytes_of(bytes)}};
      exchange({send, bytes.empty() ? 1U : 2U}, {});
    } else {
      size.resize(sizeof(std::uint64_t));
      const Incoming header{peer, room_in(size)};
      exchange({}, {&header, 1});
      bytes.assign(detail::Reader(size).get<std::uint64_t>(), '\0');
      const Incoming room{peer, room_in(bytes)};
      if (!bytes.empty()) exchange({}, {&room, 1});
    }
  }
}

int launched_ranks() noexcept {
  // Open MPI; MPICH, and Slurm's older PMI; srun with any.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    const char* const value = std::getenv(name);
    if (value != nullptr && std::atoi(value) > 0) return std::atoi(value);
  }
  return 1;
}

Shards shards_of(const Team* team, std::int64_t count) {
  if (team == nullptr) return {count, 0, count};
  const auto first = [&](std::int64_t rank) {
    return static_cast<std::int64_t>(
        detail::first_of(rank, team->size(), static_cast<std::size_t>(count)));
  };
  return {count, first(team->rank()), first(team->rank() + 1)};
}

}  // namespace xtape
