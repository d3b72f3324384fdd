#pragma once
/// \file
/// Batch normalization.

#include <xtape/params/params.hpp>

#include <optional>

namespace xtape {

/// Keras's BatchNormalization (Ioffe & Szegedy 2015): while training it normalizes each feature by the mean
/// and the biased variance of the batch, and keeps their moving averages; otherwise it normalizes by these.
/// Then it scales by gamma and shifts by beta.
///
/// "moving_mean" and "moving_variance" are state, no trained parameters: they are saved, loaded and
/// part of checkpoints, but have no gradient, and Params::set_trainable does not make them trainable. A
/// layer whose gamma or beta is frozen uses them and leaves them as they are, as in Keras. The state moves
/// once for each call on a training tape, so calls that train must not run at the same time, and each
/// shard of a batch normalizes by itself. fit refuses a team of ranks, whose states would differ.
template <class T> class BatchNormalization {
 public:
  /// Options, with their defaults.
  struct Options {
    int axis = -1;                                     ///< the features
    double momentum = 0.99;                            ///< 0 to 1: of the moving averages
    double epsilon = 1e-3;                             ///< added to the variance
    bool center = true;                                ///< with beta
    bool scale = true;                                 ///< with gamma
    Initializer beta_initializer = "zeros";            ///< initial values of the beta
    Initializer gamma_initializer = "ones";            ///< initial values of the gamma
    Initializer moving_mean_initializer = "zeros";     ///< initial values of the moving mean
    Initializer moving_variance_initializer = "ones";  ///< initial values of the moving variance
    bool trainable = true;                  ///< whether an optimizer updates the parameters
    Regularizer<T> beta_regularizer = {};   ///< penalty on the beta
    Regularizer<T> gamma_regularizer = {};  ///< penalty on the gamma
    Constraint<T> beta_constraint = {};     ///< limit of the beta after each update
    Constraint<T> gamma_constraint = {};    ///< limit of the gamma after each update
  };

  /// Options of a call.
  struct CallOptions {
    /// x's shape without its last axis, which must be the features; true = counts in the statistics.
    /// As in Keras these divide by the count + 1e-7.
    OptionalArray<bool> mask = {};
    std::optional<bool> training = {};  ///< replaces the tape's
  };

  /// Reserves "gamma", "beta", "moving_mean" and "moving_variance" in the scope. ValueError for options
  /// out of range.
  explicit BatchNormalization(const Scope<T>& scope, Options options = {});
  /// Moves. The source must not be used afterwards.
  BatchNormalization(BatchNormalization&&) noexcept = default;
  /// Moves. The source must not be used afterwards.
  BatchNormalization& operator=(BatchNormalization&&) noexcept = default;

  /// Same shape as x, of two axes or more. ShapeError naming the path for another width than before, for
  /// a mask that does not fit and, while training, for nothing to normalize. Statistics that are not finite
  /// leave the state as it is.
  Var<T> operator()(const Var<T>& x, const CallOptions& call = {}) const;
  /// Makes the arrays for inputs of this shape without computing.
  void build(const Shape& input) const;

  /// Returns the moving mean. It is not trainable.
  [[nodiscard]] const Parameter<T>& moving_mean() const { return moving_mean_; }
  /// Returns the moving variance. It is not trainable.
  [[nodiscard]] const Parameter<T>& moving_variance() const { return moving_variance_; }

 private:
  [[nodiscard]] std::size_t feature_axis(const Shape& input) const;
  [[nodiscard]] bool trains(const Var<T>& x, const CallOptions& call) const;
  void move(const Parameter<T>& state, const Array<T>& now) const;

  std::string path_;
  Options options_;
  Parameter<T> gamma_;
  Parameter<T> beta_;
  Parameter<T> moving_mean_;
  Parameter<T> moving_variance_;
};

}  // namespace xtape
