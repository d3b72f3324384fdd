#include "threads/settings.hpp"

#include "base/message.hpp"
#include "kernels/amx.hpp"
#include "kernels/isa.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace xtape::detail {

namespace {

/// The text may hold anything, and a message may go to a terminal.
std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 40;
  std::string shown(text.substr(0, kShown));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return "'" + shown + (text.size() > kShown ? "...'" : "'");
}

}  // namespace

std::size_t threads_of(const char* variable, const char* text) {
  const std::string_view all(text);
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), count);
  if (error == std::errc() && end == all.data() + all.size() && count >= 1 &&
      count <= kMostThreads) {
    return count;
  }
  fail<ValueError>(variable, "not a number of threads: it is ", quoted(all), ", expected 1 to ",
                   kMostThreads, "; correct it, or leave it unset for all processors");
}

void check_isa(const char* text) {
  if (text == nullptr || *text == '\0') return;
  std::string names;
  if (kernels::has_amx()) {
    if (kernels::kAmxName == text) return;
    names = kernels::kAmxName;
  }
  for (const kernels::Isa isa : kernels::kAllIsas) {
    if (!kernels::supported(isa)) continue;
    if (kernels::name(isa) == text) return;
    names += (names.empty() ? "" : " or ") + std::string(kernels::name(isa));
  }
  fail<ValueError>("XTAPE_ISA", "no instruction set of this processor and this build: it is ",
                   quoted(text), ", expected ", names,
                   "; correct it, or leave it unset for the best one");
}

std::size_t usable_processors() {
#if defined(__linux__)
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) == 0) {
    return std::clamp<std::size_t>(static_cast<std::size_t>(CPU_COUNT(&usable)), 1, kMostThreads);
  }
#endif
  return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, kMostThreads);
}

std::size_t default_threads() {
  check_isa(std::getenv("XTAPE_ISA"));
  const char* text = std::getenv("XTAPE_NUM_THREADS");
  return text == nullptr || *text == '\0' ? usable_processors()
                                          : threads_of("XTAPE_NUM_THREADS", text);
}

}  // namespace xtape::detail
