#pragma once
/// \file
/// The version of the arithmetic: docs/arithmetic.md defines the bits of every result.

#include <cstdint>

namespace xtape {

/// Returns the version of the definition that the library computes by. Programs with the same version, data and
/// seed get the same weights, on any processor with fused multiply-adds and any number of threads.
std::int64_t arithmetic() noexcept;

}  // namespace xtape
