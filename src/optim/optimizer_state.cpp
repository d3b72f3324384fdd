// What an optimizer remembers, going out and coming in.

#include <xtape/optim/optimizer.hpp>

#include "base/message.hpp"

#include <cmath>

namespace xtape {

using detail::fail;

namespace {

// Beside the slots of the formula.
constexpr const char* kAverage = "average";
constexpr const char* kAccumulator = "accumulator";

}  // namespace

// The numbers that are kept, with their present values.
template <class T>
std::map<std::string, double> Optimizer<T>::scalars() const {
  const std::string prefix = std::string(name()) + "/";
  std::map<std::string, double> all{{prefix + "steps", static_cast<double>(steps_)}};
  if (rate_.constant()) all[prefix + "learning_rate"] = rate_(0);
  if (options_.dynamic_loss_scale) {
    all[prefix + "loss_scale"] = loss_scale_;
    all[prefix + "good_steps"] = static_cast<double>(good_steps_);
  }
  return all;
}

template <class T>
OptimizerState<T> Optimizer<T>::state() const {
  OptimizerState<T> out{{}, scalars()};
  for (const auto& [path, memory] : memories_) {
    const std::vector<OptimizerSlot> kept = slots(memory.shape);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      out.arrays.emplace(full_name(kept[i].name, path), memory.slots[i]);
    }
    if (memory.average) out.arrays.emplace(full_name(kAverage, path), *memory.average);
    if (memory.accumulated) out.arrays.emplace(full_name(kAccumulator, path), *memory.accumulated);
  }
  for (const auto& [path, arrays] : waiting_) {
    for (const auto& [slot, array] : arrays) out.arrays.emplace(full_name(slot, path), array);
  }
  return out;
}

// Moves one parameter's arrays into its memory, whose shape is set; says what does not fit.
template <class T>
std::string Optimizer<T>::settle_one(const std::string& path,
                                     std::map<std::string, Array<T>>& arrays,
                                     Memory& memory) const {
  std::string wrong;
  const auto take = [&](const std::string& slot, const Shape& shape, bool required) {
    std::optional<Array<T>> taken;
    const auto it = arrays.find(slot);
    if (it == arrays.end()) {
      if (required) wrong += " '" + full_name(slot, path) + "' is missing,";
      return taken;
    }
    if (it->second.shape() != shape) {
      wrong += " '" + full_name(slot, path) + "' is " + to_string(it->second.shape()) +
               ", expected " + to_string(shape) + ",";
    }
    taken = std::move(it->second);
    arrays.erase(it);
    return taken;
  };
  for (const OptimizerSlot& slot : slots(memory.shape)) {
    if (auto array = take(slot.name, slot.shape, true)) memory.slots.push_back(std::move(*array));
  }
  if (options_.use_ema) memory.average = take(kAverage, memory.shape, true);
  if (options_.gradient_accumulation_steps > 1) {
    memory.accumulated = take(kAccumulator, memory.shape, false);
  }
  for (const auto& [slot, array] : arrays)
    wrong += " '" + full_name(slot, path) + "' is unexpected,";
  return wrong;
}

// Turns waiting arrays of built parameters into memories; says what does not fit, and then has
// changed nothing. `all`: none may go on waiting.
template <class T>
std::string Optimizer<T>::settle(Waiting& waiting, Memories& memories, const Params<T>& params,
                                 bool all) const {
  std::string wrong;
  Waiting left;
  Memories settled = memories;
  for (const auto& [path, arrays] : waiting) {
    if (params.contains(path) && params.at(path).built()) {
      std::map<std::string, Array<T>> rest = arrays;
      Memory memory;
      memory.shape = params.at(path).value().shape();
      memory.decays = decays(path);
      wrong += settle_one(path, rest, memory);
      settled.insert_or_assign(path, std::move(memory));
    } else if (all) {
      for (const auto& [slot, array] : arrays) {
        wrong += " '" + full_name(slot, path) + "' has no parameter,";
      }
    } else {
      left.emplace(path, arrays);
    }
  }
  if (!wrong.empty()) {
    wrong.pop_back();
    return wrong;
  }
  waiting.swap(left);
  memories.swap(settled);
  return wrong;
}

template <class T>
void Optimizer<T>::settle_all(const char* op, const Params<T>& params) {
  if (waiting_.empty()) return;
  const std::string wrong = settle(waiting_, memories_, params, true);
  if (wrong.empty()) return;
  fail<ParameterError>(op, "loaded state does not fit:", wrong, "; load the state of this model");
}

template <class T>
void Optimizer<T>::load_state(const OptimizerState<T>& state, const Params<T>& params,
                              const std::function<void()>& also) {
  const char* op = "load_state";
  const std::string prefix = std::string(name()) + "/";
  std::string wrong;
  const std::map<std::string, double> expected = scalars();
  for (const auto& [key, value] : expected) {
    if (!state.scalars.contains(key)) wrong += " '" + key + "' is missing,";
  }
  for (const auto& [key, value] : state.scalars) {
    if (!expected.contains(key)) wrong += " '" + key + "' is unexpected,";
  }
  Waiting waiting;
  for (const auto& [key, array] : state.arrays) {
    const std::size_t slash = key.find('/', prefix.size());
    if (!key.starts_with(prefix) || slash == std::string::npos) {
      wrong += " '" + key + "' is unexpected,";
    } else {
      waiting[key.substr(slash + 1)].emplace(key.substr(prefix.size(), slash - prefix.size()),
                                             array);
    }
  }
  Memories memories;
  if (!wrong.empty()) {
    wrong.pop_back();
  } else {
    wrong = settle(waiting, memories, params, false);
  }
  if (!wrong.empty()) {
    fail<ParameterError>(op, "state does not fit:", wrong, "; load the state of ", name(),
                         " with the same options for the same model");
  }
  const auto number = [&](const char* key) { return state.scalars.at(prefix + key); };
  const auto positive = [&](const char* key, double value) {
    if (!(value > 0) || !std::isfinite(value)) {
      fail<ValueError>(op, "out of range: '", prefix, key, "' is ", value,
                       ", expected a positive number");
    }
    return value;
  };
  const auto count = [&](const char* key) {
    const double value = number(key);
    if (!(value >= 0) || value > 9007199254740992.0 || value != std::floor(value)) {  // 2^53
      fail<ValueError>(op, "out of range: '", prefix, key, "' is ", value,
                       ", expected a whole number, 0 or more");
    }
    return static_cast<std::int64_t>(value);
  };
  const std::int64_t steps = count("steps");
  double loss_scale = loss_scale_;
  std::int64_t good_steps = 0;
  if (options_.dynamic_loss_scale) {
    loss_scale = positive("loss_scale", number("loss_scale"));
    good_steps = count("good_steps");
  }
  Schedule rate = rate_;
  if (rate_.constant()) rate = positive("learning_rate", number("learning_rate"));
  if (also) also();
  // Nothing below throws.
  std::swap(rate_, rate);
  steps_ = steps;
  loss_scale_ = loss_scale;
  good_steps_ = good_steps;
  memories_.swap(memories);
  waiting_.swap(waiting);
}

#define XTAPE_INSTANTIATE(T)                                                         \
  template std::map<std::string, double> Optimizer<T>::scalars() const;              \
  template OptimizerState<T> Optimizer<T>::state() const;                            \
  template void Optimizer<T>::settle_all(const char*, const Params<T>&);             \
  template void Optimizer<T>::load_state(const OptimizerState<T>&, const Params<T>&, \
                                         const std::function<void()>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
