#pragma once
// The one door to products of matrices: our own kernels with AVX2, AVX-512 or NEON, else CBLAS.
// (The factorization of params/orthogonal.cpp comes through xtensor-blas.)

#include "kernels/gemm.hpp"
#include "threads/column_sums.hpp"

#include <xtape/products/products.hpp>

#include <span>

namespace xtape::products {

using kernels::Accumulate;
using kernels::Index;

/// Makes BLAS, and LAPACK on it, work in the calling thread alone. Must precede every call of theirs.
void use_one_thread();

/// Sizes and element strides of C (m x n), A (m x k) and B (k x n). A and B each have a stride of 1 or an extent
/// of 1. The columns of C are contiguous.
struct Layout {
  Index m = 0, n = 0, k = 0;
  Index a_row = 0, a_column = 0;
  Index b_row = 0, b_column = 0;
  Index c_row = 0;
};

/// C = A B, C += A B, or C = A B + bias in each row.
template <class T> struct Product : Layout {
  const T* a = nullptr;
  const T* b = nullptr;
  Accumulate accumulate = Accumulate::overwrite;
  const T* bias = nullptr;  // n elements, for Accumulate::bias
  T* c = nullptr;
  // For multiply_sharing_rows() with Accumulate::overwrite: C += round(A B), where Accumulate::add rounds C + A B
  // after each term.
  bool add_rounded = false;
  Products rounding = Products::float32;  // of A and B; without meaning for doubles
};

/// Computes the product at each position of `batch` (strides of A, B and C). The number of threads does not change
/// a bit of the result.
template <class T> void multiply(const Product<T>& product, const kernels::Loop<3>& batch = {});

/// Computes two to four products with the same m in one job: each thread does its rows of all of them, in their
/// order. C of one may be C of an earlier one. The results are those of multiply(), to the bit. Returns false and
/// does nothing where one job is no gain: right sides over 128 KiB in all, little work, or no kernels of our own.
template <class T> bool multiply_sharing_rows(std::span<const Product<T>> products);

/// Computes up to four products with the same large k, and sums of columns over as many rows, in one job: each of
/// two threads does its half of k. These are the gradients of kernels and biases. The results are those of
/// multiply() and kernels::reduce(), to the bit. Returns false and does nothing where this is no gain.
template <class T>
bool multiply_split_k(std::span<const Product<T>> products,
                      std::span<const detail::ColumnSums<T>> columns);

}  // namespace xtape::products
