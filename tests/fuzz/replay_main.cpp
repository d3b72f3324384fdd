// A main for the fuzzer's function: `program_replay FILE...` runs inputs that were found. `program_replay --random
// COUNT [SEED [FILE...]]` runs made-up ones, the same each time: random bytes, or files with random changes.

#include <xtape/base/random.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

bool read(const char* path, Bytes& bytes) {
  std::ifstream file(path, std::ios::binary);
  if (!file) std::fprintf(stderr, "%s: cannot be opened\n", path);
  bytes.assign(std::istreambuf_iterator<char>(file), {});
  return static_cast<bool>(file);
}

Bytes random_bytes(xtape::RandomStream& stream, std::size_t count) {
  Bytes bytes(count);
  for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(stream.bits() & 0xFFU);
  return bytes;
}

/// Removes a few bytes at a few places, and puts others there: random ones, or some of the same file.
void change(Bytes& bytes, xtape::RandomStream& stream) {
  const Bytes before = bytes;
  for (std::uint64_t n = 1 + stream.below(4); n > 0; --n) {
    const auto at = [](Bytes& in, std::uint64_t i) {
      return in.begin() + static_cast<std::ptrdiff_t>(i);
    };
    const std::uint64_t from = stream.below(bytes.size() + 1);
    const std::uint64_t gone = std::min<std::uint64_t>(stream.below(4), bytes.size() - from);
    Bytes with = random_bytes(stream, stream.below(4));
    if (!before.empty() && stream.below(4) == 0) {
      const std::uint64_t begin = stream.below(before.size());
      with.assign(before.begin() + static_cast<std::ptrdiff_t>(begin),
                  before.begin() + static_cast<std::ptrdiff_t>(
                                       std::min<std::uint64_t>(begin + 16, before.size())));
    }
    bytes.erase(at(bytes, from), at(bytes, from + gone));
    bytes.insert(at(bytes, from), with.begin(), with.end());
  }
}

}  // namespace

int main(int argc, char** argv) {
  Bytes bytes;
  if (argc >= 3 && std::string(argv[1]) == "--random") {
    const unsigned long count = std::strtoul(argv[2], nullptr, 10);
    const std::uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
    std::vector<Bytes> files;
    for (int i = 4; i < argc; ++i) {
      if (!read(argv[i], bytes)) return 1;
      files.push_back(bytes);
    }
    for (unsigned long i = 0; i < count; ++i) {
      xtape::RandomStream stream(seed, i);
      if (files.empty()) {
        bytes = random_bytes(stream, 8 + stream.below(120));
      } else {
        bytes = files[stream.below(files.size())];
        change(bytes, stream);
      }
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
    std::printf("%lu inputs ran\n", count);
    return 0;
  }
  for (int i = 1; i < argc; ++i) {
    if (!read(argv[i], bytes)) return 1;
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    std::printf("%s: ran\n", argv[i]);
  }
  return argc > 1 ? 0 : 1;
}
