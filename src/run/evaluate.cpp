#include "run/evaluate.hpp"

#include "base/check.hpp"
#include "base/instantiate.hpp"
#include "run/merging.hpp"
#include "run/ranks.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reductions.hpp>

namespace xtape::detail {

template <class T> double checked_loss(const char* who, const StepResult<T>& result) {
  if (!result.loss.has_value()) {
    fail<ValueError>(who, "no loss: the step returned an empty Var, expected one with a value");
  }
  if (result.loss.size() != 1) {
    fail<ShapeError>(who, "loss is not a scalar: loss is ", to_string(result.loss.shape()),
                     ", expected one element; reduce it with mean() or sum()");
  }
  check_not_negative(who, "weight of the step", result.weight);
  check_not_negative(who, "tokens of the step", result.tokens);
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

namespace {

/// The numbers of one batch.
struct TestNumbers {
  double loss = 0, weight = 0;
  std::vector<std::vector<double>> metrics = {};
};

/// Returns the numbers of all batches, in order.
std::vector<TestNumbers> gather(Team& team, const std::vector<TestNumbers>& own) {
  std::string mine;
  for (const TestNumbers& numbers : own) {
    put<double>(mine, numbers.loss);
    put<double>(mine, numbers.weight);
    put_numbers(mine, numbers.metrics);
  }
  std::vector<TestNumbers> all;
  for (const std::string& bytes : team.all_gather(mine)) {
    Reader reader(bytes);
    while (!reader.done()) {
      const auto loss = reader.get<double>();
      const auto weight = reader.get<double>();
      all.push_back({loss, weight, get_numbers(reader)});
    }
  }
  return all;
}

template <class T> TestNumbers run_batch(const Params<T>& params, Feed<T>& feed, Tape<T>& tape) {
  const StepResult<T> result = feed.run(tape);
  checked_loss("evaluate", result);
  const Var<T> penalties = tape.penalties(params);
  return {static_cast<double>((sum(result.loss) + penalties).item()), result.weight};
}

}  // namespace

template <class T>
Logs run_test(const Params<T>& params, Feed<T>& feed, const std::vector<Metric*>& metrics,
              const std::optional<std::int64_t>& limit, TestHooks hooks, ProgressBar* bar,
              TestSums sums) {
  const std::int64_t steps = count_steps("evaluate", feed, 0, limit);
  const bool calls = hooks.callbacks != nullptr && !hooks.callbacks->empty();
  if (calls) hooks.callbacks->call(&Callback::on_test_begin, *hooks.run);
  for (Metric* metric : metrics) metric->reset();
  Mean loss("loss");
  Logs logs;
  const auto begin = [&](std::int64_t batch) {
    if (calls) hooks.callbacks->call(&Callback::on_test_batch_begin, *hooks.run, batch);
  };
  const auto end = [&](std::int64_t batch) {
    const bool due = bar != nullptr && bar->due(batch + 1);
    if (calls || due) fill_logs(logs, loss, metrics);
    if (calls) hooks.callbacks->call(&Callback::on_test_batch_end, *hooks.run, batch, logs);
    if (due) bar->update(batch + 1, logs);
  };
  const bool shared = sums.team != nullptr && sums.team->size() > 1;
  const Shards mine = shards_of(shared ? sums.team : nullptr, steps);
  std::vector<TestNumbers> own;  // if shared
  Tape<T> tape({.record = false});
  if (mine.begin < mine.end) feed.begin(0, static_cast<std::size_t>(mine.begin));
  for (std::int64_t batch = mine.begin; batch < mine.end; ++batch) {
    if (!feed.more()) fail_short("evaluate", 0, batch, steps);
    if (!shared) begin(batch);
    std::vector<std::vector<double>> before;
    if (sums.by_batch) before = states_of(metrics);
    for (Metric* metric : metrics) {
      if (sums.by_batch) metric->reset();
    }
    TestNumbers numbers = run_batch(params, feed, tape);
    tape.clear();
    if (batch + 1 < mine.end) feed.next();
    if (shared) {
      numbers.metrics = states_of(metrics);
      own.push_back(std::move(numbers));
      continue;
    }
    loss.update(numbers.loss, numbers.weight);
    if (sums.by_batch) merge_after(metrics, before, {states_of(metrics)});
    end(batch);
  }
  feed.end();
  if (shared) {
    for (Metric* metric : metrics) metric->reset();
    std::int64_t batch = 0;
    for (const TestNumbers& numbers : gather(*sums.team, own)) {
      begin(batch);
      loss.update(numbers.loss, numbers.weight);
      merge_after(metrics, states_of(metrics), {numbers.metrics});
      end(batch++);
    }
  }
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
  if (options.team != nullptr) check_states("evaluate", options.metrics);
  ProgressBar bar(options.team == nullptr || options.team->lead()
                      ? options.progress
                      : ProgressOptions{.style = ProgressStyle::none});
  bar.begin("", count_steps("evaluate", feed, 0, options.steps));
  return ending_team(options.team, [&] {
    return run_test(params, feed, options.metrics, options.steps, {}, &bar,
                    {options.team != nullptr, options.team});
  });
}
XTAPE_FOR_REALS(evaluate);

}  // namespace xtape::detail
