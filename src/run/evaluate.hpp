#pragma once
// A pass over batches without training.

#include "run/callback_list.hpp"

#include <xtape/run/fit.hpp>

namespace xtape::detail {

/// Returns the loss of one batch as a number. ValueError, ShapeError for a result out of form.
template <class T> double checked_loss(const char* who, const StepResult<T>& result);

/// Returns the number of batches, or the limit. ValueError for no batches, or fewer than the limit.
template <class T>
std::int64_t count_steps(const char* who, const Feed<T>& feed, std::int64_t epoch,
                         const std::optional<std::int64_t>& limit);

/// Throws ValueError: the range ended too early.
[[noreturn]] void fail_short(const char* who, std::int64_t epoch, std::int64_t batch,
                             std::int64_t steps);

struct TestHooks {
  const CallbackList* callbacks = nullptr;
  Run* run = nullptr;
};

/// How the sums of a metric are added: sample by sample; or batch by batch, in order, by a team or alone.
struct TestSums {
  bool by_batch = false;
  Team* team = nullptr;
};

/// Runs the step on the batches of epoch 0 without recording; returns the loss and the metrics. Each rank
/// of a team runs a range of the batches; then all call the hooks of all batches.
template <class T>
Logs run_test(const Params<T>& params, Feed<T>& feed, const std::vector<Metric*>& metrics,
              const std::optional<std::int64_t>& limit, TestHooks hooks, ProgressBar* bar,
              TestSums sums);

/// Sets the present loss and metrics.
void fill_logs(Logs& logs, const Mean& loss, const std::vector<Metric*>& metrics);

}  // namespace xtape::detail
