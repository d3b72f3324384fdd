#pragma once
// Cross-entropy of rows of n contiguous logits.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <cstdint>

namespace xtape::kernels {

// One per element type and instruction set (`A`, a tag of isa.hpp); the functions below choose.
template <class T, class A>
struct CrossEntropy {
  static void value(Index rows, Index n, const T* x, const std::int64_t* labels, T* loss, T* lse);
  static void gradient(Index rows, Index n, const T* x, const std::int64_t* labels, const T* lse,
                       const T* g, T* dx);
};

// loss and log(sum(exp(x))) per row. A negative label gives loss 0.
template <class T>
void cross_entropy(Index rows, Index n, const T* x, const std::int64_t* labels, T* loss, T* lse) {
  on_isa([&](auto isa) { CrossEntropy<T, decltype(isa)>::value(rows, n, x, labels, loss, lse); });
}
template <class T>
void cross_entropy_gradient(Index rows, Index n, const T* x, const std::int64_t* labels,
                            const T* lse, const T* g, T* dx) {
  on_isa(
      [&](auto isa) { CrossEntropy<T, decltype(isa)>::gradient(rows, n, x, labels, lse, g, dx); });
}

}  // namespace xtape::kernels
