#pragma once
// Decompresses gzip. Without zlib it throws an IoError that says so.

#include "io/text.hpp"

namespace xtape::data {

/// Whether the bytes begin as a gzip file.
bool is_gzip(io::Bytes bytes) noexcept;

/// Returns the contents of all members. FormatError for damage and for more than max_bytes.
std::string gunzip(io::Bytes bytes, const std::string& name, std::size_t max_bytes);

}  // namespace xtape::data
