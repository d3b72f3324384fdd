#include <xtape/optim/optimizer.hpp>

#include "base/check.hpp"
#include "kernels/optimizers_plain.hpp"
#include "threads/loops.hpp"

#include <algorithm>
#include <cmath>
#include <regex>

namespace xtape {

using detail::check_option;
using detail::check_positive;
using detail::fail;
using kernels::Index;

/// One parameter's part in a step.
template <class T> struct Optimizer<T>::ParameterStep {
  detail::ParameterSlot<T>* slot;
  const T* gradient = nullptr;  // null if only the average of the weights is updated
  double scale = 1.0;           // of the gradient
  ParameterMemory* memory = nullptr;
  std::optional<Array<T>> own = {};             // the gradient, if it is not the given one
  detail::ArrayPtr<T> fresh = {};               // new weights, if the old ones have another owner
  std::optional<ParameterMemory> changed = {};  // the memory after the step, under a constraint

  [[nodiscard]] Index size() const { return static_cast<Index>(slot->value->size()); }
  void replace(Array<T> gradient_now) {
    own = std::move(gradient_now);
    gradient = own->data();
    scale = 1.0;
  }
};

/// Throws ValueError unless a rate that is no schedule is positive and a number of type T.
template <class T> static void check_rate(double rate) {
  check_positive("optimizer", "learning_rate", rate);
  detail::check_fits<T>("optimizer", "learning_rate", rate);
}

template <class T>
Optimizer<T>::Optimizer(Schedule learning_rate, double weight_decay, OptimizerOptions options)
    : rate_(std::move(learning_rate)), weight_decay_(weight_decay), options_(std::move(options)) {
  const char* who = "optimizer";
  const auto& o = options_;
  if (rate_.constant()) check_rate<T>(rate_(0));
  detail::check_not_negative(who, "weight_decay", weight_decay);
  detail::check_fits<T>(who, "weight_decay", weight_decay);
  int clips = 0;
  for (const auto& [option, value] :
       {std::pair{"clipnorm", o.clipnorm}, std::pair{"clipvalue", o.clipvalue},
        std::pair{"global_clipnorm", o.global_clipnorm}}) {
    if (!value) continue;
    ++clips;
    check_positive(who, option, *value);
  }
  if (clips > 1) {
    fail<ValueError>(who, "clipped twice: ", clips,
                     " of clipnorm, clipvalue and global_clipnorm are set, expected one at most");
  }
  detail::check_unit(who, "ema_momentum", o.ema_momentum, true);
  check_option(o.ema_overwrite_frequency >= 0, who, "ema_overwrite_frequency",
               o.ema_overwrite_frequency, "0 or more");
  check_option(o.gradient_accumulation_steps >= 1, who, "gradient_accumulation_steps",
               o.gradient_accumulation_steps, "1 or more");
  // Regular expressions stay out of the header: they are a quarter of its compile time.
  std::vector<std::regex> patterns;
  for (const std::string& pattern : o.exclude_from_weight_decay) {
    try {
      patterns.emplace_back(pattern);
    } catch (const std::regex_error& e) {
      fail<ValueError>(who, "not a regular expression: exclude_from_weight_decay holds '", pattern,
                       "', expected an ECMAScript expression (", e.what(), ")");
    }
  }
  if (patterns.empty()) return;
  no_decay_ = [patterns = std::move(patterns)](const std::string& path) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const std::regex& r) { return std::regex_search(path, r); });
  };
}

template <class T> void Optimizer<T>::set_learning_rate(Schedule rate) {
  if (rate.constant()) {
    if (!rate_.constant()) {
      fail<ValueError>(name(),
                       "a schedule sets the rate: learning_rate is a schedule, expected a "
                       "number to change; set another schedule instead");
    }
    check_rate<T>(rate(0));
  }
  rate_ = std::move(rate);
}

template <class T> bool Optimizer<T>::overwrites() const noexcept {
  return options_.use_ema && options_.ema_overwrite_frequency > 0 &&
         (iterations() + 1) % options_.ema_overwrite_frequency == 0;
}

template <class T> bool Optimizer<T>::decays(const std::string& path) const {
  return weight_decay_ > 0 && !(no_decay_ && no_decay_(path));
}

template <class T>
auto Optimizer<T>::collect(Params<T>& params, const Gradients<T>& gradients,
                           StepOptions options) const -> std::vector<ParameterStep> {
  std::vector<ParameterStep> parts;
  std::string missing;
  bool some = false;
  for (const Parameter<T>& p : params.all()) {
    if (!p.built() || !p.trainable()) continue;
    const auto* entry = gradients.find(&p.slot());
    if (entry != nullptr) {
      some = true;
      parts.push_back({&p.slot(), entry->gradient.data(), gradients.stored_scale()});
      continue;
    }
    missing += " '" + p.path() + "'";
    const auto memory = memories_.find(p.path());
    const bool begun = memory != memories_.end() && memory->second.accumulated;
    if (begun || options_.use_ema) parts.push_back({&p.slot()});
  }
  if (!some && missing.empty()) {
    fail<ParameterError>("step", "no parameters to update: of ", params.all().size(),
                         " parameters none is built and trainable, and the gradients belong to ",
                         gradients.empty() ? "none" : "others",
                         ", expected the Params of the model that was called; pass that");
  }
  if (!some || (!missing.empty() && !options.allow_missing)) {
    fail<ParameterError>("step", "gradients missing: trainable parameters", missing,
                         " got none, expected one for each; freeze them with set_trainable(), or "
                         "pass {.allow_missing = true}");
  }
  return parts;
}

// Finds the memory of a parameter, or makes it in `added`.
template <class T> void Optimizer<T>::find_memory(ParameterStep& part, Memories& added) {
  const Array<T>& weights = *part.slot->value;
  const auto found = memories_.find(part.slot->path);
  if (found != memories_.end()) {
    part.memory = &found->second;
    if (found->second.shape == weights.shape()) return;
    fail<ParameterError>("step", "state of another model: '", part.slot->path, "' is ",
                         to_string(weights.shape()), ", expected ", to_string(found->second.shape),
                         "; use one optimizer per model");
  }
  ParameterMemory& memory = added[part.slot->path];
  part.memory = &memory;
  memory.shape = weights.shape();
  memory.decays = decays(part.slot->path);
  for (const OptimizerSlot& slot : slots(memory.shape)) {
    memory.slots.push_back(detail::full<T>(slot.shape, static_cast<T>(slot.initial)));
  }
  if (options_.use_ema) memory.average = weights;
}

// Adds the given gradient to those before, and takes the mean if this step updates.
template <class T> void Optimizer<T>::accumulate_gradient(ParameterStep& part, bool updates) const {
  const std::optional<Array<T>>& before = part.memory->accumulated;
  if (options_.gradient_accumulation_steps == 1 || (part.gradient == nullptr && !before)) return;
  Array<T> sum = detail::full<T>(part.slot->value->shape(), T(0));
  const double by = updates ? 1.0 / static_cast<double>(options_.gradient_accumulation_steps) : 1.0;
  if (before) kernels::scale_add<T>(part.size(), T(1), before->data(), nullptr, sum.data());
  if (part.gradient != nullptr) {
    kernels::scale_add(part.size(), static_cast<T>(part.scale), part.gradient, sum.data(),
                       sum.data());
  }
  part.replace(std::move(sum));
  part.scale = by;
}

template <class T> void Optimizer<T>::clip(std::vector<ParameterStep>& parts) const {
  const auto finite = [](double norm, const std::string& what) {
    if (std::isfinite(norm)) return norm;
    fail<NonFiniteError>("step", "norm is not finite: ", what,
                         " holds a NaN or infinity, expected finite gradients; find the operation "
                         "with TapeOptions::check_finite");
  };
  double squares = 0;
  for (ParameterStep& part : parts) {
    if (part.gradient == nullptr) continue;
    if (options_.clipvalue) {
      Array<T> limited(part.slot->value->shape());
      kernels::scale_clamp(part.size(), static_cast<T>(part.scale),
                           static_cast<T>(*options_.clipvalue), part.gradient, limited.data());
      part.replace(std::move(limited));
    } else if (options_.clipnorm || options_.global_clipnorm) {
      const double norm = finite(
          std::abs(part.scale) * std::sqrt(kernels::sum_of_squares(part.size(), part.gradient)),
          "gradient of '" + part.slot->path + "'");
      if (options_.clipnorm) part.scale *= std::min(1.0, *options_.clipnorm / norm);
      squares += norm * norm;
    }
  }
  if (!options_.global_clipnorm) return;
  const double norm = finite(std::sqrt(squares), "the gradients' sum of squares");
  if (norm <= *options_.global_clipnorm) return;
  for (ParameterStep& part : parts) part.scale *= *options_.global_clipnorm / norm;
}

// Throws NonFiniteError for a gradient that holds a NaN or a number beyond the limit.
template <class T>
void Optimizer<T>::check_gradients(const std::vector<ParameterStep>& parts, double limit) const {
  std::vector<double> largest(parts.size(), 0.0);
  Index elements = 0;
  for (const ParameterStep& part : parts) elements += part.size();
  const auto count = static_cast<Index>(parts.size());
  detail::parallel_for(
      count, elements <= detail::kElementGrain ? count : 1, [&](Index begin, Index end) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
          if (parts[i].gradient == nullptr) continue;
          largest[i] = std::abs(parts[i].scale) *
                       kernels::largest_magnitude(parts[i].size(), parts[i].gradient);
        }
      });
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (largest[i] <= limit) continue;
    const std::string& path = parts[i].slot->path;
    if (!std::isfinite(largest[i])) {
      fail<NonFiniteError>("step", "gradient is not finite: gradient of '", path,
                           "' holds a NaN or infinity, expected finite gradients; find the "
                           "operation with TapeOptions::check_finite");
    }
    fail<NonFiniteError>("step", "gradient too large for ", name(), ": gradient of '", path,
                         "' reaches ", largest[i], ", expected at most ", limit,
                         "; clip the gradients, or lower the loss");
  }
}

template <class T>
void Optimizer<T>::update_average(ParameterMemory& memory, const T* weights) const noexcept {
  if (!memory.average) return;
  T* average = memory.average->data();
  const auto n = static_cast<Index>(memory.average->size());
  if (iterations() == 0) {
    std::copy(weights, weights + n, average);
  } else {
    const auto gain = static_cast<T>(1.0 - options_.ema_momentum);
    detail::parallel_for(n, [=](Index begin, Index end) {
      kernels::lerp(end - begin, gain, weights + begin, average + begin);
    });
  }
}

// Writes the weights after a step, and the memory with them. A rate below 0 stands for no update.
template <class T>
void Optimizer<T>::apply_update(const ParameterStep& part, double rate, ParameterMemory& memory,
                                T* to) const noexcept {
  const Index n = part.size();
  const T* from = part.slot->value->data();
  if (rate >= 0 && part.gradient != nullptr) {
    const double decay = memory.decays ? rate * weight_decay_ : 0.0;
    update({memory.shape, static_cast<std::size_t>(n), from, to, part.gradient, part.scale, rate,
            decay, iterations() + 1, memory.slots});
  } else if (to != from) {
    std::copy(from, from + n, to);
  }
  update_average(memory, to);
  if (overwrites()) std::copy(memory.average->data(), memory.average->data() + n, to);
}

// Prepares everything that can fail for new weights: a copy, or the result of a user's constraint.
template <class T>
void Optimizer<T>::prepare_weights(ParameterStep& part, bool updates, double rate) const {
  const Shape& shape = part.slot->value->shape();
  const bool given = part.gradient != nullptr;
  if (part.slot->constraint && (given || overwrites())) {
    part.changed =
        ParameterMemory{shape, part.memory->decays, part.memory->slots, part.memory->average, {}};
    Array<T> updated(shape);
    apply_update(part, rate, *part.changed, updated.data());
    part.fresh = detail::ArrayPtr<T>(part.slot->constraint(updated, part.slot->path));
  } else if (((updates && given) || overwrites()) && !part.slot->value.unique()) {
    part.fresh = detail::ArrayPtr<T>(shape);
  }
}

template <class T>
void Optimizer<T>::finish(ParameterStep& part, bool updates, double rate) const noexcept {
  if (part.changed) {
    part.memory->slots.swap(part.changed->slots);
    part.memory->average.swap(part.changed->average);
    part.slot->value = std::move(part.fresh);
  } else if (part.fresh) {
    apply_update(part, rate, *part.memory, part.fresh.mutate().data());
    part.slot->value = std::move(part.fresh);
  } else if ((updates && part.gradient != nullptr) || overwrites()) {
    apply_update(part, rate, *part.memory, part.slot->value.mutate().data());
  } else {
    update_average(*part.memory, part.slot->value->data());
  }
  if (updates) {
    part.memory->accumulated.reset();
  } else if (part.own) {
    part.memory->accumulated = std::move(part.own);
  }
}

// Large parameters have all threads each, small ones share them.
template <class T>
void Optimizer<T>::finish_all(std::vector<ParameterStep>& parts, bool updates,
                              double rate) const noexcept {
  const auto small = [this](const ParameterStep& part) {
    return concurrent() && part.size() <= detail::kElementGrain;
  };
  Index together = 0;
  for (ParameterStep& part : parts) {
    if (small(part)) {
      together += part.size();
    } else {
      finish(part, updates, rate);
    }
  }
  const auto count = static_cast<Index>(parts.size());
  detail::parallel_for(count, together <= detail::kElementGrain ? count : 1,
                       [&](Index begin, Index end) {
                         for (Index i = begin; i < end; ++i) {
                           ParameterStep& part = parts[static_cast<std::size_t>(i)];
                           if (small(part)) finish(part, updates, rate);
                         }
                       });
}

// for each trainable parameter: find its gradient and its memory, add up the gradients
// if this call updates: clip the gradients; check them
// for each: prepare copies and constrained weights
// nothing fails from here on
// for each: decay and update, if this call updates, else keep the sum; average the weights
template <class T>
bool Optimizer<T>::step(Params<T>& params, const Gradients<T>& gradients, StepOptions options) {
  params.check_pending();
  claim_all("step", params);
  std::vector<ParameterStep> parts = collect(params, gradients, options);
  const bool updates = (steps_ + 1) % options_.gradient_accumulation_steps == 0;
  double rate = -1.0;
  if (updates) {
    rate = rate_(steps_);
    check_option(rate >= 0 && std::isfinite(rate), name(), "learning_rate", rate,
                 "a finite number, 0 or more, of the schedule");
    detail::check_fits<T>(name(), "learning_rate", rate);
    detail::check_fits<T>(name(), "learning_rate * weight_decay", rate * weight_decay_);
  }
  Memories added;  // kept if nothing fails
  for (ParameterStep& part : parts) {
    find_memory(part, added);
    accumulate_gradient(part, updates);
  }
  if (updates) clip(parts);
  // A sum that no later step could take is refused at once. Clipping makes any finite one fit.
  const bool fits =
      !updates && (options_.clipnorm || options_.clipvalue || options_.global_clipnorm);
  check_gradients(parts, fits ? std::numeric_limits<T>::max() : largest_gradient());
  for (ParameterStep& part : parts) prepare_weights(part, updates, rate);
  detail::pool_threads();  // which start now, because that may fail
  if (!added.empty()) {
    memories_.reserve(memories_.size() + added.size());
    memories_.merge(added);  // moves nodes, so pointers to memories stay
  }
  finish_all(parts, updates, rate);
  ++steps_;
  return updates;
}

template <class T> void Optimizer<T>::finalize(Params<T>& params) {
  claim_all("finalize", params);
  std::vector<std::pair<detail::ParameterSlot<T>*, detail::ArrayPtr<T>>> averages;
  for (const Parameter<T>& p : params.all()) {
    const auto memory = memories_.find(p.path());
    if (!p.built() || !p.trainable() || memory == memories_.end() || !memory->second.average) {
      continue;
    }
    if (memory->second.shape != p.value().shape()) {
      fail<ParameterError>("finalize", "state of another model: '", p.path(), "' is ",
                           to_string(p.value().shape()), ", expected ",
                           to_string(memory->second.shape), "; use one optimizer per model");
    }
    averages.emplace_back(&p.slot(), Array<T>(*memory->second.average));
  }
  for (auto& [slot, average] : averages) slot->value = std::move(average);
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace xtape
