#pragma once
// Facts that ranks must have in common, compared at the start, after callbacks, and every so many steps.

#include "run/packing.hpp"

#include <xtape/run/fit.hpp>
#include <xtape/run/team.hpp>

#include <string>
#include <utility>
#include <vector>

namespace xtape::detail {

/// Throws ValueError for fewer shards than ranks.
void check_ranks(const char* who, const Team* team, std::int64_t shards);

/// Names and values that are equal on all ranks.
using Facts = std::vector<std::pair<std::string, std::string>>;

/// Throws an E, naming a rank and both values, unless all ranks have the facts of rank 0.
template <class E> void compare(Team& team, const Facts& facts);

/// Returns the version, the kernels in use, and the bits of a small computation.
template <class T> Facts facts_of_program();
/// Returns the options of fit that decide on results or on the order of calls.
template <class T> Facts facts_of(const FitOptions<T>& options, const Feed<T>& feed);
/// Returns a checksum for each parameter and one for the optimizer.
template <class T> Facts facts_of(const Params<T>& params, const Optimizer<T>& optimizer);

/// Returns the CRC-32C of all weights.
template <class T> std::uint32_t checksum(const Params<T>& params);

/// Throws TeamError, naming the callbacks, when ranks decide differently on stopping or on the rate.
void agree(Team& team, const Run& run, const std::vector<Callback*>& callbacks, const char* hook);

/// Returns f(). If it throws, the team learns that this rank cannot go on.
template <class F> auto ending_team(Team* team, const F& f) {
  try {
    return f();
  } catch (const std::exception& e) {
    if (team != nullptr) team->fail(e.what());
    throw;
  } catch (...) {
    if (team != nullptr) team->fail("an exception without a text");
    throw;
  }
}

}  // namespace xtape::detail
