#pragma once
/// \file
/// Dropout, and the keys of random operations.

#include <xtape/tape/var.hpp>

#include <cstdint>
#include <optional>

namespace xtape {

/// Which random numbers an operation uses: they are a function of this and the element's position.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t index = 0;
};

/// The key of the next random operation on x's tape. TapeError without a tape.
template <class T>
RandomKey next_random_key(const Var<T>& x);

/// Zero with probability `rate`, otherwise x / (1 - rate); all zeros for rate 1. noise_shape, which
/// must broadcast to x, shares decisions along its axes of extent 1. The gradient draws the same
/// decisions again instead of storing them. ValueError unless 0 <= rate <= 1.
template <class T>
Var<T> dropout(const Var<T>& x, double rate, RandomKey key,
               const std::optional<Shape>& noise_shape = std::nullopt);

}  // namespace xtape
