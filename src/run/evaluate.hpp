#pragma once
// A pass over batches without training.

#include "run/callback_list.hpp"

#include <xtape/run/fit.hpp>

namespace xtape::detail {

/// The loss of one batch as a number, checked.
template <class T>
double checked_loss(const StepResult<T>& result);

/// How many batches there are: at most `limit`. ValueError for none, and where fewer than the limit.
template <class T>
std::int64_t count_steps(const char* who, const Feed<T>& feed, std::int64_t epoch,
                         const std::optional<std::int64_t>& limit);

/// ValueError: the range ended too early.
[[noreturn]] void fail_short(const char* who, std::int64_t epoch, std::int64_t batch,
                             std::int64_t steps);

struct TestHooks {
  const CallbackList* callbacks = nullptr;
  Run* run = nullptr;
};

template <class T>
Logs run_test(const Params<T>& params, Feed<T>& feed, const std::vector<Metric*>& metrics,
              const std::optional<std::int64_t>& limit, TestHooks hooks, ProgressBar* bar);

/// The loss and the metrics now.
void fill_logs(Logs& logs, const Mean& loss, const std::vector<Metric*>& metrics);

}  // namespace xtape::detail
