#pragma once
/// \file
/// Losses as values, for fit on arrays: by Keras's name, as an object with options, or a function of your
/// own. They take labels or targets, and the sample weights that fit gives them.

#include <xtape/losses/losses.hpp>

#include <concepts>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

namespace xtape {

namespace losses {

/// sparse_categorical_crossentropy with options: labels (...) or (..., 1).
struct SparseCategoricalCrossentropy {
  bool from_logits = false;                       ///< whether predictions are logits
  std::optional<std::int64_t> ignore_class = {};  ///< label of samples that do not count
  double label_smoothing = 0.0;                   ///< weight of the uniform distribution
  /// Returns the loss.
  template <class T>
  Var<T> operator()(const Var<T>& prediction, const Array<std::int64_t>& labels,
                    const LossOptions& options = {}) const;
};

/// categorical_crossentropy with options.
struct CategoricalCrossentropy {
  bool from_logits = false;      ///< whether predictions are logits
  double label_smoothing = 0.0;  ///< weight of the uniform distribution
  /// Returns the loss.
  template <class T>
  Var<T> operator()(const Var<T>& prediction, const Array<T>& target,
                    const LossOptions& options = {}) const;
};

/// binary_crossentropy with options: targets of the prediction's shape, or labels 0 and 1 for a
/// prediction (..., 1).
struct BinaryCrossentropy {
  bool from_logits = false;      ///< whether predictions are logits
  double label_smoothing = 0.0;  ///< weight of the uniform distribution
  /// Returns the loss.
  template <class T>
  Var<T> operator()(const Var<T>& prediction, const Array<T>& target,
                    const LossOptions& options = {}) const;
  /// Returns the loss.
  template <class T>
  Var<T> operator()(const Var<T>& prediction, const Array<std::int64_t>& labels,
                    const LossOptions& options = {}) const;
};

}  // namespace losses

/// A loss of predictions of T and targets of Y, which is T, or std::int64_t for labels. Names:
/// mean_squared_error (mse), mean_absolute_error (mae), mean_absolute_percentage_error (mape),
/// mean_squared_logarithmic_error (msle), huber, log_cosh, hinge, squared_hinge, categorical_hinge,
/// kl_divergence, poisson, cosine_similarity, categorical_crossentropy and binary_crossentropy; for labels
/// sparse_categorical_crossentropy and binary_crossentropy.
template <class T, class Y> class NamedLoss {
 public:
  /// A function of the prediction, the target and the options of the call.
  using Function = std::function<Var<T>(const Var<T>&, const Array<Y>&, const LossOptions&)>;
  NamedLoss() = default;
  /// ValueError, which lists the names, for another name.
  NamedLoss(const char* name);
  /// ValueError, which lists the names, for another name.
  NamedLoss(const std::string& name) : NamedLoss(name.c_str()) {}
  /// A function (prediction, target, options) that heeds the options' sample weights, such as an object of
  /// xtape::losses.
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, NamedLoss> &&
           std::is_invocable_r_v<Var<T>, F&, const Var<T>&, const Array<Y>&, const LossOptions&>)
      NamedLoss(F&& function)
      : function_(std::forward<F>(function)) {}
  /// A function (prediction, target), which takes no sample weights.
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, NamedLoss> &&
           std::is_invocable_r_v<Var<T>, F&, const Var<T>&, const Array<Y>&> &&
           !std::is_invocable_v<F&, const Var<T>&, const Array<Y>&, const LossOptions&>)
      NamedLoss(F&& function)
      : function_([own = std::forward<F>(function)](const Var<T>& prediction,
                                                    const Array<Y>& target, const LossOptions&) {
          return own(prediction, target);
        }),
        weighs_(false) {}

  /// Returns whether it holds a loss.
  explicit operator bool() const { return static_cast<bool>(function_); }
  /// Whether the function takes sample weights.
  [[nodiscard]] bool weighs() const noexcept { return weighs_; }
  /// Returns the loss.
  Var<T> operator()(const Var<T>& prediction, const Array<Y>& target,
                    const LossOptions& options) const {
    return function_(prediction, target, options);
  }

 private:
  Function function_;
  bool weighs_ = true;
};

}  // namespace xtape
