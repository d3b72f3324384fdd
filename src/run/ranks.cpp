#include "run/ranks.hpp"

#include "base/crc.hpp"
#include "base/instantiate.hpp"
#include "kernels/isa.hpp"

#include <xtape/base/random.hpp>
#include <xtape/layers/attention/multi_head_attention.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reductions.hpp>
#include <xtape/version.hpp>

#include <algorithm>
#include <cstdio>

namespace xtape::detail {

namespace {

template <class V> std::string text_of(const V& value) {
  std::ostringstream out;
  out.precision(17);
  out << value;
  return out.str();
}
template <class V> std::string text_of(const std::optional<V>& value) {
  return value ? text_of(*value) : "unset";
}

std::string hex(std::uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "%08x", value);
  return text;
}

template <class T> std::uint32_t crc_of(const Array<T>& array, std::uint32_t before = 0) {
  return crc32c(std::as_bytes(std::span(array.data(), array.size())), before);
}

/// Returns a checksum over products, exponentials and attention, forward and backward: processors and
/// libraries that compute other bits differ in it.
template <class T> std::uint32_t probe() {
  RandomStream stream(1, 2);
  const auto random = [&](const Shape& shape) {
    Array<T> array(shape);
    for (T& x : array) x = static_cast<T>(stream.normal());
    return array;
  };
  Params<T> params({.seed = 1});
  const MultiHeadAttention<T> attention(params.scope(), {.num_heads = 2, .key_dim = 12});
  Tape<T> tape;
  const Var<T> x = tape.watch(random({2, 37, 33}));
  const Var<T> y = tanh(exp(matmul(attention(x, x), tape.watch(random({33, 65}))) * T(0.1)));
  std::uint32_t crc = crc_of(y.value());
  const Gradients<T> gradients = tape.backward(sum(y * y));
  for (const auto& entry : gradients.entries()) crc = crc_of(entry.gradient.value(), crc);
  return crc;
}

}  // namespace

std::uint32_t order_checksum(const std::vector<std::vector<std::size_t>>& batches) {
  std::uint32_t crc = 0;
  for (const auto& batch : batches) {
    const std::size_t count = batch.size();
    crc = crc32c(std::as_bytes(std::span(&count, 1)), crc);
    crc = crc32c(std::as_bytes(std::span(batch)), crc);
  }
  return crc;
}

template <class E> void compare(Team& team, const Facts& facts) {
  std::string mine;
  for (const auto& [name, value] : facts) {
    put_text(mine, name);
    put_text(mine, value);
  }
  // Checksums first: the texts of thousands of ranks are megabytes. All ranks see the same checksums.
  std::string crc;
  put<std::uint32_t>(crc, crc32c(std::as_bytes(std::span(mine))));
  const std::vector<std::string> checksums = team.all_gather(crc);
  if (std::count(checksums.begin(), checksums.end(), crc) == team.size()) return;
  const std::vector<std::string> all = team.all_gather(mine);
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    Reader lead(all[0]), other(all[rank]);
    while (!lead.done() && !other.done()) {
      const std::string name = lead.text(), value = lead.text();
      const std::string its_name = other.text(), its_value = other.text();
      if (name == its_name && value == its_value) continue;
      fail<E>("fit", "ranks differ: ", its_name, " is ", its_value, " on ",
              team.name_of(static_cast<int>(rank)), ", expected ",
              name == its_name ? "" : name + " ", value, " as on ", team.name_of(0),
              "; start the same program with the same options and data on all");
    }
    if (lead.done() != other.done()) {
      fail<E>("fit", "ranks differ: ", team.name_of(static_cast<int>(rank)),
              " has another number of parameters, expected those of ", team.name_of(0),
              "; make the same model on all");
    }
  }
}

template void compare<ValueError>(Team&, const Facts&);
template void compare<TeamError>(Team&, const Facts&);

void check_ranks(const char* who, const Team* team, std::int64_t shards) {
  if (team == nullptr || team->size() <= shards) return;
  fail<ValueError>(who, "fewer shards than ranks: shards is ", shards, ", expected at least ",
                   team->size(), ", one for each rank; give ", team->size(),
                   " shards, and note that it changes the result");
}

template <class T> Facts facts_of_program() {
  return {{"the version", kVersion},
          {"the instruction set", std::string(kernels::name(kernels::active_isa()))},
          {"the checksum of a computation", hex(probe<T>())}};
}
XTAPE_FOR_REALS(facts_of_program);

template <class T> Facts facts_of(const FitOptions<T>& o, const Feed<T>& feed) {
  Facts facts{{"shards", text_of(o.shards)},
              {"epochs", text_of(o.epochs)},
              {"initial_epoch", text_of(o.initial_epoch)},
              {"steps_per_epoch", text_of(o.steps_per_epoch)},
              {"validation", o.validation ? "set" : "unset"},
              {"validation_freq", text_of(o.validation_freq)},
              {"validation_steps", text_of(o.validation_steps)},
              {"clip_norm", text_of(o.clip_norm)},
              {"allow_missing", text_of(o.allow_missing)},
              {"log_optimizer", text_of(o.log_optimizer)},
              {"seed", text_of(o.seed)},
              {"checkpoints", o.checkpoints != nullptr ? "set" : "null"},
              {"resume", text_of(o.resume)},
              {"verify_steps", text_of(o.verify_steps)},
              {"the number of batches", text_of(feed.steps(o.initial_epoch))},
              {"the checksum of the order", hex(feed.order_checksum(o.initial_epoch))}};
  for (const auto& [name, value] : o.configuration) facts.emplace_back(name, value);
  for (const Metric* metric : o.metrics) facts.emplace_back("a metric", metric->name());
  for (const Callback* callback : o.callbacks) facts.emplace_back("a callback", callback->name());
  return facts;
}
template Facts facts_of(const FitOptions<float>&, const Feed<float>&);
template Facts facts_of(const FitOptions<double>&, const Feed<double>&);

template <class T> Facts facts_of(const Params<T>& params, const Optimizer<T>& optimizer) {
  Facts facts;
  for (const Parameter<T>& p : params.all()) {
    const std::string value =
        p.built() ? to_string(p.value().shape()) + " with checksum " + hex(crc_of(p.value()))
                  : "not built";
    facts.emplace_back("'" + p.path() + "'", (p.trainable() ? "" : "frozen ") + value);
  }
  const OptimizerState<T> state = optimizer.state();
  std::uint32_t crc = 0;
  for (const auto& [name, array] : state.arrays) crc = crc_of(array, crc);
  std::string numbers;
  for (const auto& [name, number] : state.scalars) numbers += name + "=" + text_of(number) + ";";
  facts.emplace_back("the optimizer", optimizer.name());
  facts.emplace_back("the learning rate", text_of(optimizer.learning_rate()));
  facts.emplace_back("the optimizer's state", hex(crc32c(std::as_bytes(std::span(numbers)), crc)));
  return facts;
}
template Facts facts_of(const Params<float>&, const Optimizer<float>&);
template Facts facts_of(const Params<double>&, const Optimizer<double>&);

template <class T> std::uint32_t checksum(const Params<T>& params) {
  std::uint32_t crc = 0;
  for (const Parameter<T>& p : params.all()) {
    if (p.built()) crc = crc_of(p.value(), crc);
  }
  return crc;
}
XTAPE_FOR_REALS(checksum);

void agree(Team& team, const Run& run, const std::vector<Callback*>& callbacks, const char* hook) {
  std::string mine;
  put<bool>(mine, run.stopping());
  put<double>(mine, run.learning_rate());
  const std::vector<std::string> all = team.all_gather(mine);
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    const auto decision = [&](std::size_t r) {
      Reader reader(all[r]);
      const bool stopping = reader.get<bool>();
      return text_of(reader.get<double>()) + (stopping ? " and stop" : " and go on");
    };
    std::string names;
    for (const Callback* callback : callbacks) names += " " + callback->name();
    fail<TeamError>("fit", "callbacks decide differently: after ", hook,
                    " the learning rate and decision is ", decision(rank), " on ",
                    team.name_of(static_cast<int>(rank)), ", expected ", decision(0), " as on ",
                    team.name_of(0), "; one of", names,
                    " depends on the rank or on the time, let it ask run.lead() only to print");
  }
}

}  // namespace xtape::detail
