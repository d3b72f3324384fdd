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

/// FormatError for what is not JSON of exactly the form of the format. `base` is where in the file
/// the text begins.
Header parse_header(std::string_view text, std::uint64_t base, const Source& source);

/// A JSON string literal. The text must be UTF-8.
std::string json_quoted(std::string_view text);

}  // namespace xtape::io
