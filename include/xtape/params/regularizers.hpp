#pragma once
/// \file
/// Penalties on weights and outputs: an entry of the catalogue, by object or by name, or a function.

#include <xtape/params/description.hpp>
#include <xtape/tape/var.hpp>

#include <concepts>
#include <functional>
#include <string>
#include <type_traits>

namespace xtape {

/// The catalogue, with Keras's names and defaults. Options are checked where an object becomes a
/// Regularizer.
namespace regularizers {

/// l1 * sum(|w|)
struct L1 {
  double l1 = 0.01;  ///< finite, 0 or more
};
/// l2 * sum(w * w), without a half and without a mean
struct L2 {
  double l2 = 0.01;  ///< finite, 0 or more
};
/// The sum of L1 and L2. With both 0, the default, there is no penalty at all.
struct L1L2 {
  double l1 = 0.0;  ///< finite, 0 or more
  double l2 = 0.0;  ///< finite, 0 or more
};

/// The vectors that the penalty compares: rows or columns of a matrix.
enum class OrthogonalMode { rows, columns };
/// factor / 2 * sum over i != j of |cos(w_i, w_j)| / (n (n - 1) / 2), for the n rows (or columns) w_i
/// of a matrix; 0 for fewer than two. Rows shorter than 1e-7 are divided by 1e-7 instead of by their
/// length.
struct OrthogonalRegularizer {
  double factor = 0.01;                        ///< finite, 0 or more
  OrthogonalMode mode = OrthogonalMode::rows;  ///< what is compared
};

}  // namespace regularizers

/// Makes a scalar penalty of an array. Empty, by name, from an object of xtape::regularizers, or
/// from any callable Var<T> -> Var<T> of one element, written in operations on Var.
///
/// Names: l1, l2, l1l2, orthogonal_regularizer, and Keras's names of the classes L1, L2, L1L2,
/// OrthogonalRegularizer. A name has the default options. The name l1l2 does nothing, as in Keras:
/// both its coefficients are 0. The name l1_l2 is refused, as in Keras 3, because it meant 0.01 and
/// 0.01 in TensorFlow.
template <class T> class Regularizer {
 public:
  /// None.
  Regularizer() = default;
  /// ValueError listing the known names when this is not one of them. The empty name is none.
  Regularizer(const char* name) : Regularizer(std::string(name)) {}
  /// ValueError, which lists the names, for another name.
  Regularizer(const std::string& name);
  /// ValueError for coefficients out of range.
  Regularizer(regularizers::L1 options) : Regularizer(regularizers::L1L2{.l1 = options.l1}) {}
  /// See regularizers::L2.
  Regularizer(regularizers::L2 options) : Regularizer(regularizers::L1L2{.l2 = options.l2}) {}
  /// See regularizers::L1L2.
  Regularizer(regularizers::L1L2 options);
  /// See regularizers::OrthogonalRegularizer.
  Regularizer(regularizers::OrthogonalRegularizer options);
  /// Takes any function of a Var that returns a scalar.
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Regularizer> &&
           std::is_invocable_r_v<Var<T>, F&, const Var<T>&>) Regularizer(F&& function)
      : Regularizer(User{std::forward<F>(function)}) {}

  /// Whether there is anything to apply.
  explicit operator bool() const { return static_cast<bool>(function_); }
  /// Returns the penalty of w, or 0 if there is nothing to apply. ShapeError, beginning with `name`, when a
  /// callable returns anything but one element, or for an orthogonal penalty of anything but a matrix.
  [[nodiscard]] Var<T> operator()(const Var<T>& w, const std::string& name = "regularizer") const;

  /// The name and options for configs; empty for a function.
  [[nodiscard]] const detail::Description& description() const { return description_; }

 private:
  struct User {
    std::function<Var<T>(const Var<T>&)> function;
  };
  explicit Regularizer(User user);

  std::function<Var<T>(const Var<T>&, const std::string&)> function_;
  detail::Description description_;
};

}  // namespace xtape
