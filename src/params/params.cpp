#include <xtape/params/params.hpp>

#include "base/check.hpp"
#include "base/instantiate.hpp"
#include "kernels/elementwise.hpp"
#include "params/layer_state.hpp"
#include "params/name_check.hpp"
#include "products/kept.hpp"

#include <algorithm>
#include <deque>
#include <mutex>
#include <set>

namespace xtape {

namespace detail {

template <class T> struct ParamsState {
  explicit ParamsState(std::uint64_t s) : seed(s) {}
  std::uint64_t seed;
  mutable std::mutex mutex;  // of all below; built values are read without it
  std::deque<ParameterSlot<T>> slots;
  std::map<std::string, ParameterSlot<T>*> by_path;
  std::map<std::string, Array<T>> pending;  // set before their layer was built
  // Names among these that a strict load set before any layer was made.
  std::set<std::string> unchecked;
  std::set<std::string> spare;  // names that a load without `strict` set: a layer need not come
  std::set<const ParameterSlot<T>*> states;  // never trained

  ParameterSlot<T>* find(const std::string& path) const {
    const auto it = by_path.find(path);
    return it == by_path.end() ? nullptr : it->second;
  }

  /// ParameterError unless every parameter has its value and every value (of `only`, if given) its
  /// parameter.
  void check_names(const std::map<std::string, Array<T>>& values,
                   const std::set<std::string>* only) const {
    NameCheck check;
    for (const ParameterSlot<T>& slot : slots) {
      const auto it = values.find(slot.path);
      if (it == values.end()) {
        check.missing("'" + slot.path + "'");
      } else if (slot.built && slot.value->shape() != it->second.shape()) {
        check.misshaped("'" + slot.path + "'", to_string(it->second.shape()),
                        to_string(slot.value->shape()));
      }
    }
    for (const auto& [path, value] : values) {
      if (find(path) == nullptr && (only == nullptr || only->contains(path))) {
        check.unexpected("'" + path + "'");
      }
    }
    check.finish("load",
                 "make every layer before the first call, or load a part with {.strict = false}");
  }
};

}  // namespace detail

using detail::fail;

template <class T> const Array<T>& Parameter<T>::value() const {
  if (!built()) {
    fail<ParameterError>(path(),
                         "not built yet: the parameter has no value, expected one; call the "
                         "layer once, or its build()");
  }
  return *slot().value;
}

template <class T>
void Parameter<T>::build(const Shape& shape, const Initializer& initializer, Fans fans) const {
  const auto check = [&](const Shape& present, const char* what) {
    if (present != shape) {
      fail<ShapeError>(path(), what, ": value is ", to_string(present), ", expected ",
                       to_string(shape), "; give the layer inputs of the width it was built for");
    }
  };
  if (built()) {
    check(slot().value->shape(), "shape changed");
    return;
  }
  detail::ParamsState<T>& params = *slot().params;
  const std::lock_guard lock(params.mutex);
  if (built()) {
    check(slot().value->shape(), "shape changed");
    return;
  }
  if (!params.unchecked.empty()) {
    params.check_names(params.pending, &params.unchecked);
    params.unchecked.clear();
  }
  const auto pending = params.pending.find(path());
  if (pending != params.pending.end()) {
    check(pending->second.shape(), "loaded value does not fit");
    slot().value = detail::ArrayPtr<T>(std::move(pending->second));
    params.pending.erase(pending);
  } else {
    detail::checked(path().c_str(), shape);
    RandomStream stream(params.seed, stable_hash(path()));
    Array<T> value = xt::cast<T>(initializer(shape, fans, stream));
    const auto at =
        kernels::first_non_finite(static_cast<kernels::Index>(value.size()), value.data());
    if (at >= 0) {
      fail<ValueError>(path(), "initial value is not finite: element ", at, " of ",
                       to_string(shape), " is ", value.data()[at],
                       ", expected finite numbers of the weights' type; look at the "
                       "options of the initializer, or set the value");
    }
    slot().value = detail::ArrayPtr<T>(std::move(value));
  }
  slot().built.store(true, std::memory_order_release);
}

template <class T>
void Parameter<T>::build(const Shape& shape, const Initializer& initializer) const {
  const auto out = static_cast<double>(shape.empty() ? 1 : shape.back());
  const double all = static_cast<double>(size_of(shape));
  build(shape, initializer, {shape.size() < 2 ? out : all / std::max(out, 1.0), out});
}

template <class T> Var<T> Parameter<T>::value_for(const detail::NodeRef<T>& ref) const {
  const Array<T>& array = value();
  if (ref.state == nullptr) {
    auto* const kept = products::KeptPanels<T>::in_use();
    if (kept != nullptr && !kept->watches(array.data())) {
      const auto owner = std::make_shared<const detail::ArrayPtr<T>>(slot().value);
      kept->watch(array.data(), array.size(), owner);
    }
    return {slot().value, {}};
  }
  detail::check_node_ref(path().c_str(), ref);
  return ref.state->leaf(slot_);
}

template <class T> Scope<T> Scope<T>::operator/(const std::string& name) const {
  if (name.empty() || name.find('/') != std::string::npos) {
    fail<ValueError>("scope", "name out of form: name is '", name,
                     "', expected at least one character and no slash");
  }
  return {params_, path_.empty() ? name : path_ + "/" + name, reuse_};
}

template <class T> Scope<T> Scope<T>::numbered(std::int64_t index) const {
  detail::check_option(index >= 0, path_.empty() ? "scope" : path_, "index", index, "0 or more");
  return *this / std::to_string(index);
}

template <class T>
Parameter<T> Scope<T>::reserve(const std::string& name, bool trainable, Regularizer<T> regularizer,
                               Constraint<T> constraint) const {
  const std::string path = (*this / name).path();
  if (params_ == nullptr) detail::fail_no_value("Scope");
  const std::lock_guard lock(params_->mutex);
  if (detail::ParameterSlot<T>* slot = params_->find(path)) {
    if (!reuse_) {
      fail<ParameterError>(path,
                           "path taken: a parameter of this name exists, expected a new name; "
                           "choose another scope, or share it on purpose with scope.reuse()");
    }
    if (!slot->regularizer) slot->set_regularizer(std::move(regularizer));
    if (!slot->constraint) slot->constraint = std::move(constraint);
    return Parameter<T>({params_, slot});
  }
  detail::ParameterSlot<T>& slot = params_->slots.emplace_back();
  slot.path = path;
  slot.index = params_->slots.size() - 1;
  slot.params = params_.get();
  slot.trainable = trainable;
  slot.set_regularizer(std::move(regularizer));
  slot.constraint = std::move(constraint);
  params_->by_path[path] = &slot;
  return Parameter<T>({params_, &slot});
}

template <class T>
Params<T>::Params(ParamsOptions options)
    : state_(std::make_shared<detail::ParamsState<T>>(options.seed)) {}
template <class T> Params<T>::Params(Params&&) noexcept = default;
template <class T> Params<T>& Params<T>::operator=(Params&&) noexcept = default;
template <class T> Params<T>::~Params() = default;

template <class T> detail::ParamsState<T>& Params<T>::state() const {
  if (state_ == nullptr) detail::fail_no_value("Params");
  return *state_;
}

template <class T> Scope<T> Params<T>::scope() {
  static_cast<void>(state());
  return {state_, "", false};
}

template <class T> std::vector<Parameter<T>> Params<T>::all() const {
  const std::lock_guard lock(state().mutex);
  std::vector<Parameter<T>> out;
  for (detail::ParameterSlot<T>& slot : state().slots) {
    out.emplace_back(std::shared_ptr<detail::ParameterSlot<T>>(state_, &slot));
  }
  return out;
}

template <class T> std::vector<std::string> Params<T>::paths() const {
  std::vector<std::string> out;
  for (const Parameter<T>& p : all()) out.push_back(p.path());
  return out;
}

template <class T> bool Params<T>::contains(const std::string& path) const {
  const std::lock_guard lock(state().mutex);
  return state().find(path) != nullptr;
}

template <class T> Parameter<T> Params<T>::at(const std::string& path) const {
  {
    const std::lock_guard lock(state().mutex);
    if (detail::ParameterSlot<T>* slot = state().find(path)) return Parameter<T>({state_, slot});
  }
  std::string names;
  for (const std::string& known : paths()) names += " '" + known + "'";
  fail<ParameterError>("params", "no parameter named '", path,
                       "', expected one of:", names.empty() ? " (none)" : names);
}

template <class T> std::size_t Params<T>::count(bool only_trainable) const {
  std::size_t n = 0;
  for (const Parameter<T>& p : all()) {
    if (p.built() && (p.trainable() || !only_trainable)) n += p.value().size();
  }
  return n;
}

template <class T> void Params<T>::set(const std::string& path, Array<T> value) {
  std::map<std::string, Array<T>> one;
  one.emplace(path, std::move(value));
  load(one, {.strict = false});
  state().spare.erase(path);
}

template <class T>
LoadReport Params<T>::load(const std::map<std::string, Array<T>>& values, LoadOptions options) {
  const std::lock_guard lock(state().mutex);
  const bool check_later = options.strict && state().slots.empty();
  if (options.strict && !check_later) state().check_names(values, nullptr);
  // Everything that can fail comes before the first change.
  std::vector<std::pair<detail::ParameterSlot<T>*, detail::ArrayPtr<T>>> fresh;
  std::map<std::string, Array<T>> waiting = state().pending;
  std::set<std::string> unchecked = state().unchecked;
  std::set<std::string> spare = state().spare;
  LoadReport report;
  for (const auto& [path, value] : values) {
    detail::ParameterSlot<T>* slot = state().find(path);
    (slot == nullptr ? report.unexpected : report.loaded).push_back(path);
    if (slot == nullptr || !slot->built) {
      waiting[path] = value;
      if (options.strict) {
        spare.erase(path);
      } else {
        spare.insert(path);
      }
    } else if (slot->value->shape() != value.shape()) {
      fail<ShapeError>(path, "shape differs: value is ", to_string(value.shape()), ", expected ",
                       to_string(slot->value->shape()), "; nothing was changed");
    } else {
      fresh.emplace_back(slot, detail::ArrayPtr<T>(Array<T>(value)));
    }
    if (check_later) {
      unchecked.insert(path);
    } else {
      unchecked.erase(path);
    }
  }
  for (const auto& [path, slot] : state().by_path) {
    if (!values.contains(path)) report.missing.push_back(path);
  }
  for (auto& [slot, value] : fresh) slot->value = std::move(value);
  state().pending.swap(waiting);
  state().unchecked.swap(unchecked);
  state().spare.swap(spare);
  return report;
}

template <class T> std::map<std::string, Array<T>> Params<T>::values() const {
  std::map<std::string, Array<T>> out;
  for (const Parameter<T>& p : all()) {
    if (p.built()) out.emplace(p.path(), p.value());
  }
  return out;
}

template <class T> std::vector<std::string> Params<T>::pending() const {
  const std::lock_guard lock(state().mutex);
  std::vector<std::string> paths;
  for (const auto& [path, value] : state().pending) paths.push_back(path);
  return paths;
}

template <class T> void Params<T>::check_pending() const {
  std::string names;
  for (const std::string& path : pending()) {
    if (!state().spare.contains(path)) names += " '" + path + "'";
  }
  if (names.empty()) return;
  fail<ParameterError>("params", "values without a layer: loaded values for", names,
                       " found no layer of that name, expected every one to be used; build the "
                       "model first, or load a part with {.strict = false}");
}

template <class T> void Params<T>::set_trainable(const std::string& path, bool trainable) {
  const std::lock_guard lock(state().mutex);
  bool any = false;
  for (detail::ParameterSlot<T>& slot : state().slots) {
    const bool below = path.empty() || slot.path == path || slot.path.rfind(path + "/", 0) == 0;
    if (below) {
      slot.trainable = trainable && !state().states.contains(&slot);
      any = true;
    }
  }
  if (!any) {
    fail<ParameterError>("set_trainable", "no parameters at or below '", path,
                         "', expected a path or the beginning of some; see params.paths()");
  }
}

template <class T>
Parameter<T> detail::reserve_state(const Scope<T>& scope, const std::string& name) {
  const Parameter<T> parameter = scope.reserve(name, false);
  ParamsState<T>& params = *parameter.slot().params;
  const std::lock_guard lock(params.mutex);
  params.states.insert(&parameter.slot());
  return parameter;
}

template <class T> std::string detail::state_path(const Params<T>& params) {
  for (const Parameter<T>& p : params.all()) {
    if (p.slot().params->states.contains(&p.slot())) return p.path();
  }
  return "";
}

namespace detail {
XTAPE_FOR_REALS(reserve_state);
XTAPE_FOR_REALS(state_path);
}  // namespace detail
XTAPE_CLASS_FOR_REALS(Parameter);
XTAPE_CLASS_FOR_REALS(Scope);
XTAPE_CLASS_FOR_REALS(Params);

}  // namespace xtape
