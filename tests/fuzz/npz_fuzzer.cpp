// Bytes are read as an .npz file, as an .npy member, and as the only member of an archive.

#include "io/npy.hpp"
#include "io/zip.hpp"
#include "reader_fuzzer.hpp"

namespace {

void read(fuzz::Bytes bytes) {
  const xtape::io::Source source("input");
  const fuzz::Views views = xtape::io::parse_npz_views(bytes, source);
  fuzz::check_bounded(views, bytes.size());
  xtape::Tensors tensors;  // row-major
  fuzz::Views plain;
  for (const auto& [name, view] : views) {
    plain[name] = xtape::io::view_of(tensors[name] = xtape::io::to_stored(view));
  }
  fuzz::Memory memory;
  xtape::io::write_npz_to(memory.sink(), "output", plain);
  if (!fuzz::same(xtape::io::parse_npz_views(memory.bytes(), source), views)) {
    fuzz::fail("written again it is another file");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Bytes bytes = fuzz::input(data, size);
  const xtape::io::Source source("input");
  fuzz::accepted([&] { read(bytes); });
  const bool array = fuzz::accepted([&] { xtape::io::parse_npy(bytes, 0, "the input", source); });
  fuzz::Memory memory;  // with a right checksum, which no mutation finds
  const xtape::io::Sink sink = memory.sink();
  const std::string path = "output";
  xtape::io::ZipWriter zip(sink, path);
  zip.add("a.npy", bytes, {});
  zip.finish();
  if (fuzz::accepted([&] { read(memory.bytes()); }) != array) {
    fuzz::fail("a member is judged otherwise than by itself");
  }
  return 0;
}
