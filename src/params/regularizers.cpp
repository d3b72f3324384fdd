#include <xtape/params/regularizers.hpp>

#include "base/check.hpp"
#include "params/look_up.hpp"

#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reductions.hpp>
#include <xtape/tape/tape_state.hpp>

namespace xtape {

using detail::check_not_negative;

namespace {

detail::Description described(double l1, double l2) {
  if (l1 != 0 && l2 == 0) return {"L1", {{"l1", l1}}};
  if (l1 == 0 && l2 != 0) return {"L2", {{"l2", l2}}};
  return {"L1L2", {{"l1", l1}, {"l2", l2}}};
}

template <class T>
Var<T> orthogonal_penalty(const Var<T>& w, const regularizers::OrthogonalRegularizer& options,
                          const std::string& name) {
  if (w.rank() != 2) {
    detail::fail<ShapeError>(name, "no orthogonal penalty: weights are ", to_string(w.shape()),
                             ", expected a matrix; use another regularizer");
  }
  const bool rows = options.mode == regularizers::OrthogonalMode::rows;
  const std::size_t n = w.shape()[rows ? 0 : 1];
  if (n < 2) return {Var<T>(T(0)).pointer(), detail::join(name.c_str(), w.node_ref())};
  // Keras multiplies by min(1 / length, 1e7), whose derivative is NaN for a row of zeros.
  const Var<T> unit = w / maximum(norm(w, {rows ? 1 : 0}, true), Var<T>(static_cast<T>(1e-7)));
  Array<T> others = detail::full<T>({n, n}, T(1));
  for (std::size_t i = 0; i < n; ++i) others.data()[i * (n + 1)] = T(0);
  const Var<T> products =
      matmul(unit, unit, {.transpose_a = !rows, .transpose_b = rows}) * Var<T>(std::move(others));
  const auto count = static_cast<double>(n);
  return sum(abs(products)) * static_cast<T>(options.factor / (count * (count - 1)));
}

}  // namespace

template <class T> Regularizer<T>::Regularizer(const std::string& name) {
  using namespace regularizers;
  if (name.empty()) return;
  using detail::made;
  *this = detail::look_up<Regularizer (*)()>(
      "regularizer", "regularizer", name,
      {{"l1 L1", made<Regularizer, L1>},
       {"l2 L2", made<Regularizer, L2>},
       {"l1l2 L1L2", made<Regularizer, L1L2>},
       {"orthogonal_regularizer OrthogonalRegularizer", made<Regularizer, OrthogonalRegularizer>}},
      name == "l1_l2" ? "this one has no agreed coefficients: pass "
                        "regularizers::L1L2{.l1 = ..., .l2 = ...}"
                      : "or pass a function")();
}

template <class T> Regularizer<T>::Regularizer(regularizers::L1L2 options) {
  const auto [l1, l2] = options;
  check_not_negative("l1_l2", "l1", l1);
  check_not_negative("l1_l2", "l2", l2);
  detail::check_fits<T>("l1_l2", "l1", l1);
  detail::check_fits<T>("l1_l2", "l2", l2);
  description_ = described(l1, l2);
  if (l1 == 0 && l2 == 0) return;
  function_ = [a = static_cast<T>(l1), b = static_cast<T>(l2)](const Var<T>& w,
                                                               const std::string&) {
    if (b == T(0)) return sum(abs(w)) * a;
    if (a == T(0)) return sum(square(w)) * b;
    return sum(abs(w)) * a + sum(square(w)) * b;
  };
}

template <class T> Regularizer<T>::Regularizer(regularizers::OrthogonalRegularizer options) {
  check_not_negative("orthogonal", "factor", options.factor);
  detail::check_fits<T>("orthogonal", "factor", options.factor);
  const bool rows = options.mode == regularizers::OrthogonalMode::rows;
  description_ = {"OrthogonalRegularizer",
                  {{"factor", options.factor}, {"mode", rows ? "rows" : "columns"}}};
  if (options.factor == 0) return;
  function_ = [options](const Var<T>& w, const std::string& name) {
    return orthogonal_penalty(w, options, name);
  };
}

template <class T> Regularizer<T>::Regularizer(User user) {
  if (!user.function) {
    detail::fail<ValueError>("regularizer",
                             "empty function, expected something to call; pass a name or a "
                             "function Var -> Var of one element");
  }
  function_ = [function = std::move(user.function)](const Var<T>& w, const std::string& name) {
    Var<T> penalty = function(w);
    if (!penalty.has_value() || penalty.size() != 1) {
      detail::fail<ShapeError>(name, "regularizer is no scalar: penalty is ",
                               penalty.has_value() ? to_string(penalty.shape()) : "empty",
                               ", expected one element; sum() it");
    }
    return penalty;
  };
}

template <class T>
Var<T> Regularizer<T>::operator()(const Var<T>& w, const std::string& name) const {
  if (function_) return function_(w, name);
  return {Var<T>(T(0)).pointer(), detail::join(name.c_str(), w.node_ref())};
}

template class Regularizer<float>;
template class Regularizer<double>;

}  // namespace xtape
