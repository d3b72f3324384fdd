// .npz: a zip archive of .npy members.

#include "io/file.hpp"
#include "io/npy.hpp"
#include "io/zip.hpp"

namespace xtape {

using detail::fail;

namespace io {

namespace {
constexpr std::string_view kEnding = ".npy";
}

Views parse_npz_views(Bytes bytes, const Source& source) {
  Views views;
  for (const ZipMember& member : read_zip(bytes, source)) {
    const std::string shown = printable(member.name);
    if (!member.name.ends_with(kEnding)) {
      source.fail(member.offset, "member that is no array: ", shown,
                  ", expected names ending in .npy; an .npz holds arrays only");
    }
    const std::string name = member.name.substr(0, member.name.size() - kEnding.size());
    const auto [at, fresh] =
        views.emplace(name, parse_npy(member.bytes, member.offset, "member " + shown, source));
    if (!fresh) {
      source.fail(member.offset, "member twice: ", shown,
                  " was there before, expected every name "
                  "once; the file may show other readers other arrays, do not trust it");
    }
  }
  return views;
}

void write_npz_to(const Sink& sink, const std::string& path, const Views& tensors) {
  check_writable(path, tensors);
  ZipWriter zip(sink, path);
  for (const auto& [name, view] : tensors) {
    if (name.size() + kEnding.size() > kMaxNameLength) {
      fail<ValueError>(path, "name a file cannot hold: tensor ", printable(name), " is ",
                       name.size(), " bytes long, expected at most ",
                       kMaxNameLength - kEnding.size(), "; rename it");
    }
    const std::string header = npy_header(view, path + ": tensor " + printable(name));
    zip.add(name + std::string(kEnding), bytes_of(header), view.bytes);
  }
  zip.finish();
}

}  // namespace io

Tensors parse_npz(std::span<const std::byte> bytes, const std::string& name) {
  return io::to_stored(io::parse_npz_views(bytes, io::Source(name)));
}

Tensors read_npz(const std::string& path) {
  const io::FileBytes file(path);
  return io::reading(path, file.bytes().size(), [&] { return parse_npz(file.bytes(), path); });
}

void write_npz(const std::string& path, const Tensors& tensors) {
  io::write_file(
      path, [&](const io::Sink& sink) { io::write_npz_to(sink, path, io::views_of(tensors)); });
}

}  // namespace xtape
