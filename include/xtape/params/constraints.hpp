#pragma once
/// \file
/// Limits on weights, applied after each update: an entry of the catalogue, by object or by name, or
/// a function.

#include <xtape/array/array.hpp>
#include <xtape/params/description.hpp>

#include <concepts>
#include <functional>
#include <string>
#include <type_traits>

namespace xtape {

/// The catalogue, with Keras's names, defaults and formulas. Norms are Euclidean, over `axes` jointly.
/// Axis 0 is the inputs' in a Dense kernel, but the heads' in the output kernel of attention.
namespace constraints {

/// w * min(norm, max_value) / (1e-7 + norm)
struct MaxNorm {
  double max_value = 2.0;  ///< finite, 0 or more
  Axes axes = {0};         ///< at least one
};

/// w / (1e-7 + norm)
struct UnitNorm {
  Axes axes = {0};  ///< at least one
};

/// max(w, 0)
struct NonNeg {};

/// w * (rate * clip(norm, min_value, max_value) + (1 - rate) * norm) / (1e-7 + norm)
struct MinMaxNorm {
  double min_value = 0.0;  ///< 0 or more
  double max_value = 1.0;  ///< finite, at least min_value
  double rate = 1.0;       ///< 0 (not at all) to 1 (at once)
  Axes axes = {0};         ///< at least one
};

}  // namespace constraints

/// Maps weights to permitted ones of the same shape. Empty, by name, from an object of
/// xtape::constraints, or from any callable Array<T> -> Array<T>. An optimizer applies it after each
/// update of the parameter it belongs to: not to initial, set or loaded values, and not to gradients.
///
/// Names: max_norm unit_norm non_neg min_max_norm, and Keras's names of the classes MaxNorm UnitNorm
/// NonNeg MinMaxNorm.
template <class T> class Constraint {
 public:
  /// None.
  Constraint() = default;
  /// ValueError listing the known names when this is not one of them. The empty name is none.
  Constraint(const char* name) : Constraint(std::string(name)) {}
  /// ValueError, which lists the names, for another name.
  Constraint(const std::string& name);
  /// ValueError for options out of range.
  Constraint(constraints::MaxNorm options);
  /// Divides by norms.
  Constraint(constraints::UnitNorm options);
  /// Sets negative weights to 0.
  Constraint(constraints::NonNeg options);
  /// Limits norms to a range.
  Constraint(constraints::MinMaxNorm options);
  /// Takes any function of an array.
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Constraint> &&
           std::is_invocable_r_v<Array<T>, F&, const Array<T>&>) Constraint(F&& function)
      : Constraint(User{std::forward<F>(function)}) {}

  /// Whether there is anything to apply.
  explicit operator bool() const { return static_cast<bool>(function_); }
  /// Returns the permitted weights, or w if there is nothing to apply. ShapeError, beginning with `name`, for
  /// axes that w does not have, and when a callable returns another shape.
  [[nodiscard]] Array<T> operator()(const Array<T>& w,
                                    const std::string& name = "constraint") const;

  /// The name and options for configs; empty for a function.
  [[nodiscard]] const detail::Description& description() const { return description_; }

 private:
  struct User {
    std::function<Array<T>(const Array<T>&)> function;
  };
  explicit Constraint(User user);

  std::function<Array<T>(const Array<T>&, const std::string&)> function_;
  detail::Description description_;
};

}  // namespace xtape
