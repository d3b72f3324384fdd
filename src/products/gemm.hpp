#pragma once
// The one door to products of matrices, in BLAS or in our own kernels. (The one
// factorization, of params/orthogonal.cpp, comes through xtensor-blas.)

#include "kernels/gemm.hpp"
#include "kernels/loop.hpp"
#include "threads/column_sums.hpp"

#include <span>

namespace xtape::blas {

using kernels::Index;

/// Makes BLAS (and LAPACK on it) do its work in the calling thread; call it before any of theirs.
void use_one_thread();

using kernels::Accumulate;

/// C = A B + what C starts with, for matrices given by element strides. Of each matrix one stride must
/// be 1 (or its extent 1), and C's columns must be contiguous.
struct Gemm {
  Index m = 0, n = 0, k = 0;
  Index a_row = 0, a_column = 0;  // strides of A (m x k)
  Index b_row = 0, b_column = 0;  // strides of B (k x n)
  Index c_row = 0;                // stride between rows of C (m x n)
};

/// The product for every position of `batch` (strides of A, B and C). C starts with zeros, with what is
/// in it, or with the n elements of `bias` in every row. Cut into fixed blocks and run on the library's
/// threads, so the number of threads does not change a bit. Where the processor has AVX2 or AVX-512 the
/// kernels are our own, else BLAS, single-threaded inside.
template <class T>
void gemm(const Gemm& shape, const kernels::Loop<3>& batch, const T* a, const T* b,
          Accumulate accumulate, const T* bias, T* c);

/// One of several products that are computed together.
template <class T>
struct Product {
  Gemm s;
  const T* a = nullptr;
  const T* b = nullptr;
  Accumulate accumulate = Accumulate::overwrite;
  const T* bias = nullptr;  // n elements, for Accumulate::bias
  T* c = nullptr;
  bool add =
      false;  // the finished product, rounded, is added to what is in C; accumulate is overwrite then
};

/// Two to four products with the same number of rows: each thread computes its own rows in all of them, one
/// after the other, to the bit what gemm() makes of each; C may be that of the one before. Returns false,
/// having done nothing, where it is no gain: right sides are large, all of it is little work, or the
/// kernels are not our own.
template <class T>
bool rows_together(std::span<const Product<T>> products);

/// Up to four products that are sums over the same many rows, the gradients of weights, and sums of columns
/// over as many, those of biases: likewise, for two threads, each of which adds the rows that it made.
template <class T>
bool sums_together(std::span<const Product<T>> products,
                   std::span<const detail::ColumnSums<T>> columns);

}  // namespace xtape::blas
