#pragma once
// Two policies of the pool for processors that other programs use too. Each works without the other.

#include <algorithm>
#include <chrono>

namespace xtape::detail {

/// Decides for how long the caller does jobs alone. A preempted worker stops for milliseconds, and a small job then
/// mostly waits for it. So after a long wait the caller backs off from sharing: for 4 ms, and for 4 times as long as
/// before if it happens soon again. Long jobs gain in spite of preemption and cause no backoff.
class Backoff {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;
  static constexpr Duration kLongWait = std::chrono::microseconds(500);
  static constexpr Duration kFirst = std::chrono::milliseconds(4);
  static constexpr Duration kLongest = std::chrono::milliseconds(256);

  /// Returns whether the caller should work alone now.
  [[nodiscard]] bool active(Time now) const { return now < end_; }

  /// Notes that the caller of a job begun at `start` had done its part at `done` and waited for workers until `now`.
  void waited(Time start, Time done, Time now) {
    if (now - done >= std::max(kLongWait, done - start)) begin(start, now);
  }

  /// Begins a backoff, because the job begun at `start` gained nothing from workers.
  void begin(Time start, Time now) {
    const bool soon_again = start - end_ < 8 * length_;
    length_ = soon_again ? std::min(4 * length_, kLongest) : kFirst;
    end_ = now + length_;
  }

 private:
  Time end_{};
  Duration length_{0};
};

/// Returns the processor of this thread; negative where the system does not tell.
int current_processor();

/// Moves this thread from its processor to another one in its affinity. Returns false if there is no other.
bool leave_processor(int processor);

/// Returns whether a worker found on processor `here` may help a caller on processor `callers`: not on the same one,
/// where it would gain what the caller loses. Calls leave(here) to move the worker off. The system does not: with
/// most processors in use, Linux wakes a thread where it was.
template <class Leave> bool keep_apart(int here, int callers, const Leave& leave) {
  return here < 0 || here != callers || leave(here);
}

}  // namespace xtape::detail
