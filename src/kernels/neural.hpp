#pragma once
// Rows of n contiguous elements: softmax, layer and RMS normalization, cross-entropy; and dropout.

#include "kernels/loop.hpp"

#include <cstdint>

namespace xtape::kernels {

// y = softmax(x), or its logarithm, of one row; elements with mask false take no part. `mask` may be
// null; its elements are `step` apart.
template <class T>
void softmax_row(bool log, Index n, const T* x, const bool* mask, Index step, T* y);

// dx = y * (g - sum(y * g)); where y is 0 the result is 0 whatever g holds.
template <class T>
void softmax_gradient(Index rows, Index n, const T* y, const T* g, T* dx);

// y = (x - mean) * rstd * gamma + beta; gamma and beta may be null. mean and rstd per row.
template <class T>
void layer_norm(Index rows, Index n, double epsilon, const T* x, const T* gamma, const T* beta,
                T* y, double* mean, double* rstd);
// dx of one block of rows.
template <class T>
void layer_norm_gradient(Index rows, Index n, const T* x, const T* gamma, const double* mean,
                         const double* rstd, const T* g, T* dx);
// dgamma += sum over rows of g * normalised x, dbeta += sum of g; accumulated in double.
template <class T>
void layer_norm_parameters(Index rows, Index n, const T* x, const double* mean, const double* rstd,
                           const T* g, double* dgamma, double* dbeta);

// y = x * rrms * scale, with rrms = 1 / sqrt(mean(x * x) + epsilon) per row.
template <class T>
void rms_norm(Index rows, Index n, double epsilon, const T* x, const T* scale, T* y, double* rrms);
// dx of one block of rows.
template <class T>
void rms_norm_gradient(Index rows, Index n, const T* x, const T* scale, const double* rrms,
                       const T* g, T* dx);
// dscale += sum over rows of g * normalised x; accumulated in double.
template <class T>
void rms_norm_parameters(Index rows, Index n, const T* x, const double* rrms, const T* g,
                         double* dscale);

// loss and log(sum(exp(x))) per row. A negative label gives loss 0.
template <class T>
void cross_entropy(Index rows, Index n, const T* x, const std::int64_t* labels, T* loss, T* lse);
template <class T>
void cross_entropy_gradient(Index rows, Index n, const T* x, const std::int64_t* labels,
                            const T* lse, const T* g, T* dx);

// y = x * keep / (1 - rate) for the elements first ... first + n - 1 of the whole array.
template <class T>
void dropout(Index first, Index n, double rate, std::uint64_t seed, std::uint64_t index, const T* x,
             T* y);

// Four 32-bit words of Philox4x32-10.
void philox(const std::uint32_t (&counter)[4], const std::uint32_t (&key)[2],
            std::uint32_t (&out)[4]);

}  // namespace xtape::kernels
