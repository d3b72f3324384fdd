#pragma once
// NumPy's .npy format, of one array.

#include "io/views.hpp"

namespace xtape::io {

/// The array in these bytes, which lie at `base` of the file. `where` names it in messages.
View parse_npy(Bytes bytes, std::uint64_t base, const std::string& where, const Source& source);

/// What stands before an array's bytes. ValueError for dtypes .npy files of xtape do not hold.
std::string npy_header(const View& view, const std::string& where);

}  // namespace xtape::io
