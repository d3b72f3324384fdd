#pragma once
// Rows of n contiguous elements: softmax, layer and RMS normalization, cross-entropy; and dropout.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

#include <cstdint>

namespace xtape::kernels {

// One of each per element type and instruction set (`A`, a tag of isa.hpp); the functions below choose.
template <class T, class A>
struct Softmax {
  static void row(bool log, Index n, const T* x, const bool* mask, Index step, T* y);
  static void rows(bool log, Index rows, Index n, const T* x, T* y);
  static void gradient(Index rows, Index n, const T* y, const T* g, T* dx);
};
template <class T, class A>
struct Normalization {
  static void layer(Index rows, Index n, double epsilon, const T* x, const T* gamma, const T* beta,
                    T* y, double* mean, double* rstd);
  static void layer_gradient(Index rows, Index n, const T* x, const T* gamma, const double* mean,
                             const double* rstd, const T* g, T* dx);
  static void layer_parameters(Index rows, Index n, Index step, const T* x, const double* mean,
                               const double* rstd, const T* g, double* dgamma, double* dbeta);
  static void rms(Index rows, Index n, double epsilon, const T* x, const T* scale, T* y,
                  double* rrms);
  static void rms_gradient(Index rows, Index n, const T* x, const T* scale, const double* rrms,
                           const T* g, T* dx);
  static void rms_parameters(Index rows, Index n, Index step, const T* x, const double* rrms,
                             const T* g, double* dscale);
};
template <class T, class A>
struct CrossEntropy {
  static void value(Index rows, Index n, const T* x, const std::int64_t* labels, T* loss, T* lse);
  static void gradient(Index rows, Index n, const T* x, const std::int64_t* labels, const T* lse,
                       const T* g, T* dx);
};
template <class T, class A>
struct Dropout {
  static void apply(Index first, Index n, double rate, std::uint64_t seed, std::uint64_t index,
                    const T* x, T* y);
};

// y = softmax(x), or its logarithm, of one row; elements with mask false take no part. `mask` may be
// null; its elements are `step` apart.
template <class T>
void softmax_row(bool log, Index n, const T* x, const bool* mask, Index step, T* y) {
  on_isa([&](auto isa) { Softmax<T, decltype(isa)>::row(log, n, x, mask, step, y); });
}
// The same for several rows without a mask.
template <class T>
void softmax_rows(bool log, Index rows, Index n, const T* x, T* y) {
  on_isa([&](auto isa) { Softmax<T, decltype(isa)>::rows(log, rows, n, x, y); });
}

// dx = y * (g - sum(y * g)); where y is 0 the result is 0 whatever g holds.
template <class T>
void softmax_gradient(Index rows, Index n, const T* y, const T* g, T* dx) {
  on_isa([&](auto isa) { Softmax<T, decltype(isa)>::gradient(rows, n, y, g, dx); });
}

// y = (x - mean) * rstd * gamma + beta; gamma and beta may be null. mean and rstd per row.
template <class T>
void layer_norm(Index rows, Index n, double epsilon, const T* x, const T* gamma, const T* beta,
                T* y, double* mean, double* rstd) {
  on_isa([&](auto isa) {
    Normalization<T, decltype(isa)>::layer(rows, n, epsilon, x, gamma, beta, y, mean, rstd);
  });
}
// dx of one block of rows.
template <class T>
void layer_norm_gradient(Index rows, Index n, const T* x, const T* gamma, const double* mean,
                         const double* rstd, const T* g, T* dx) {
  on_isa([&](auto isa) {
    Normalization<T, decltype(isa)>::layer_gradient(rows, n, x, gamma, mean, rstd, g, dx);
  });
}
// dgamma += sum over rows of g * normalised x, dbeta += sum of g, of n columns; accumulated in double.
// Rows of x and g are `step` apart, so that columns can be shared out: each is summed in order.
template <class T>
void layer_norm_parameters(Index rows, Index n, Index step, const T* x, const double* mean,
                           const double* rstd, const T* g, double* dgamma, double* dbeta) {
  on_isa([&](auto isa) {
    Normalization<T, decltype(isa)>::layer_parameters(rows, n, step, x, mean, rstd, g, dgamma,
                                                      dbeta);
  });
}

// y = x * rrms * scale, with rrms = 1 / sqrt(mean(x * x) + epsilon) per row.
template <class T>
void rms_norm(Index rows, Index n, double epsilon, const T* x, const T* scale, T* y, double* rrms) {
  on_isa(
      [&](auto isa) { Normalization<T, decltype(isa)>::rms(rows, n, epsilon, x, scale, y, rrms); });
}
// dx of one block of rows.
template <class T>
void rms_norm_gradient(Index rows, Index n, const T* x, const T* scale, const double* rrms,
                       const T* g, T* dx) {
  on_isa([&](auto isa) {
    Normalization<T, decltype(isa)>::rms_gradient(rows, n, x, scale, rrms, g, dx);
  });
}
// dscale += sum over rows of g * normalised x, of n columns of rows `step` apart; accumulated in double.
template <class T>
void rms_norm_parameters(Index rows, Index n, Index step, const T* x, const double* rrms,
                         const T* g, double* dscale) {
  on_isa([&](auto isa) {
    Normalization<T, decltype(isa)>::rms_parameters(rows, n, step, x, rrms, g, dscale);
  });
}

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

// y = x * keep / (1 - rate) for the elements first ... first + n - 1 of the whole array.
template <class T>
void dropout(Index first, Index n, double rate, std::uint64_t seed, std::uint64_t index, const T* x,
             T* y) {
  on_isa([&](auto isa) { Dropout<T, decltype(isa)>::apply(first, n, rate, seed, index, x, y); });
}

}  // namespace xtape::kernels
