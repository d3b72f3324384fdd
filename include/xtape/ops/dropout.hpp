#pragma once
/// \file
/// Dropout, and the keys of random operations.

#include <xtape/tape/var.hpp>

#include <cstdint>
#include <optional>

namespace xtape {

/// The key of an operation's random numbers, which are a function of the key and the element's position.
struct RandomKey {
  std::uint64_t seed = 0;   ///< the tape's seed
  std::uint64_t index = 0;  ///< the number of the operation on the tape
};

/// Returns the key of the next random operation on x's tape. TapeError without a tape.
template <class T> RandomKey next_random_key(const Var<T>& x);

/// Returns 0 with probability `rate` and x / (1 - rate) otherwise, all zeros for rate 1. noise_shape has
/// the rank of x and broadcasts to it (ShapeError); elements along its axes of extent 1 share a decision. The gradient
/// draws the decisions again instead of storing them. ValueError unless 0 <= rate <= 1.
template <class T>
Var<T> dropout(const Var<T>& x, double rate, RandomKey key,
               const std::optional<Shape>& noise_shape = std::nullopt);

}  // namespace xtape
