#pragma once
// Keeps the declarations of LAPACK in one file.

#include <xtape/array/array.hpp>
#include <xtape/base/random.hpp>

namespace xtape::detail {

/// Returns gain times the sign-corrected Q of a normal matrix, in a shape of rank 2 or more.
Array<double> orthogonal_array(const Shape& shape, double gain, RandomStream& stream);

}  // namespace xtape::detail
