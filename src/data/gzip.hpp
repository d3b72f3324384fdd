#pragma once
// Decompresses gzip. Without zlib it throws an IoError that says so.

#include "io/text.hpp"

#include <functional>
#include <memory>
#include <span>

namespace xtape::data {

/// Whether the bytes begin as a gzip file.
bool is_gzip(io::Bytes bytes) noexcept;

/// Fills a buffer with the next bytes and returns their number; 0 at the end.
using Read = std::function<std::size_t(std::span<std::byte>)>;

/// Decompresses a stream of gzip members piece by piece.
class GzipReader {
 public:
  /// `read` gives the compressed bytes; `name` is for messages.
  GzipReader(const std::string& name, Read read);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// Fills `out` with the next bytes and returns their number; 0 at the end. FormatError for damage.
  std::size_t read(std::span<std::byte> out);
  /// Returns the number of compressed bytes used so far.
  [[nodiscard]] std::size_t consumed() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Returns the contents of all members. FormatError for damage and for more than max_bytes.
std::string gunzip(io::Bytes bytes, const std::string& name, std::size_t max_bytes);

}  // namespace xtape::data
