#include <xtape/optim/optimizer.hpp>

#include "base/check.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/optimizers_plain.hpp"
#include "threads/loops.hpp"

#include <xtape/ops/elementwise.hpp>

#include <algorithm>
#include <cmath>
#include <regex>

namespace xtape {

using detail::check_option;
using detail::check_positive;
using detail::fail;
using kernels::Index;

/// One parameter's part in a step.
template <class T>
struct Optimizer<T>::Item {
  detail::ParameterSlot<T>* slot;
  const T* gradient = nullptr;  // none: only its average follows
  double scale = 1.0;           // of the gradient
  Memory* memory = nullptr;
  std::optional<Array<T>> own = {};    // where the gradient is not the given one
  detail::ArrayPtr<T> fresh = {};      // weights, where somebody else still holds the old ones
  std::optional<Memory> changed = {};  // the memory after the step, where there is a constraint

  [[nodiscard]] Index size() const { return static_cast<Index>(slot->value->size()); }
  void replace(Array<T> gradient_now) {
    own = std::move(gradient_now);
    gradient = own->data();
    scale = 1.0;
  }
};

/// Forgets the memories added by a step that fails.
template <class T>
class Optimizer<T>::Added {
 public:
  explicit Added(Memories& memories) : memories_(memories) {}
  Added(const Added&) = delete;
  Added& operator=(const Added&) = delete;
  ~Added() {
    for (const std::string& path : paths_) memories_.erase(path);
  }
  // The memory of a path, and whether it is new.
  std::pair<Memory*, bool> find(const std::string& path) {
    const auto found = memories_.find(path);
    if (found != memories_.end()) return {&found->second, false};
    paths_.push_back(path);
    return {&memories_[path], true};
  }
  void keep() noexcept { paths_.clear(); }

 private:
  Memories& memories_;
  std::vector<std::string> paths_;
};

template <class T>
Optimizer<T>::Optimizer(Schedule learning_rate, double weight_decay, OptimizerOptions options)
    : rate_(std::move(learning_rate)), weight_decay_(weight_decay), options_(std::move(options)) {
  const char* who = "optimizer";
  const auto& o = options_;
  if (rate_.constant()) check_positive(who, "learning_rate", rate_(0));
  detail::check_not_negative(who, "weight_decay", weight_decay);
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
  if (o.loss_scale_factor) {
    check_positive(who, "loss_scale_factor", *o.loss_scale_factor);
    loss_scale_ = *o.loss_scale_factor;
  }
  if (o.dynamic_loss_scale) {
    if (o.loss_scale_factor) {
      fail<ValueError>(who,
                       "scaled twice: loss_scale_factor and dynamic_loss_scale are both set, "
                       "expected one at most");
    }
    check_positive(who, "initial_scale", o.dynamic_loss_scale->initial_scale);
    check_option(o.dynamic_loss_scale->growth_steps > 0, who, "growth_steps",
                 o.dynamic_loss_scale->growth_steps, "a positive number");
    loss_scale_ = o.dynamic_loss_scale->initial_scale;
  }
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

template <class T>
void Optimizer<T>::set_learning_rate(Schedule rate) {
  if (rate.constant()) {
    if (!rate_.constant()) {
      fail<ValueError>(name(),
                       "a schedule sets the rate: learning_rate is a schedule, expected a "
                       "number to change; set another schedule instead");
    }
    check_positive("optimizer", "learning_rate", rate(0));
  }
  rate_ = std::move(rate);
}

template <class T>
Var<T> Optimizer<T>::scale_loss(const Var<T>& loss) const {
  return loss_scale_ == 1.0 ? loss : loss * static_cast<T>(loss_scale_);
}

template <class T>
bool Optimizer<T>::overwrites() const noexcept {
  return options_.use_ema && options_.ema_overwrite_frequency > 0 &&
         (iterations() + 1) % options_.ema_overwrite_frequency == 0;
}

template <class T>
bool Optimizer<T>::decays(const std::string& path) const {
  return weight_decay_ > 0 && !(no_decay_ && no_decay_(path));
}

template <class T>
auto Optimizer<T>::collect(Params<T>& params, const Gradients<T>& gradients,
                           StepOptions options) const -> std::vector<Item> {
  std::vector<Item> items;
  std::string missing;
  bool some = false;
  for (const Parameter<T>& p : params.all()) {
    if (!p.built() || !p.trainable()) continue;
    const auto* entry = gradients.find(&p.slot());
    if (entry != nullptr) {
      some = true;
      items.push_back({&p.slot(), entry->gradient.data(), gradients.stored_scale() / loss_scale_});
      continue;
    }
    missing += " '" + p.path() + "'";
    const auto memory = memories_.find(p.path());
    const bool begun = memory != memories_.end() && memory->second.accumulated;
    if (begun || options_.use_ema) items.push_back({&p.slot()});
  }
  if (!some || (!missing.empty() && !options.allow_missing)) {
    fail<ParameterError>("step", "gradients missing: trainable parameters", missing,
                         " got none, expected one for each; freeze them with set_trainable(), or "
                         "pass {.allow_missing = true}");
  }
  return items;
}

template <class T>
void Optimizer<T>::remember(Item& item, Added& added) {
  const Shape& shape = item.slot->value->shape();
  const auto [memory, is_new] = added.find(item.slot->path);
  item.memory = memory;
  if (!is_new) {
    if (memory->shape != shape) {
      fail<ParameterError>("step", "state of another model: '", item.slot->path, "' is ",
                           to_string(shape), ", expected ", to_string(memory->shape),
                           "; use one optimizer per model");
    }
    return;
  }
  memory->shape = shape;
  memory->decays = decays(item.slot->path);
  for (const OptimizerSlot& slot : slots(shape)) {
    memory->slots.push_back(detail::full<T>(slot.shape, static_cast<T>(slot.initial)));
  }
  if (options_.use_ema) memory->average = *item.slot->value;
}

// The gradient of this step, where it is not the given one: accumulated.
template <class T>
void Optimizer<T>::gather(Item& item, bool updates) const {
  const std::optional<Array<T>>& before = item.memory->accumulated;
  if (options_.gradient_accumulation_steps == 1 || (item.gradient == nullptr && !before)) return;
  Array<T> sum = detail::full<T>(item.slot->value->shape(), T(0));
  const double by = updates ? 1.0 / static_cast<double>(options_.gradient_accumulation_steps) : 1.0;
  if (before) kernels::scale_add<T>(item.size(), T(1), before->data(), nullptr, sum.data());
  if (item.gradient != nullptr) {
    kernels::scale_add(item.size(), static_cast<T>(item.scale), item.gradient, sum.data(),
                       sum.data());
  }
  item.replace(std::move(sum));
  item.scale = by;
}

template <class T>
void Optimizer<T>::clip(std::vector<Item>& items) const {
  const auto finite = [](double norm, const std::string& what) {
    if (std::isfinite(norm)) return norm;
    fail<NonFiniteError>("step", "norm is not finite: ", what,
                         " holds a NaN or infinity, expected finite gradients; find the operation "
                         "with TapeOptions::check_finite");
  };
  double squares = 0;
  for (Item& item : items) {
    if (item.gradient == nullptr) continue;
    if (options_.clipvalue) {
      Array<T> limited(item.slot->value->shape());
      kernels::scale_clamp(item.size(), static_cast<T>(item.scale),
                           static_cast<T>(*options_.clipvalue), item.gradient, limited.data());
      item.replace(std::move(limited));
    } else if (options_.clipnorm || options_.global_clipnorm) {
      const double norm = finite(
          std::abs(item.scale) * std::sqrt(kernels::sum_of_squares(item.size(), item.gradient)),
          "gradient of '" + item.slot->path + "'");
      if (options_.clipnorm) item.scale *= std::min(1.0, *options_.clipnorm / norm);
      squares += norm * norm;
    }
  }
  if (!options_.global_clipnorm) return;
  const double norm = finite(std::sqrt(squares), "the gradients' sum of squares");
  if (norm <= *options_.global_clipnorm) return;
  for (Item& item : items) item.scale *= *options_.global_clipnorm / norm;
}

template <class T>
void Optimizer<T>::follow(Memory& memory, const T* weights) const noexcept {
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

// The weights after a step, and the memory with them. A rate below 0 stands for no update.
template <class T>
void Optimizer<T>::advance(const Item& item, double rate, Memory& memory, T* to) const noexcept {
  const Index n = item.size();
  const T* from = item.slot->value->data();
  if (rate >= 0 && item.gradient != nullptr) {
    const double decay = memory.decays ? rate * weight_decay_ : 0.0;
    update({memory.shape, static_cast<std::size_t>(n), from, to, item.gradient, item.scale, rate,
            decay, iterations() + 1, memory.slots});
  } else if (to != from) {
    std::copy(from, from + n, to);
  }
  follow(memory, to);
  if (overwrites()) std::copy(memory.average->data(), memory.average->data() + n, to);
}

// Whether a gradient is not finite under a dynamic loss scale, which is then halved.
template <class T>
bool Optimizer<T>::skips(const std::vector<Item>& items) {
  if (!options_.dynamic_loss_scale) return false;
  const bool finite = std::all_of(items.begin(), items.end(), [](const Item& item) {
    return item.gradient == nullptr || kernels::first_non_finite(item.size(), item.gradient) < 0;
  });
  if (finite) return false;
  loss_scale_ *= 0.5;
  good_steps_ = 0;
  return true;
}

template <class T>
void Optimizer<T>::commit(std::vector<Item>& items, bool updates, double rate) noexcept {
  const auto one = [&](Item& item) {
    if (item.changed) {
      item.memory->slots.swap(item.changed->slots);
      item.memory->average.swap(item.changed->average);
      item.slot->value = std::move(item.fresh);
    } else if (item.fresh) {
      advance(item, rate, *item.memory, item.fresh.mutate().data());
      item.slot->value = std::move(item.fresh);
    } else if ((updates && item.gradient != nullptr) || overwrites()) {
      advance(item, rate, *item.memory, item.slot->value.mutate().data());
    } else {
      follow(*item.memory, item.slot->value->data());
    }
    if (updates) {
      item.memory->accumulated.reset();
    } else if (item.own) {
      item.memory->accumulated = std::move(item.own);
    }
  };
  // Large ones have all threads each, small ones share them.
  const auto small = [this](const Item& item) {
    return concurrent() && item.size() <= detail::kElementGrain;
  };
  Index together = 0;
  for (Item& item : items) {
    if (small(item)) {
      together += item.size();
    } else {
      one(item);
    }
  }
  const auto count = static_cast<Index>(items.size());
  detail::parallel_for(count, together <= detail::kElementGrain ? count : 1,
                       [&](Index begin, Index end) {
                         for (Index i = begin; i < end; ++i) {
                           Item& item = items[static_cast<std::size_t>(i)];
                           if (small(item)) one(item);
                         }
                       });
  ++steps_;
  if (options_.dynamic_loss_scale && ++good_steps_ >= options_.dynamic_loss_scale->growth_steps) {
    loss_scale_ *= 2.0;
    good_steps_ = 0;
  }
}

template <class T>
bool Optimizer<T>::step(Params<T>& params, const Gradients<T>& gradients, StepOptions options) {
  params.check_pending();
  settle_all("step", params);
  std::vector<Item> items = collect(params, gradients, options);
  if (skips(items)) return false;
  const bool updates = (steps_ + 1) % options_.gradient_accumulation_steps == 0;
  double rate = -1.0;
  if (updates) {
    rate = rate_(steps_);
    check_option(rate >= 0 && std::isfinite(rate), name(), "learning_rate", rate,
                 "a finite number, 0 or more, of the schedule");
  }
  // What can fail is done first: memories, copies, norms, and constraints, which may be anybody's.
  Added added(memories_);
  for (Item& item : items) {
    remember(item, added);
    gather(item, updates);
  }
  if (updates) clip(items);
  for (Item& item : items) {
    const Shape& shape = item.slot->value->shape();
    const bool given = item.gradient != nullptr;
    if (item.slot->constraint && (given || overwrites())) {
      item.changed =
          Memory{shape, item.memory->decays, item.memory->slots, item.memory->average, {}};
      Array<T> updated(shape);
      advance(item, rate, *item.changed, updated.data());
      item.fresh = detail::ArrayPtr<T>(item.slot->constraint(updated, item.slot->path));
    } else if (((updates && given) || overwrites()) && !item.slot->value.unique()) {
      item.fresh = detail::ArrayPtr<T>(shape);
    }
  }
  added.keep();
  commit(items, updates, rate);
  return updates;
}

template <class T>
void Optimizer<T>::finalize(Params<T>& params) {
  settle_all("finalize", params);
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
