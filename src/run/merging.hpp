#pragma once
// States of metrics, of parts that are computed apart; and the end of a team when one rank fails.

#include "run/packing.hpp"

#include <xtape/metrics/metrics.hpp>
#include <xtape/run/team.hpp>

#include <string>
#include <vector>

namespace xtape::detail {

using States = std::vector<std::vector<double>>;  // of each metric

inline States states_of(const std::vector<Metric*>& metrics) {
  States states;
  for (const Metric* metric : metrics) states.push_back(metric->state());
  return states;
}

/// Sets the metrics to `before`, and adds the states of the parts in order.
inline void merge_after(const std::vector<Metric*>& metrics, const States& before,
                        const std::vector<States>& parts) {
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    metrics[i]->load_state(before[i]);
    for (const States& part : parts) metrics[i]->merge(part[i]);
  }
}

/// Throws ValueError for a metric that has no state to merge.
inline void check_states(const char* who, const std::vector<Metric*>& metrics) {
  for (const Metric* metric : metrics) {
    if (!metric->state().empty()) continue;
    fail<ValueError>(who, "metric without a state: state() of '", metric->name(),
                     "' is empty, expected its sums, because those of shards are merged; define "
                     "state() and load_state()");
  }
}

inline void put_numbers(std::string& bytes, const States& states) {
  put<std::uint64_t>(bytes, states.size());
  for (const std::vector<double>& state : states) {
    put<std::uint64_t>(bytes, state.size());
    for (const double value : state) put<double>(bytes, value);
  }
}
inline States get_numbers(Reader& reader) {
  States states(reader.get<std::uint64_t>());
  for (std::vector<double>& state : states) {
    for (auto n = reader.get<std::uint64_t>(); n > 0; --n) state.push_back(reader.get<double>());
  }
  return states;
}

}  // namespace xtape::detail
