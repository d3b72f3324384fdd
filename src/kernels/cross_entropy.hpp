#pragma once
// Cross-entropy of rows of n contiguous logits.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <cstdint>

namespace xtape::kernels {

/// Specialized per element type and instruction set (`A`, a tag of isa.hpp); the functions below choose.
template <class T, class A> struct CrossEntropy {
  static void value(Index rows, Index n, const T* x, const std::int64_t* labels, T smoothing,
                    T* loss, T* lse);
  static void gradient(Index rows, Index n, const T* x, const std::int64_t* labels, T smoothing,
                       const T* lse, const T* g, T* dx);
};

/// Stores, per row, lse = log(sum(exp(x))) and loss = (1 - smoothing) * (lse - x[label]) + smoothing * (lse - mean(x)).
/// Stores zeros where the label is negative.
XTAPE_KERNEL(cross_entropy, CrossEntropy, value)
/// Stores dx[i] = g * (exp(x[i] - lse) - smoothing / n - (i == label ? 1 - smoothing : 0)) per row.
/// Stores zeros where the label is negative.
XTAPE_KERNEL(cross_entropy_gradient, CrossEntropy, gradient)

}  // namespace xtape::kernels
