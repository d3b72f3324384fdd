#pragma once
/// \file
/// check_gradients(): compares a function's gradients with differences, first and second order.

#include <xtape/params/params.hpp>
#include <xtape/tape/tape.hpp>

#include <concepts>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace xtape {

/// Options of check_gradients.
struct GradcheckOptions {
  double eps = 1e-5;               ///< step of the central differences
  double tolerance = 1e-6;         ///< first order, relative to the largest gradient entry
  double second_tolerance = 1e-5;  ///< second order, relative to the same
  bool second_order = true;        ///< whether second derivatives are checked, too
  bool training = false;           ///< of the tape the function runs on
  std::uint64_t seed = 1;          ///< of the random directions, and of the tape
  std::size_t all_outputs = 32;    ///< up to this many outputs each gets its own backward
  std::size_t all_inputs = 512;    ///< up to this many input elements each is moved by itself
};

/// The result of check_gradients.
struct GradcheckReport {
  bool passed = true;         ///< whether all deviations are within the tolerances
  int order = 1;              ///< of the worst deviation
  double worst = 0.0;         ///< |analytic - numeric| / max(1e-3, largest gradient entry)
  double worst_first = 0.0;   ///< the worst deviation of the first order
  double worst_second = 0.0;  ///< the worst deviation of the second order
  std::string where;          ///< "input 1", "parameter 'w'", "the seed gradient", "direction 3"
  std::size_t index = 0;      ///< element within it, row-major
  double value = 0.0;         ///< the element's value
  double analytic = 0.0;      ///< the worst element's gradient by the tape
  double numeric = 0.0;       ///< the worst element's gradient by differences
  std::string message;        ///< describes the worst failure; empty without one
  /// Returns whether the check has passed.
  explicit operator bool() const noexcept { return passed; }
};

/// A function to check: Vars in, one Var of any shape out. It must be deterministic.
using GradcheckFunction = std::function<Var<double>(const std::vector<Var<double>>&)>;

/// Compares the gradients of `f` at `inputs`, and for all trainable parameters of `params`, with
/// central differences in double. A small Jacobian is compared as a whole, a large one along random
/// directions. The second order compares derivatives of the gradients, also by the seed gradient.
///
/// The check also fails when a second backward differs by a bit, when a zero seed gives anything but
/// zeros, or when a recorded backward (create_graph) gives another gradient. All random numbers follow
/// from options.seed. Parameters keep their values. After PyTorch's gradcheck and gradgradcheck.
GradcheckReport check_gradients(const GradcheckFunction& f,
                                const std::vector<Array<double>>& inputs,
                                const GradcheckOptions& options = {},
                                Params<double>* params = nullptr);

/// @cond
namespace detail {
// `f` takes as many Vars as there are inputs, which are arrays, numbers or Vars.
template <class F, class... Inputs>
concept Checkable = sizeof...(Inputs) > 0 &&
                    (std::convertible_to<const Inputs&, Var<double>> && ...) &&
                    std::is_invocable_r_v<Var<double>, const F&,
                                          std::conditional_t<true, const Var<double>&, Inputs>...>;
}  // namespace detail
/// @endcond

/// Checks `f(Var, Var, ...)` at `inputs`, which are arrays, numbers or Vars, and for all trainable
/// parameters of `params`, with default options:
///
///     check_gradients(params, [&](const Var<double>& x) { return layer(x); }, x);
template <class F, class... Inputs>
requires detail::Checkable<F, Inputs...> GradcheckReport check_gradients(Params<double>& params,
                                                                         const F& f,
                                                                         const Inputs&... inputs) {
  const auto with_list = [&f](const std::vector<Var<double>>& x) -> Var<double> {
    return [&]<std::size_t... I>(std::index_sequence<I...>) { return f(x[I]...); }
    (std::index_sequence_for<Inputs...>());
  };
  return check_gradients(GradcheckFunction(with_list), {Var<double>(inputs).value()...}, {},
                         &params);
}

/// Checks a function without parameters:
///
///     check_gradients([](const Var<double>& x, const Var<double>& w) { return matmul(x, w); }, x, w);
template <class F, class... Inputs>
requires detail::Checkable<F, Inputs...> GradcheckReport check_gradients(const F& f,
                                                                         const Inputs&... inputs) {
  Params<double> none;
  return check_gradients(none, f, inputs...);
}

}  // namespace xtape
