// Bytes are read as a safetensors file.

#include "reader_fuzzer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const xtape::io::Source source("input");
  const auto read = [&](fuzz::Bytes bytes) {
    xtape::Metadata metadata;
    const fuzz::Views views = xtape::io::parse_safetensors_views(bytes, source, &metadata);
    fuzz::check_bounded(views, bytes.size());
    fuzz::Memory memory;
    xtape::io::write_safetensors_to(memory.sink(), "output", views, metadata);
    xtape::Metadata again;
    if (!fuzz::same(xtape::io::parse_safetensors_views(memory.bytes(), source, &again), views) ||
        again != metadata) {
      fuzz::fail("written again it is another file");
    }
  };
  fuzz::accepted([&] { read(fuzz::input(data, size)); });
  // The same bytes as a header of right length, so that most inputs get past the first rules.
  std::vector<std::byte> framed(8 + size);
  const std::uint64_t length = size;
  std::memcpy(framed.data(), &length, 8);
  if (size != 0) std::memcpy(framed.data() + 8, data, size);
  fuzz::accepted([&] { read(framed); });
  return 0;
}
