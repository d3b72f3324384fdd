#pragma once
// With XTAPE_FAULTS a test may alter each gradient that a pullback returns (tests/support/fault.hpp).

#include <xtape/tape/var.hpp>

#include <cstddef>

namespace xtape::detail {

#ifdef XTAPE_FAULTS
inline constexpr bool kFaults = true;
/// Takes the operation, the position among the operands that get a gradient, and the gradient.
template <class T>
inline void (*gradient_hook)(const char* op, std::size_t operand, Var<T>& g) = nullptr;
#else
inline constexpr bool kFaults = false;
#endif

}  // namespace xtape::detail
