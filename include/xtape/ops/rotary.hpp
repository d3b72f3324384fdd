#pragma once
/// \file
/// Rotary position embedding.

#include <xtape/tape/var.hpp>

namespace xtape {

/// Options of rotary.
struct RotaryOptions {
  double max_wavelength = 10000.0;  ///< base of the wavelengths, see below; positive
  std::ptrdiff_t start = 0;         ///< position of the first element
  bool interleaved = false;  ///< pairs (0, 1), (2, 3), ... instead of (0, n/2), (1, n/2 + 1), ...
};

/// Rotates pair k of the n/2 pairs of the last axis by the angle position * max_wavelength^(-2k/n), where
/// positions run along `axis` (Su et al. 2021). The product of two rotated vectors depends on their positions
/// only by the difference. ShapeError unless n is even. ValueError unless max_wavelength > 0.
template <class T> Var<T> rotary(const Var<T>& x, int axis = 1, RotaryOptions options = {});

}  // namespace xtape
