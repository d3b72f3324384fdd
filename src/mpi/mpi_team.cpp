#include <xtape/mpi/mpi_team.hpp>
#include <xtape/threads/parallel.hpp>

#include "base/check.hpp"

#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

namespace xtape {

namespace {

constexpr int kEnded = 1, kPiece = 2;                     // tags; channel c has kPiece + c
constexpr std::size_t kMostBytes = std::size_t{1} << 30;  // of a message: MPI counts in int
constexpr int kStalled = 75;                              // status of a process that gives up

using Clock = std::chrono::steady_clock;

double since(Clock::time_point then) {
  return std::chrono::duration<double>(Clock::now() - then).count();
}

/// Waits a little: not at all at first, then for other processes, then for a timer.
void pause_after(double seconds) {
  if (seconds < 20e-6) return;
  if (seconds < 2e-3) {
    ::sched_yield();
  } else {
    ::usleep(seconds < 0.1 ? 50 : 1000);
  }
}

int usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  return CPU_COUNT(&set);
}

}  // namespace

struct MpiTeam::State {
  MPI_Comm comm = MPI_COMM_NULL;
  bool owner = false;  // of MPI
  int rank = 0, size = 1;
  int exceptions = std::uncaught_exceptions();
  double stall_seconds;
  std::vector<std::string> hosts;

  /// Waits for the requests; peers[i] is the other rank of request i.
  void wait(const MpiTeam& team, std::vector<MPI_Request>& requests, const std::vector<int>& peers,
            const std::function<void()>& idle) const {
    const auto begin = Clock::now();
    double looked = 0;
    int ended = 0;  // times that a missing rank was found to have ended
    for (int done = 0;;) {
      MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
      if (done != 0) return;
      if (idle) idle();
      const double seconds = since(begin);
      pause_after(seconds);
      if (seconds < looked + 0.1) continue;
      looked = seconds;
      std::vector<int> missing;
      for (std::size_t i = 0; i < requests.size(); ++i) {
        int here = 1;
        if (requests[i] != MPI_REQUEST_NULL) MPI_Test(&requests[i], &here, MPI_STATUS_IGNORE);
        if (here == 0) missing.push_back(peers[i]);
      }
      missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
      // Its last pieces may arrive between the two looks.
      const int gone = ended_of(missing);
      if (gone >= 0 && ++ended > 3) {
        end_all("team: rank ended: " + team.name_of(rank) + " waits for " + team.name_of(gone) +
                ", which has ended, expected the same calls on all ranks");
      }
      if (seconds > stall_seconds) give_up(team, missing, seconds);
    }
  }
  [[noreturn]] void give_up(const MpiTeam& team, const std::vector<int>& missing,
                            double seconds) const {
    std::fprintf(stderr, "xtape: %s\n", team.stalled(missing, seconds).c_str());
    std::fflush(stderr);
    ::_exit(kStalled);  // the launcher ends the others
  }
  /// Returns a rank that told its end, or -1.
  [[nodiscard]] int ended_of(const std::vector<int>& ranks) const {
    for (const int other : ranks) {
      int ended = 0;
      MPI_Iprobe(other, kEnded, comm, &ended, MPI_STATUS_IGNORE);
      if (ended != 0) return other;
    }
    return -1;
  }
  [[noreturn]] void end_all(const std::string& why) const noexcept {
    std::fprintf(stderr, "xtape: %s\n", why.c_str());
    std::fflush(stderr);
    MPI_Abort(comm, 1);
    ::_exit(1);
  }
};

MpiTeam::MpiTeam(MpiOptions options) : state_(std::make_unique<State>()) {
  detail::check_positive("MpiTeam", "stall_seconds", options.stall_seconds);
  State& s = *state_;
  s.stall_seconds = options.stall_seconds;
  int begun = 0;
  MPI_Initialized(&begun);
  if (begun == 0) {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    s.owner = true;
  }
  MPI_Comm_dup(MPI_COMM_WORLD, &s.comm);
  MPI_Comm_rank(s.comm, &s.rank);
  MPI_Comm_size(s.comm, &s.size);
  if (s.size == 1) return;
  char name[MPI_MAX_PROCESSOR_NAME] = {};
  int length = 0;
  MPI_Get_processor_name(name, &length);
  s.hosts = all_gather(std::string(name, static_cast<std::size_t>(length)));
  const auto beside =
      std::count(s.hosts.begin(), s.hosts.end(), s.hosts[static_cast<std::size_t>(s.rank)]);
  // The processors of the machine are shared, unless the launcher has bound ranks to their own.
  const int usable = usable_processors();
  const bool bound = usable < static_cast<int>(std::thread::hardware_concurrency());
  if (std::getenv("XTAPE_NUM_THREADS") == nullptr && usable > 0) {
    const auto share = bound ? usable : usable / static_cast<int>(beside);
    set_num_threads(static_cast<std::size_t>(std::max(1, share)));
  } else if (usable > 0 && num_threads() > static_cast<std::size_t>(usable)) {
    std::fprintf(stderr,
                 "xtape: %s has %zu threads and may use %d processors; give mpirun --bind-to none, "
                 "or --map-by slot:PE=%zu\n",
                 name_of(s.rank).c_str(), num_threads(), usable, num_threads());
  }
}

MpiTeam::~MpiTeam() {
  State& s = *state_;
  // Without MPI_Finalize the launcher ends all ranks when this process ends, after its message.
  if (std::uncaught_exceptions() > s.exceptions) return;
  std::vector<MPI_Request> requests;
  std::vector<int> peers;
  char nothing = 0;
  for (int other = 0; other < s.size; ++other) {
    if (other == s.rank) continue;
    for (const bool sends : {true, false}) {
      requests.emplace_back();
      peers.push_back(sends ? -1 : other);
      if (sends) {
        MPI_Isend(&nothing, 0, MPI_BYTE, other, kEnded, s.comm, &requests.back());
      } else {
        MPI_Irecv(&nothing, 0, MPI_BYTE, other, kEnded, s.comm, &requests.back());
      }
    }
  }
  const auto begin = Clock::now();
  for (int done = requests.empty() ? 1 : 0; done == 0;) {
    MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
    pause_after(since(begin));
    if (done == 0 && since(begin) > s.stall_seconds) {
      std::vector<int> missing;
      for (std::size_t i = 0; i < requests.size(); ++i) {
        if (requests[i] != MPI_REQUEST_NULL && peers[i] >= 0) missing.push_back(peers[i]);
      }
      s.give_up(*this, missing, since(begin));
    }
  }
  MPI_Comm_free(&s.comm);
  if (s.owner) MPI_Finalize();
}

int MpiTeam::rank() const noexcept { return state_->rank; }
int MpiTeam::size() const noexcept { return state_->size; }

std::string MpiTeam::name_of(int rank) const {
  const auto& hosts = state_->hosts;
  const std::string name = Team::name_of(rank);
  return hosts.empty() ? name : name + " (" + hosts[static_cast<std::size_t>(rank)] + ")";
}

struct MpiTeam::Requests final : Team::Pending {
  explicit Requests(const MpiTeam& t) : team(t) {}
  bool done() override {
    int all = 1;
    MPI_Testall(static_cast<int>(requests.size()), requests.data(), &all, MPI_STATUSES_IGNORE);
    return all != 0;
  }
  void wait(const std::function<void()>& idle) override {
    team.state_->wait(team, requests, peers, idle);
  }

  const MpiTeam& team;
  std::vector<MPI_Request> requests;
  std::vector<int> peers;  // by request
};

void MpiTeam::exchange(std::span<const Outgoing> send, std::span<const Incoming> receive) {
  MpiTeam::start(0, send, receive)->wait();
}

std::unique_ptr<Team::Pending> MpiTeam::start(int channel, std::span<const Outgoing> send,
                                              std::span<const Incoming> receive) {
  auto started = std::make_unique<Requests>(*this);
  std::vector<MPI_Request>& requests = started->requests;
  std::vector<int>& peers = started->peers;
  const int tag = kPiece + channel;
  const auto each = [&](std::size_t size, const auto& start) {
    for (std::size_t at = 0; at < size || at == 0; at += kMostBytes) {
      requests.emplace_back();
      start(at, static_cast<int>(std::min(kMostBytes, size - at)));
    }
  };
  for (const Incoming& piece : receive) {
    each(piece.bytes.size(), [&](std::size_t at, int count) {
      peers.push_back(piece.rank);
      MPI_Irecv(piece.bytes.data() + at, count, MPI_BYTE, piece.rank, tag, state_->comm,
                &requests.back());
    });
  }
  for (const Outgoing& piece : send) {
    each(piece.bytes.size(), [&](std::size_t at, int count) {
      peers.push_back(piece.rank);
      MPI_Isend(piece.bytes.data() + at, count, MPI_BYTE, piece.rank, tag, state_->comm,
                &requests.back());
    });
  }
  return started;
}

void MpiTeam::fail(const std::string& why) noexcept {
  if (state_->size == 1) return;  // the exception does all
  // An error that all ranks find alike is told once.
  if (state_->rank != 0) ::sleep(1);
  state_->end_all(name_of(state_->rank) + ": " + why);
}

}  // namespace xtape
