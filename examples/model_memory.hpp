#pragma once
// Whether this machine can hold a model, before any of it is made.

#include <unistd.h>

#include <xtape/base/error.hpp>

#include <cstdio>
#include <string>

/// Throws ValueError, beginning with the names of options, if a model of so many weights and layers cannot be trained
/// in the memory of this machine.
inline void check_model_memory(const std::string& options, double weights, double layers) {
  constexpr double kLayer = 1 << 14;  // bytes of names and handles
  // Weights, gradients and what Adam remembers.
  const double needed = 16 * weights + kLayer * layers;
  const double memory =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (needed <= memory) return;
  char text[256];
  std::snprintf(
      text, sizeof text,
      ": too large: the model has %.3g weights and needs %.3g GiB, expected at most %.3g, "
      "the memory of this machine; give smaller ones",
      weights, needed / 0x1p30, memory / 0x1p30);
  throw xtape::ValueError(options + text);
}
