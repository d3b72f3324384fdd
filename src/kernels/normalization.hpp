#pragma once
// Layer and RMS normalization of rows of n contiguous elements.

#include "kernels/isa.hpp"
#include "kernels/loop.hpp"

namespace xtape::kernels {

/// Specialized per element type and instruction set (`A`, a tag of isa.hpp); the functions below choose.
template <class T, class A> struct Normalization {
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

/// Stores y = (x - mean) * rstd * gamma + beta, and mean and rstd of every row. gamma and beta may be null.
XTAPE_KERNEL(layer_norm, Normalization, layer)
/// Stores dx of one block of rows.
XTAPE_KERNEL(layer_norm_gradient, Normalization, layer_gradient)
/// Adds dgamma += sum over rows of g * (x - mean) * rstd and dbeta += sum of g, for n columns, in double.
/// Rows of x and g are `step` apart: callers may split the columns, each of which is summed in row order.
XTAPE_KERNEL(layer_norm_parameters, Normalization, layer_parameters)

/// Stores y = x * rrms * scale, with rrms = 1 / sqrt(mean(x * x) + epsilon) per row.
XTAPE_KERNEL(rms_norm, Normalization, rms)
/// Stores dx of one block of rows.
XTAPE_KERNEL(rms_norm_gradient, Normalization, rms_gradient)
/// Adds dscale += sum over rows of g * x * rrms, for n columns of rows `step` apart, in double.
XTAPE_KERNEL(rms_norm_parameters, Normalization, rms_parameters)

}  // namespace xtape::kernels
