#pragma once
// The JSON at the beginning of a safetensors file.

#include "io/views.hpp"

namespace xtape::io {

struct HeaderEntry {
  DType dtype = DType::f32;
  Shape shape;
  std::uint64_t begin = 0;  // in the buffer behind the header
  std::uint64_t end = 0;
};

struct Header {
  std::map<std::string, HeaderEntry> entries;
  Metadata metadata;
};

/// Reads the header. FormatError unless it is JSON of exactly the format's form. `base` is the position
/// of the text in the file.
Header parse_header(std::string_view text, std::uint64_t base, const Source& source);

/// Returns a JSON string literal. The text must be UTF-8.
std::string json_quoted(std::string_view text);

}  // namespace xtape::io
