#include <xtape/params/constraints.hpp>

#include "array/shapes.hpp"
#include "base/check.hpp"
#include "kernels/elementwise.hpp"
#include "params/look_up.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/reductions.hpp>

namespace xtape {

namespace {

void check_axes(const char* name, const Axes& axes) {
  if (axes.empty()) {
    detail::fail<ValueError>(name, "no axes: expected at least one axis to take norms along");
  }
}

// Returns w scaled so that its norms become `desired(norms)`, as Keras computes it.
template <class T, class Desired>
Array<T> rescaled(const Array<T>& w, const Axes& axes, const std::string& name, Desired desired) {
  static_cast<void>(detail::normalize_axes(name, axes, w.dimension()));  // names the parameter
  const auto scaled = [&]<class U>(const Var<U>& x, const Var<U>& norms) {
    return (x * (desired(norms) / (norms + static_cast<U>(1e-7)))).value();
  };
  const Var<T> x(w);
  const Var<T> norms = norm(x, axes, true);
  if constexpr (std::is_same_v<T, float>) {
    if (kernels::first_non_finite(static_cast<kernels::Index>(norms.size()), norms.data()) >= 0) {
      const Var<double> wide(xt::cast<double>(w));  // finite weights may have a norm beyond float
      return xt::cast<T>(scaled(wide, norm(wide, axes, true)));
    }
  }
  return scaled(x, norms);
}

}  // namespace

template <class T> Constraint<T>::Constraint(const std::string& name) {
  if (name.empty()) return;
  using namespace constraints;
  using detail::made;
  *this =
      detail::look_up<Constraint (*)()>("constraint", "constraint", name,
                                        {{"max_norm MaxNorm", made<Constraint, MaxNorm>},
                                         {"unit_norm UnitNorm", made<Constraint, UnitNorm>},
                                         {"non_neg NonNeg", made<Constraint, NonNeg>},
                                         {"min_max_norm MinMaxNorm", made<Constraint, MinMaxNorm>}},
                                        "or pass a function")();
}

template <class T> Constraint<T>::Constraint(constraints::MaxNorm options) {
  check_axes("max_norm", options.axes);
  detail::check_not_negative("max_norm", "max_value", options.max_value);
  detail::check_fits<T>("max_norm", "max_value", options.max_value);
  description_ = {"MaxNorm", {{"max_value", options.max_value}, {"axis", options.axes}}};
  function_ = [options](const Array<T>& w, const std::string& name) {
    return rescaled(w, options.axes, name,
                    [&](const auto& norms) { return clip(norms, 0.0, options.max_value); });
  };
}

template <class T> Constraint<T>::Constraint(constraints::UnitNorm options) {
  check_axes("unit_norm", options.axes);
  description_ = {"UnitNorm", {{"axis", options.axes}}};
  function_ = [options](const Array<T>& w, const std::string& name) {
    return rescaled(w, options.axes, name, []<class U>(const Var<U>&) { return Var<U>(U(1)); });
  };
}

template <class T> Constraint<T>::Constraint(constraints::NonNeg) {
  description_ = {"NonNeg", {}};
  function_ = [](const Array<T>& w, const std::string&) {
    return maximum(Var<T>(w), Var<T>(T(0))).value();
  };
}

template <class T> Constraint<T>::Constraint(constraints::MinMaxNorm options) {
  check_axes("min_max_norm", options.axes);
  if (!(options.min_value >= 0) || !(options.max_value >= options.min_value) ||
      !std::isfinite(options.max_value)) {
    detail::fail<ValueError>("min_max_norm", "limits out of range: min_value is ",
                             options.min_value, " and max_value is ", options.max_value,
                             ", expected 0 <= min_value <= max_value, both finite");
  }
  detail::check_fits<T>("min_max_norm", "max_value", options.max_value);
  detail::check_unit("min_max_norm", "rate", options.rate, true);
  description_ = {"MinMaxNorm",
                  {{"min_value", options.min_value},
                   {"max_value", options.max_value},
                   {"rate", options.rate},
                   {"axis", options.axes}}};
  function_ = [options](const Array<T>& w, const std::string& name) {
    return rescaled(w, options.axes, name, [&]<class U>(const Var<U>& norms) {
      return clip(norms, options.min_value, options.max_value) * static_cast<U>(options.rate) +
             norms * static_cast<U>(1 - options.rate);
    });
  };
}

template <class T> Constraint<T>::Constraint(User user) {
  if (!user.function) {
    detail::fail<ValueError>("constraint",
                             "empty function, expected something to call; pass a name or a "
                             "function Array -> Array");
  }
  function_ = [function = std::move(user.function)](const Array<T>& w, const std::string& name) {
    Array<T> fresh = function(w);
    if (fresh.shape() != w.shape()) {
      detail::fail<ShapeError>(name, "constraint changed the shape: result is ",
                               to_string(fresh.shape()), ", expected ", to_string(w.shape()),
                               "; keep it");
    }
    return fresh;
  };
}

template <class T>
Array<T> Constraint<T>::operator()(const Array<T>& w, const std::string& name) const {
  return function_ ? function_(w, name) : w;
}

template class Constraint<float>;
template class Constraint<double>;

}  // namespace xtape
