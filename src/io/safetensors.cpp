// The safetensors format: 8 bytes of header length, a JSON header, and the tensors' bytes.

#include "io/file.hpp"
#include "io/safetensors_header.hpp"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace xtape {

using detail::fail;

namespace io {

namespace {

constexpr std::uint64_t kLargestHeader = 100'000'000;
constexpr const char* kMetadataKey = "__metadata__";

using Named = std::pair<const std::string, HeaderEntry>;

void check_entry(const Named& named, std::uint64_t begin, std::uint64_t available,
                 std::uint64_t base, const Source& source) {
  const auto& [name, entry] = named;
  if (entry.begin != begin) {
    source.fail(base + std::min(begin, available),
                entry.begin > begin ? "hole between tensors: " : "tensors overlap: ",
                printable(name), " begins at ", entry.begin, " of the buffer, expected ", begin,
                " (each behind the one before); the file was not written by a correct program");
  }
  if (entry.end < entry.begin || entry.end > available) {
    source.fail(base + begin,
                entry.end < entry.begin ? "offsets reversed: " : "tensor beyond the file: ",
                printable(name), " has data_offsets [", entry.begin, ", ", entry.end,
                "], expected begin <= end <= ", available,
                "; the file is cut short or damaged, fetch it again");
  }
}

}  // namespace

Views parse_safetensors_views(Bytes bytes, const Source& source, Metadata* metadata) {
  if (bytes.size() < 8) {
    source.fail(0, "too short: file is ", bytes.size(),
                " bytes, expected at least the 8 of the header's length; the file is cut short, or "
                "no safetensors file");
  }
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  if (length > kLargestHeader) {
    source.fail(0, "header too long: its length is given as ", length, ", expected at most ",
                kLargestHeader, "; the file is damaged, or no safetensors file");
  }
  if (length > bytes.size() - 8) {
    source.fail(0, "header beyond the file: its length is given as ", length, ", expected at most ",
                bytes.size() - 8, " in a file of ", bytes.size(),
                " bytes; the file is cut short, fetch it again");
  }
  Header header = parse_header(text_of(bytes.subspan(8, length)), 8, source);

  const Bytes buffer = bytes.subspan(8 + length);
  std::vector<Named*> order;
  order.reserve(header.entries.size());
  for (Named& named : header.entries) order.push_back(&named);
  std::stable_sort(order.begin(), order.end(), [](const Named* a, const Named* b) {
    return std::tie(a->second.begin, a->second.end) < std::tie(b->second.begin, b->second.end);
  });
  Views views;
  std::uint64_t at = 0;
  for (Named* named : order) {
    check_entry(*named, at, buffer.size(), 8 + length, source);
    auto& [name, entry] = *named;
    View view{entry.dtype, std::move(entry.shape), buffer.subspan(at, entry.end - at)};
    check_size(view, printable(name), 8 + length + at, 8 + length + at, source);
    views.emplace(name, std::move(view));
    at = entry.end;
  }
  if (at != buffer.size()) {
    source.fail(8 + length + at, "bytes behind the last tensor: there are ", buffer.size() - at,
                ", expected none; the file is damaged, or hides another one");
  }
  if (metadata != nullptr) *metadata = std::move(header.metadata);
  return views;
}

void write_safetensors_to(const Sink& sink, const std::string& path, const Views& tensors,
                          const Metadata& metadata) {
  check_writable(path, tensors);
  if (tensors.count(kMetadataKey) != 0) {
    fail<ValueError>(path, "name taken: a tensor is named '", kMetadataKey,
                     "', expected another name (the format uses this one); rename it");
  }
  std::vector<const Views::value_type*> order;
  for (const auto& named : tensors) order.push_back(&named);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->second.dtype > b->second.dtype; });

  std::string header = "{";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      if (!valid_utf8(key) || !valid_utf8(value)) {
        fail<ValueError>(path, "metadata a file cannot hold: ", printable(key),
                         " or its text is not UTF-8, expected UTF-8; encode it, say in base 64");
      }
      if (header.back() != '{') header += ',';
      header += json_quoted(key) + ':' + json_quoted(value);
    }
    header += '}';
  }
  std::uint64_t at = 0;
  for (const auto* named : order) {
    const View& view = named->second;
    if (header.size() > 1) header += ',';
    header +=
        json_quoted(named->first) + ":{\"dtype\":\"" + to_string(view.dtype) + "\",\"shape\":[";
    for (std::size_t d = 0; d < view.shape.size(); ++d) {
      if (d != 0) header += ',';
      header += std::to_string(view.shape[d]);
    }
    header += "],\"data_offsets\":[" + std::to_string(at) + ",";
    at += view.bytes.size();
    header += std::to_string(at) + "]}";
  }
  header += '}';
  header.append((8 - header.size() % 8) % 8, ' ');
  if (header.size() > kLargestHeader) {
    fail<ValueError>(path, "header too long: names, shapes and metadata take ", header.size(),
                     " bytes, expected at most ", kLargestHeader, "; write several files");
  }
  const std::uint64_t length = header.size();
  sink(Bytes(reinterpret_cast<const std::byte*>(&length), 8));
  sink(bytes_of(header));
  for (const auto* named : order) sink(named->second.bytes);
}

}  // namespace io

TensorFile parse_safetensors(std::span<const std::byte> bytes, const std::string& name) {
  TensorFile file;
  file.tensors =
      io::to_stored(io::parse_safetensors_views(bytes, io::Source(name), &file.metadata));
  return file;
}

TensorFile read_safetensors(const std::string& path) {
  const io::FileBytes file(path);
  return io::reading(path, file.bytes().size(),
                     [&] { return parse_safetensors(file.bytes(), path); });
}

void write_safetensors(const std::string& path, const Tensors& tensors, const Metadata& metadata) {
  io::write_file(path, [&](const io::Sink& sink) {
    io::write_safetensors_to(sink, path, io::views_of(tensors), metadata);
  });
}

}  // namespace xtape
