#pragma once
/// \file
/// Dropout.

#include <xtape/ops/dropout.hpp>

#include <atomic>
#include <optional>
#include <string>
#include <vector>

namespace xtape {

/// Zeroes elements with probability `rate` while training and scales the rest by 1 / (1 - rate);
/// otherwise the identity, drawing nothing (Srivastava et al. 2014; Keras's Dropout).
template <class T> class Dropout {
 public:
  /// Options, with their defaults.
  struct Options {
    double rate = 0.5;                       ///< 0 to 1
    std::vector<int> noise_shape = {};       ///< -1 = as the input; 1 = one decision along the axis
    std::optional<std::uint64_t> seed = {};  ///< replaces the tape's seed
    std::string name = "dropout";            ///< for messages
  };

  /// ValueError for a rate or noise_shape out of range.
  explicit Dropout(Options options);
  /// Moves. The source must not be used afterwards.
  Dropout(Dropout&& other) noexcept;
  Dropout& operator=(Dropout&&) = delete;

  /// `training` replaces the tape's. Training without a tape needs a seed of the layer's own
  /// (TapeError otherwise). ShapeError when noise_shape does not fit x.
  Var<T> operator()(const Var<T>& x, std::optional<bool> training = std::nullopt) const;
  /// Returns whether such a call drops anything. TapeError if it has nothing to draw from.
  [[nodiscard]] bool active(const Var<T>& x, std::optional<bool> training = std::nullopt) const;

  /// Returns the random key of a call with x, for a later dropout(), or nothing if the call would be the
  /// identity.
  std::optional<RandomKey> draw(const Var<T>& x, std::optional<bool> training = std::nullopt) const;

 private:
  Options options_;
  mutable std::atomic<std::uint64_t> calls_{0};  // without a tape, consecutive calls differ by this
};

}  // namespace xtape
