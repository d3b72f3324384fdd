#pragma once
// Zip archives of stored members.

#include "io/views.hpp"

namespace xtape::io {

struct ZipMember {
  std::string name;
  Bytes bytes;
  std::uint64_t offset = 0;  // of the bytes, in the archive
};

/// Returns the members in order of position. FormatError unless they are stored without compression or
/// gaps, their checksums are right, and the directory fills the rest.
std::vector<ZipMember> read_zip(Bytes archive, const Source& source);

/// Writes an archive, member by member.
class ZipWriter {
 public:
  ZipWriter(const Sink& sink, const std::string& path) : sink_(sink), path_(path) {}
  /// Adds a member made of two pieces. ValueError when the archive would need zip64.
  void add(const std::string& name, Bytes head, Bytes body);
  void finish();

 private:
  void put(std::string_view text);

  const Sink& sink_;
  const std::string& path_;
  std::string directory_;
  std::uint64_t at_ = 0;
  std::size_t count_ = 0;
};

}  // namespace xtape::io
