#pragma once
/// \file
/// Rotary positions.

#include <xtape/tape/var.hpp>

namespace xtape {

/// Options of rotary.
struct RotaryOptions {
  double max_wavelength = 10000.0;
  std::ptrdiff_t start = 0;  ///< position of the first element
  bool interleaved = false;  ///< pairs (0, 1), (2, 3), ... instead of (0, n/2), (1, n/2 + 1), ...
};

/// Turns pairs of the last axis by angles that grow with the position along `axis` (Su et al. 2021):
/// pair k of n/2 by position * max_wavelength^(-2k/n). The product of two vectors turned so depends
/// on the distance of their positions only. ShapeError unless the last extent is even.
template <class T>
Var<T> rotary(const Var<T>& x, int axis = 1, RotaryOptions options = {});

}  // namespace xtape
