#include <xtape/optimizers.hpp>

#include "base/message.hpp"
#include "kernels/optimizers.hpp"

#include <cmath>

namespace xtape {

using detail::fail;
using kernels::Index;

namespace {

void check_rate(const char* name, double rate) {
  if (!(rate > 0) || !std::isfinite(rate)) {
    fail<ValueError>(name, "learning_rate out of range: learning_rate is ", rate,
                     ", expected a positive number");
  }
}

void check_unit(const char* name, const char* option, double value, bool one_allowed) {
  if (!(value >= 0) || value > 1 || (value == 1 && !one_allowed)) {
    fail<ValueError>(name, option, " out of range: ", option, " is ", value,
                     one_allowed ? ", expected 0 to 1" : ", expected at least 0 and below 1");
  }
}

}  // namespace

template <class T>
Optimizer<T>::Optimizer(double learning_rate, double weight_decay, std::size_t slots)
    : learning_rate_(learning_rate), weight_decay_(weight_decay), slots_(slots) {
  check_rate("optimizer", learning_rate);
  if (!(weight_decay >= 0) || !std::isfinite(weight_decay)) {
    fail<ValueError>("optimizer", "weight_decay out of range: weight_decay is ", weight_decay,
                     ", expected 0 or more");
  }
}

template <class T>
void Optimizer<T>::set_learning_rate(double rate) {
  check_rate("optimizer", rate);
  learning_rate_ = rate;
}

template <class T>
void Optimizer<T>::step(Params<T>& params, const Gradients<T>& gradients, StepOptions options) {
  params.check_pending();
  struct Item {
    detail::ParameterSlot<T>* slot;
    const Var<T>* gradient;
    detail::ArrayPtr<T> fresh;  // where somebody else still holds the old weights
    std::vector<Array<T>>* state;
    std::vector<Array<T>> fresh_state;  // where there is a constraint
  };
  std::vector<Item> items;
  std::string missing;
  for (const Parameter<T>& p : params.all()) {
    if (!p.built() || !p.trainable()) continue;
    const auto* entry = gradients.find(&p.slot());
    if (entry == nullptr) {
      missing += " '" + p.path() + "'";
    } else {
      items.push_back({&p.slot(), &entry->gradient, {}, nullptr, {}});
    }
  }
  if (items.empty() || (!missing.empty() && !options.allow_missing)) {
    fail<ParameterError>("step", "gradients missing: trainable parameters", missing,
                         " got none, expected one for each; freeze them with set_trainable(), or "
                         "pass {.allow_missing = true}");
  }
  const double decay = learning_rate_ * weight_decay_;
  const auto run = [&](Item& item, Array<T>& to, std::vector<Array<T>>& state) {
    update({to.size(), item.slot->value->data(), to.data(), item.gradient->data(),
            gradients.stored_scale(), decay, iterations_ + 1, state});
  };
  // What can fail is done first: state, copies, and constraints, which may be anybody's functions.
  for (Item& item : items) {
    const Shape& shape = item.slot->value->shape();
    std::vector<Array<T>>& state = state_[item.slot->path];
    while (state.size() < slots_) state.push_back(detail::full<T>(shape, T(0)));
    for (const Array<T>& a : state) {
      if (a.shape() != shape) {
        fail<ParameterError>("step", "state of another model: '", item.slot->path, "' is ",
                             to_string(shape), ", expected ", to_string(a.shape()),
                             "; use one optimizer per model");
      }
    }
    item.state = &state;
    if (item.slot->constraint) {
      item.fresh_state = state;
      Array<T> updated(shape);
      run(item, updated, item.fresh_state);
      item.fresh = detail::ArrayPtr<T>(item.slot->constraint(updated, item.slot->path));
    } else if (!item.slot->value.unique()) {
      item.fresh = detail::ArrayPtr<T>(shape);
    }
  }
  for (Item& item : items) {
    if (item.slot->constraint) {
      item.state->swap(item.fresh_state);
      item.slot->value = std::move(item.fresh);
    } else if (item.fresh) {
      run(item, item.fresh.mutate(), *item.state);
      item.slot->value = std::move(item.fresh);
    } else {
      run(item, item.slot->value.mutate(), *item.state);
    }
  }
  ++iterations_;
}

template <class T>
SGD<T>::SGD(Options options)
    : Optimizer<T>(options.learning_rate, options.weight_decay, options.momentum > 0 ? 1 : 0),
      options_(options) {
  check_unit("SGD", "momentum", options.momentum, true);
}

template <class T>
void SGD<T>::update(const typename Optimizer<T>::Update& u) const noexcept {
  kernels::sgd(static_cast<Index>(u.n), static_cast<T>(this->learning_rate()),
               static_cast<T>(options_.momentum), options_.nesterov, static_cast<T>(u.decay),
               static_cast<T>(u.gradient_scale), u.gradient,
               u.state.empty() ? nullptr : u.state[0].data(), u.from, u.to);
}

template <class T>
Adam<T>::Adam(Options options)
    : Optimizer<T>(options.learning_rate, options.weight_decay, 2), options_(options) {
  check_unit("Adam", "beta_1", options.beta_1, false);
  check_unit("Adam", "beta_2", options.beta_2, false);
  if (!(options.epsilon >= 0)) {
    fail<ValueError>("Adam", "epsilon out of range: epsilon is ", options.epsilon,
                     ", expected >= 0");
  }
}

template <class T>
void Adam<T>::update(const typename Optimizer<T>::Update& u) const noexcept {
  const auto t = static_cast<double>(u.step);
  const double rate = this->learning_rate() * std::sqrt(1 - std::pow(options_.beta_2, t)) /
                      (1 - std::pow(options_.beta_1, t));
  kernels::adam(static_cast<Index>(u.n), static_cast<T>(rate), static_cast<T>(1 - options_.beta_1),
                static_cast<T>(1 - options_.beta_2), static_cast<T>(options_.epsilon),
                static_cast<T>(u.decay), static_cast<T>(u.gradient_scale), u.gradient,
                u.state[0].data(), u.state[1].data(), u.from, u.to);
}

template class Optimizer<float>;
template class Optimizer<double>;
template class SGD<float>;
template class SGD<double>;
template class Adam<float>;
template class Adam<double>;

}  // namespace xtape
