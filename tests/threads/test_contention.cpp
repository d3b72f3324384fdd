// The policies for busy processors, fed with times and processor numbers.

#include "threads/contention.hpp"

#include "support/catch.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

using namespace xtape;
using detail::Backoff;
using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {

Backoff::Time at(Backoff::Duration time) { return Backoff::Time{} + std::chrono::hours(1) + time; }

/// Returns how long a backoff that began at this time lasts.
milliseconds length(const Backoff& backoff, Backoff::Duration begin) {
  milliseconds length{0};
  while (length < milliseconds(1000) && backoff.active(at(begin + length))) ++length;
  return length;
}

}  // namespace

TEST_CASE("jobs are shared until a worker has kept one waiting for long", "[threads]") {
  Backoff backoff;
  CHECK_FALSE(backoff.active(at(milliseconds(0))));
  SECTION("a wait below half a millisecond does not count") {
    backoff.waited(at(microseconds(0)), at(microseconds(10)), at(microseconds(509)));
    CHECK_FALSE(backoff.active(at(microseconds(509))));
  }
  SECTION("nor does one shorter than the rest of the job") {
    backoff.waited(at(milliseconds(0)), at(milliseconds(20)), at(milliseconds(39)));
    CHECK_FALSE(backoff.active(at(milliseconds(39))));
  }
  SECTION("half a millisecond after a short job is a long wait") {
    backoff.waited(at(microseconds(0)), at(microseconds(10)), at(microseconds(510)));
    CHECK(backoff.active(at(microseconds(510))));
    CHECK(length(backoff, microseconds(510)) == milliseconds(4));
  }
  SECTION("as long as the rest of the job is a long wait") {
    backoff.waited(at(milliseconds(0)), at(milliseconds(20)), at(milliseconds(40)));
    CHECK(length(backoff, milliseconds(40)) == milliseconds(4));
  }
}

TEST_CASE("a backoff that follows soon is four times as long, up to a limit", "[threads]") {
  Backoff backoff;
  milliseconds now{0};
  for (const int expected : {4, 16, 64, 256, 256}) {
    backoff.begin(at(now), at(now + milliseconds(1)));
    CHECK(length(backoff, now + milliseconds(1)) == milliseconds(expected));
    now += milliseconds(1 + expected);  // the next job begins at once
  }
  SECTION("within eight times its length is soon") {
    now += milliseconds(8 * 256 - 1);
    backoff.begin(at(now), at(now));
    CHECK(length(backoff, now) == milliseconds(256));
  }
  SECTION("after eight times its length it begins with 4 ms again") {
    now += milliseconds(8 * 256);
    backoff.begin(at(now), at(now));
    CHECK(length(backoff, now) == milliseconds(4));
  }
}

TEST_CASE("a worker moves off the caller's processor, and only off that", "[threads]") {
  int left = -1;
  const auto can = [&](int processor) {
    left = processor;
    return true;
  };
  const auto cannot = [&](int processor) {
    left = processor;
    return false;
  };
  CHECK(detail::keep_apart(2, 3, cannot));
  CHECK(detail::keep_apart(-1, -1, cannot));  // the system does not tell
  CHECK(left == -1);
  CHECK(detail::keep_apart(3, 3, can));
  CHECK(left == 3);
  CHECK_FALSE(detail::keep_apart(0, 0, cannot));
  CHECK(left == 0);
}

#if defined(__linux__)
TEST_CASE("leaving a processor keeps the affinity, and needs another processor", "[threads]") {
  cpu_set_t before;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  const auto affinity_is = [](const cpu_set_t& expected) {
    cpu_set_t now;
    REQUIRE(sched_getaffinity(0, sizeof now, &now) == 0);
    return CPU_EQUAL(&now, &expected) != 0;
  };
  const int here = detail::current_processor();
  REQUIRE(here >= 0);
  CHECK(detail::leave_processor(here) == (CPU_COUNT(&before) > 1));
  CHECK(affinity_is(before));
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(here), &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK_FALSE(detail::leave_processor(here));
  CHECK(affinity_is(one));
  CHECK(detail::current_processor() == here);
  REQUIRE(sched_setaffinity(0, sizeof before, &before) == 0);
}
#endif
