// A main for the fuzzer's function: `program_replay FILE...` runs inputs that were found, and
// `program_replay --random COUNT [SEED]` runs made-up ones, the same each time.

#include <xtape/base/random.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  if (argc >= 3 && std::string(argv[1]) == "--random") {
    const unsigned long count = std::strtoul(argv[2], nullptr, 10);
    const std::uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
    std::vector<std::uint8_t> bytes;
    for (unsigned long i = 0; i < count; ++i) {
      xtape::RandomStream stream(seed, i);
      bytes.resize(8 + stream.below(120));
      for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(stream.bits() & 0xFFU);
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
    std::printf("%lu inputs ran\n", count);
    return 0;
  }
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "%s: cannot be opened\n", argv[i]);
      return 1;
    }
    const std::vector<char> text((std::istreambuf_iterator<char>(file)), {});
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    std::printf("%s: ran\n", argv[i]);
  }
  return argc > 1 ? 0 : 1;
}
