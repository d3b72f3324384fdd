#include "threads/contention.hpp"

#if defined(__linux__)
#include <sched.h>

#include <cstddef>
#endif

namespace xtape::detail {

#if defined(__linux__)

int current_processor() { return sched_getcpu(); }

bool leave_processor(int processor) {
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return true;  // the system does not tell
  cpu_set_t others = usable;
  CPU_CLR(static_cast<std::size_t>(processor), &others);
  if (CPU_COUNT(&others) == 0) return false;
  // The first call moves the thread, the second one lets it use all processors again.
  sched_setaffinity(0, sizeof others, &others);
  sched_setaffinity(0, sizeof usable, &usable);
  return true;
}

#else

int current_processor() { return -1; }
bool leave_processor(int) { return true; }

#endif

}  // namespace xtape::detail
