#pragma once
// What keeps LAPACK's declarations away from everything else.

#include <xtape/array/array.hpp>
#include <xtape/base/random.hpp>

namespace xtape::detail {

/// gain times the sign-corrected Q of a normal matrix, in this shape, of rank 2 or more.
Array<double> orthogonal_array(const Shape& shape, double gain, RandomStream& stream);

}  // namespace xtape::detail
