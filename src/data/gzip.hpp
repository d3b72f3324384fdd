#pragma once
// Reading what gzip compressed; without zlib, an IoError that says so.

#include "io/tensors.hpp"

#include <string>

namespace xtape::data {

/// Whether the bytes begin as gzip's files do.
bool is_gzip(io::Bytes bytes) noexcept;

/// The contents of all members. FormatError for damage and for more than max_bytes.
std::string gunzip(io::Bytes bytes, const std::string& name, std::size_t max_bytes);

}  // namespace xtape::data
