#include "run/evaluate.hpp"

#include "base/check.hpp"
#include "base/instantiate.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reductions.hpp>

namespace xtape::detail {

template <class T> double checked_loss(const StepResult<T>& result) {
  if (!result.loss.has_value()) {
    fail<ValueError>("fit", "no loss: the step returned an empty Var, expected one with a value");
  }
  if (result.loss.size() != 1) {
    fail<ShapeError>("fit", "loss is not a scalar: loss is ", to_string(result.loss.shape()),
                     ", expected one element; reduce it with mean() or sum()");
  }
  check_not_negative("fit", "weight of the step", result.weight);
  check_not_negative("fit", "tokens of the step", result.tokens);
  return static_cast<double>(result.loss.item());
}
XTAPE_FOR_REALS(checked_loss);

template <class T>
std::int64_t count_steps(const char* who, const Feed<T>& feed, std::int64_t epoch,
                         const std::optional<std::int64_t>& limit) {
  const auto steps = static_cast<std::int64_t>(feed.steps(epoch));
  if (steps <= 0) {
    fail<ValueError>(who, "no batches: steps(", epoch, ") is ", steps, ", expected at least one");
  }
  if (limit && *limit > steps) {
    fail<ValueError>(who, "too few batches: steps(", epoch, ") is ", steps, ", expected at least ",
                     *limit, " as the options say; ask for fewer");
  }
  return limit.value_or(steps);
}
XTAPE_FOR_REALS(count_steps);

void fail_short(const char* who, std::int64_t epoch, std::int64_t batch, std::int64_t steps) {
  fail<ValueError>(who, "batches ended too early: epoch ", epoch, " has ", batch, ", expected ",
                   steps, " as steps() says");
}

void fill_logs(Logs& logs, const Mean& loss, const std::vector<Metric*>& metrics) {
  logs.set("loss", loss.result());
  for (const Metric* metric : metrics) logs.set(metric->name(), metric->result());
}

template <class T>
Logs run_test(const Params<T>& params, Feed<T>& feed, const std::vector<Metric*>& metrics,
              const std::optional<std::int64_t>& limit, TestHooks hooks, ProgressBar* bar) {
  const std::int64_t steps = count_steps("evaluate", feed, 0, limit);
  const bool calls = hooks.callbacks != nullptr && !hooks.callbacks->empty();
  if (calls) hooks.callbacks->call(&Callback::on_test_begin, *hooks.run);
  for (Metric* metric : metrics) metric->reset();
  Mean loss("loss");
  Tape<T> tape({.record = false});
  Logs logs;
  feed.begin(0, 0);
  for (std::int64_t batch = 0; batch < steps; ++batch) {
    if (!feed.more()) fail_short("evaluate", 0, batch, steps);
    if (calls) hooks.callbacks->call(&Callback::on_test_batch_begin, *hooks.run, batch);
    {
      const StepResult<T> result = feed.run(tape);
      checked_loss(result);
      const Var<T> penalties = tape.penalties(params);
      loss.update(static_cast<double>((sum(result.loss) + penalties).item()), result.weight);
    }
    tape.clear();
    if (batch + 1 < steps) feed.next();
    const bool due = bar != nullptr && bar->due(batch + 1);
    if (calls || due) fill_logs(logs, loss, metrics);
    if (calls) hooks.callbacks->call(&Callback::on_test_batch_end, *hooks.run, batch, logs);
    if (due) bar->update(batch + 1, logs);
  }
  feed.end();
  fill_logs(logs, loss, metrics);
  if (calls) hooks.callbacks->call(&Callback::on_test_end, *hooks.run, logs);
  if (bar != nullptr) bar->finish(steps, logs);
  return logs;
}
XTAPE_FOR_REALS(run_test);

template <class T>
Logs evaluate(const Params<T>& params, Feed<T>& feed, const EvaluateOptions& options) {
  if (options.steps) check_count("evaluate", "steps", *options.steps);
  check_metrics(options.metrics);
  ProgressBar bar(options.progress);
  bar.begin("", count_steps("evaluate", feed, 0, options.steps));
  return run_test(params, feed, options.metrics, options.steps, {}, &bar);
}
XTAPE_FOR_REALS(evaluate);

}  // namespace xtape::detail
