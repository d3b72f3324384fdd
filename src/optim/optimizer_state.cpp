// The memory of an optimizer, saved and loaded.

#include <xtape/optim/optimizer.hpp>

#include "base/message.hpp"

#include <cmath>

namespace xtape {

using detail::fail;

// Names of arrays beside the slots of the formula.
constexpr const char* kAverage = "average";
constexpr const char* kAccumulator = "accumulator";

// Returns the numbers of the state, with their present values.
template <class T> std::map<std::string, double> Optimizer<T>::scalars() const {
  const std::string prefix = std::string(name()) + "/";
  std::map<std::string, double> all{{prefix + "steps", static_cast<double>(steps_)}};
  if (rate_.constant()) all[prefix + "learning_rate"] = rate_(0);
  return all;
}

template <class T> OptimizerState<T> Optimizer<T>::state() const {
  OptimizerState<T> out{{}, scalars()};
  for (const auto& [path, memory] : memories_) {
    const std::vector<OptimizerSlot> kept = slots(memory.shape);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      out.arrays.emplace(full_name(kept[i].name, path), memory.slots[i]);
    }
    if (memory.average) out.arrays.emplace(full_name(kAverage, path), *memory.average);
    if (memory.accumulated) out.arrays.emplace(full_name(kAccumulator, path), *memory.accumulated);
  }
  for (const auto& [path, arrays] : unclaimed_) {
    for (const auto& [slot, array] : arrays) out.arrays.emplace(full_name(slot, path), array);
  }
  return out;
}

// Moves one parameter's arrays into its memory, whose shape is set. Returns a text of what does not
// fit, or an empty one.
template <class T>
std::string Optimizer<T>::claim_one(const std::string& path, ArraysBySlot arrays,
                                    ParameterMemory& memory) const {
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
  for (const auto& [slot, array] : arrays) {
    wrong += " '" + full_name(slot, path) + "' is unexpected,";
  }
  return wrong;
}

// Turns loaded arrays of built parameters into memories; the others stay in `loaded`, unless `all` are
// expected to have a parameter. Returns a text of what does not fit, and then has changed nothing.
template <class T>
std::string Optimizer<T>::claim(LoadedArrays& loaded, Memories& memories, const Params<T>& params,
                                bool all) const {
  std::string wrong;
  LoadedArrays left;
  Memories claimed = memories;
  for (const auto& [path, arrays] : loaded) {
    if (params.contains(path) && params.at(path).built()) {
      ParameterMemory memory;
      memory.shape = params.at(path).value().shape();
      memory.decays = decays(path);
      wrong += claim_one(path, arrays, memory);
      claimed.insert_or_assign(path, std::move(memory));
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
  loaded.swap(left);
  memories.swap(claimed);
  return wrong;
}

template <class T> void Optimizer<T>::claim_all(const char* op, const Params<T>& params) {
  if (unclaimed_.empty()) return;
  const std::string wrong = claim(unclaimed_, memories_, params, true);
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
    // Versions with loss scaling saved its numbers. Their arrays were never scaled.
    if (key == prefix + "loss_scale" || key == prefix + "good_steps") continue;
    if (!expected.contains(key)) wrong += " '" + key + "' is unexpected,";
  }
  LoadedArrays loaded;
  for (const auto& [key, array] : state.arrays) {
    const std::size_t slash = key.find('/', prefix.size());
    if (!key.starts_with(prefix) || slash == std::string::npos) {
      wrong += " '" + key + "' is unexpected,";
    } else {
      loaded[key.substr(slash + 1)].emplace(key.substr(prefix.size(), slash - prefix.size()),
                                            array);
    }
  }
  Memories memories;
  if (!wrong.empty()) {
    wrong.pop_back();
  } else {
    wrong = claim(loaded, memories, params, false);
  }
  if (!wrong.empty()) {
    fail<ParameterError>(op, "state does not fit:", wrong, "; load the state of ", name(),
                         " with the same options for the same model");
  }
  // Returns a number of the state, which must be `good`.
  const auto number = [&](const char* key, auto good, const char* range) {
    const double value = state.scalars.at(prefix + key);
    if (good(value)) return value;
    fail<ValueError>(op, "out of range: '", prefix, key, "' is ", value, ", expected ", range);
  };
  const auto steps = static_cast<std::int64_t>(number(
      "steps", [](double v) { return v >= 0 && v <= 9007199254740992.0 && v == std::floor(v); },
      "a whole number, 0 or more"));  // at most 2^53
  Schedule rate = rate_;
  if (rate_.constant()) {
    rate = number(
        "learning_rate", [](double v) { return v > 0 && std::isfinite(v); }, "a positive number");
  }
  if (also) also();
  // Nothing below throws.
  std::swap(rate_, rate);
  steps_ = steps;
  memories_.swap(memories);
  unclaimed_.swap(loaded);
}

#define XTAPE_INSTANTIATE(T)                                                         \
  template std::map<std::string, double> Optimizer<T>::scalars() const;              \
  template OptimizerState<T> Optimizer<T>::state() const;                            \
  template void Optimizer<T>::claim_all(const char*, const Params<T>&);              \
  template void Optimizer<T>::load_state(const OptimizerState<T>&, const Params<T>&, \
                                         const std::function<void()>&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
