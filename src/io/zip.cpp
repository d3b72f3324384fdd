#include "io/zip.hpp"

#include "base/crc.hpp"

#include <algorithm>
#include <cstring>

namespace xtape::io {
namespace {

constexpr std::uint32_t kLocal = 0x04034B50;
constexpr std::uint32_t kCentral = 0x02014B50;
constexpr std::uint32_t kEnd = 0x06054B50;
constexpr std::size_t kLocalSize = 30;
constexpr std::size_t kCentralSize = 46;
constexpr std::size_t kEndSize = 22;
constexpr std::uint32_t kIn64 = 0xFFFFFFFF;  // "see the 64-bit field"
constexpr unsigned kEncrypted = 1U << 0U;
constexpr unsigned kStreamed = 1U << 3U;  // sizes follow the data
constexpr unsigned kUtf8 = 1U << 11U;
constexpr std::uint16_t kFirstDate = (1U << 5U) | 1U;  // 1980-01-01: files do not depend on the day

template <class Integer> Integer get(Bytes bytes, std::size_t at) {
  Integer value;
  std::memcpy(&value, bytes.data() + at, sizeof(Integer));
  return value;
}

template <class... Integers> std::string packed(Integers... values) {
  std::string out;
  (out.append(reinterpret_cast<const char*>(&values), sizeof(values)), ...);
  return out;
}

struct CentralEntry {
  std::string name;
  std::uint32_t crc = 0;
  std::uint32_t size = 0;
  std::uint32_t offset = 0;
  std::uint16_t flags = 0;
};

/// Reads the record of the directory at `at`, and moves `at` behind it.
CentralEntry read_central(Bytes archive, std::size_t& at, std::size_t end, const Source& source) {
  if (end - at < kCentralSize || get<std::uint32_t>(archive, at) != kCentral) {
    source.fail(at,
                "zip directory damaged: no record of a member, expected one; the file is "
                "damaged, fetch it again");
  }
  CentralEntry entry;
  entry.flags = get<std::uint16_t>(archive, at + 8);
  const auto method = get<std::uint16_t>(archive, at + 10);
  entry.crc = get<std::uint32_t>(archive, at + 16);
  const auto stored = get<std::uint32_t>(archive, at + 20);
  entry.size = get<std::uint32_t>(archive, at + 24);
  const std::size_t name_length = get<std::uint16_t>(archive, at + 28);
  const std::size_t rest =
      std::size_t{get<std::uint16_t>(archive, at + 30)} + get<std::uint16_t>(archive, at + 32);
  const auto disk = get<std::uint16_t>(archive, at + 34);
  entry.offset = get<std::uint32_t>(archive, at + 42);
  if (end - at - kCentralSize < name_length + rest) {
    source.fail(at, "zip directory damaged: a record of ", kCentralSize + name_length + rest,
                " bytes, expected at most ", end - at, "; the file is damaged, fetch it again");
  }
  entry.name = text_of(archive.subspan(at + kCentralSize, name_length));
  const std::string shown = printable(entry.name);
  if (const auto problem = name_problem(entry.name)) {
    source.fail(at, "name out of form: member ", shown, " is ", *problem, ", expected at most ",
                kMaxNameLength, " bytes of UTF-8 without NUL; rename it before it is saved");
  }
  if ((entry.flags & kEncrypted) != 0) {
    source.fail(at, "encrypted member: ", shown,
                " needs a password, expected none; decrypt the archive first");
  }
  if (method != 0) {
    source.fail(at, "compressed member: ", shown, " has method ", method,
                ", expected 0 (stored); write it with numpy.savez instead of savez_compressed");
  }
  if ((entry.flags & kStreamed) != 0) {
    source.fail(at, "streamed member: ", shown,
                " has its sizes behind the data, expected them in "
                "front; write the archive to a file instead of a pipe");
  }
  if ((entry.flags & ~kUtf8) != 0) {
    source.fail(at, "unknown flags: ", shown, " has ", entry.flags,
                ", expected 0 or 2048; write it with numpy.savez");
  }
  if (stored == kIn64 || entry.size == kIn64 || entry.offset == kIn64) {
    source.fail(at, "zip64 archive: ", shown,
                " has 64-bit sizes or offsets, expected an archive "
                "below 4 GiB; use a .safetensors file");
  }
  if (stored != entry.size) {
    source.fail(at, "sizes differ: ", shown, " has ", stored, " bytes for ", entry.size,
                ", expected the same for a stored member; the file is damaged");
  }
  if (disk != 0) {
    source.fail(at, "archive in parts: ", shown, " lies in part ", disk,
                ", expected one file; join the parts first");
  }
  at += kCentralSize + name_length + rest;
  return entry;
}

/// Whether a local record gives this size. NumPy writes it in 64 bits there, whatever the size.
bool local_sizes_match(Bytes record, std::size_t name_length, std::size_t extra_length,
                       std::uint32_t size) {
  const auto stored = get<std::uint32_t>(record, 18);
  const auto plain = get<std::uint32_t>(record, 22);
  if (stored == size && plain == size) return true;
  if (stored != kIn64 || plain != kIn64) return false;
  const Bytes extra = record.subspan(kLocalSize + name_length, extra_length);
  for (std::size_t at = 0; extra.size() - at >= 4;) {
    const auto id = get<std::uint16_t>(extra, at);
    const auto length = get<std::uint16_t>(extra, at + 2);
    if (length > extra.size() - at - 4) return false;
    if (id == 1) {
      return length == 16 && get<std::uint64_t>(extra, at + 4) == size &&
             get<std::uint64_t>(extra, at + 12) == size;
    }
    at += 4 + std::size_t{length};
  }
  return false;
}

ZipMember read_member(Bytes archive, const CentralEntry& entry, std::uint64_t at, std::size_t end,
                      const Source& source) {
  const std::string shown = printable(entry.name);
  if (entry.offset != at) {
    source.fail(at, entry.offset > at ? "hole between members: " : "members overlap: ", shown,
                " begins at ", entry.offset, ", expected ", at,
                " (each behind the one before); do not trust this archive");
  }
  const Bytes record = archive.subspan(at, end - at);
  if (record.size() < kLocalSize || get<std::uint32_t>(record, 0) != kLocal) {
    source.fail(at, "member damaged: ", shown,
                " has no local record, expected one; the file is damaged, fetch it again");
  }
  const std::size_t name_length = get<std::uint16_t>(record, 26);
  const std::size_t extra_length = get<std::uint16_t>(record, 28);
  const std::size_t head = kLocalSize + name_length + extra_length;
  if (record.size() < head || record.size() - head < entry.size) {
    source.fail(at, "member beyond the archive: ", shown, " takes ", head, " + ", entry.size,
                " bytes, expected at most ", record.size(),
                "; the file is damaged, fetch it again");
  }
  if (text_of(record.subspan(kLocalSize, name_length)) != entry.name ||
      get<std::uint16_t>(record, 6) != entry.flags || get<std::uint16_t>(record, 8) != 0 ||
      get<std::uint32_t>(record, 14) != entry.crc ||
      !local_sizes_match(record, name_length, extra_length, entry.size)) {
    source.fail(at, "records differ: the local record of ", shown,
                " says other than the directory, expected the same; do not trust this archive");
  }
  const Bytes bytes = record.subspan(head, entry.size);
  if (const std::uint32_t sum = detail::crc32(bytes); sum != entry.crc) {
    source.fail(at + head, "checksum differs: member ", shown, " has CRC-32 ", sum, ", expected ",
                entry.crc, "; the file is damaged, fetch it again");
  }
  return {entry.name, bytes, at + head};
}

}  // namespace

std::vector<ZipMember> read_zip(Bytes archive, const Source& source) {
  if (archive.size() < kEndSize || get<std::uint32_t>(archive, archive.size() - kEndSize) != kEnd) {
    source.fail(archive.size() < kEndSize ? 0 : archive.size() - kEndSize,
                "no zip archive: its end record is missing, expected 22 bytes at the very end; the "
                "file is cut short, has a comment, or is no .npz");
  }
  const std::size_t end = archive.size() - kEndSize;
  const auto here = get<std::uint16_t>(archive, end + 8);
  const auto count = get<std::uint16_t>(archive, end + 10);
  const auto size = get<std::uint32_t>(archive, end + 12);
  const auto offset = get<std::uint32_t>(archive, end + 16);
  if (get<std::uint32_t>(archive, end + 4) != 0 || here != count ||
      get<std::uint16_t>(archive, end + 20) != 0) {
    source.fail(end,
                "archive in parts or with a comment, expected one part and none; write it with "
                "numpy.savez");
  }
  if (count == 0xFFFF || size == kIn64 || offset == kIn64) {
    source.fail(end,
                "zip64 archive: 64-bit sizes or counts, expected an archive below 4 GiB with "
                "fewer than 65535 members; use a .safetensors file");
  }
  if (std::uint64_t{offset} + size != end) {
    source.fail(end, "zip directory misplaced: it is given as ", size, " bytes at ", offset,
                ", expected to end at ", end, "; the file is damaged, or hides another one");
  }
  std::vector<CentralEntry> entries;
  std::size_t at = offset;
  for (std::size_t i = 0; i < count; ++i) {
    entries.push_back(read_central(archive, at, end, source));
  }
  if (at != end) {
    source.fail(at, "zip directory damaged: ", end - at,
                " bytes behind its last record, expected none; the file is damaged");
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.offset < b.offset; });
  std::vector<ZipMember> members;
  std::uint64_t begin = 0;
  for (const CentralEntry& entry : entries) {
    members.push_back(read_member(archive, entry, begin, offset, source));
    begin = members.back().offset + members.back().bytes.size();
  }
  if (begin != offset) {
    source.fail(begin, "bytes behind the last member: there are ", offset - begin,
                ", expected none; the file is damaged, or hides another one");
  }
  return members;
}

void ZipWriter::put(std::string_view text) {
  sink_(bytes_of(text));
  at_ += text.size();
}

void ZipWriter::add(const std::string& name, Bytes head, Bytes body) {
  const std::uint64_t size = head.size() + body.size();
  const std::uint64_t begin = at_;
  const std::uint64_t directory = directory_.size() + kCentralSize + name.size();
  if (begin + kLocalSize + name.size() + size + directory >= kIn64 || count_ + 1 >= 0xFFFF) {
    detail::fail<ValueError>(path_, "too large for .npz: ", printable(name), " brings it to ",
                             begin + size, " bytes in ", count_ + 1,
                             " members, expected below 4 GiB and 65535; save as .safetensors");
  }
  const auto small = static_cast<std::uint32_t>(size);
  const std::uint32_t sum = detail::crc32(body, detail::crc32(head));
  const bool ascii = std::all_of(name.begin(), name.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 128; });
  const auto flags = static_cast<std::uint16_t>(ascii ? 0 : kUtf8);
  constexpr std::uint16_t version = 20;
  const std::string common =
      packed(version, flags, std::uint16_t{0}, std::uint16_t{0}, kFirstDate, sum, small, small,
             static_cast<std::uint16_t>(name.size()), std::uint16_t{0});
  put(packed(kLocal).append(common).append(name));
  sink_(head);
  sink_(body);
  at_ += size;
  directory_ += packed(kCentral, version) + common +
                packed(std::uint16_t{0}, std::uint16_t{0}, std::uint16_t{0}, std::uint32_t{0},
                       static_cast<std::uint32_t>(begin)) +
                name;
  ++count_;
}

void ZipWriter::finish() {
  const auto begin = static_cast<std::uint32_t>(at_);
  const auto count = static_cast<std::uint16_t>(count_);
  put(directory_);
  put(packed(kEnd, std::uint32_t{0}, count, count, static_cast<std::uint32_t>(directory_.size()),
             begin, std::uint16_t{0}));
}

}  // namespace xtape::io
