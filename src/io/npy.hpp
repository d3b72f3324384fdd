#pragma once
// NumPy's .npy format, for one array.

#include "io/views.hpp"

namespace xtape::io {

/// Returns the array in these bytes, which begin at `base` of the file. `where` names it in messages.
View parse_npy(Bytes bytes, std::uint64_t base, const std::string& where, const Source& source);

/// Returns the bytes before an array's elements. ValueError for dtypes that .npy files of xtape lack.
std::string npy_header(const View& view, const std::string& where);

}  // namespace xtape::io
