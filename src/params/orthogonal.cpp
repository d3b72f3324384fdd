#include "params/orthogonal.hpp"

#include "products/gemm.hpp"

// xtensor-blas has declarations of CBLAS and LAPACK that exclude others. Only this file includes it.
#include <xtensor-blas/xlinalg.hpp>

#include <algorithm>

namespace xtape::detail {

Array<double> orthogonal_array(const Shape& shape, double gain, RandomStream& stream) {
  std::size_t rows = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  const std::size_t columns = shape.back();
  Array<double> out(shape);
  if (out.size() == 0) return out;  // LAPACK refuses empty matrices
  // Q has orthonormal columns, so the longer side goes down.
  const std::size_t tall = std::max(rows, columns);
  const std::size_t narrow = std::min(rows, columns);
  auto normal = xt::xarray<double>::from_shape({tall, narrow});
  for (double& x : normal) x = stream.normal();
  products::use_one_thread();
  const auto [q, r] = xt::linalg::qr(normal);
  for (std::size_t j = 0; j < narrow; ++j) {
    const double factor = r(j, j) < 0 ? -gain : gain;
    for (std::size_t i = 0; i < tall; ++i) {
      out.data()[rows >= columns ? i * columns + j : j * columns + i] = factor * q(i, j);
    }
  }
  return out;
}

}  // namespace xtape::detail
