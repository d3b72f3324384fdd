// Bytes are read as a checkpoint: as they are, with the checksum made right, and as the notes or the
// tensors of one that is otherwise good. What is accepted must come out the same when written again.

#include "reader_fuzzer.hpp"

#include "base/crc.hpp"
#include "io/safetensors_header.hpp"
#include "run/checkpoint_file.hpp"

namespace {

using xtape::io::CheckpointView;

constexpr std::string_view kBefore = R"({"__metadata__":{"crc32c":")";
constexpr std::size_t kDigitsAt = 8 + kBefore.size();

std::string framed(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

void seal(std::string& file) {
  if (file.size() < kDigitsAt + 8) return;
  file.replace(kDigitsAt, 8, "00000000");
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", xtape::detail::crc32c(xtape::io::bytes_of(file)));
  file.replace(kDigitsAt, 8, digits);
}

void read(const std::string& file) {
  const xtape::io::Source source("input");
  const CheckpointView c = xtape::io::parse_checkpoint(xtape::io::bytes_of(file), source);
  fuzz::check_bounded(c.weights, file.size());
  fuzz::check_bounded(c.optimizer, file.size());
  fuzz::Memory first;
  xtape::io::write_checkpoint_to(first.sink(), "output", c);
  const CheckpointView again = xtape::io::parse_checkpoint(first.bytes(), source);
  fuzz::Memory second;
  xtape::io::write_checkpoint_to(second.sink(), "output", again);
  if (!fuzz::same(c.weights, again.weights) || !fuzz::same(c.optimizer, again.optimizer) ||
      !std::equal(first.bytes().begin(), first.bytes().end(), second.bytes().begin(),
                  second.bytes().end())) {
    fuzz::fail("written again it is another checkpoint");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  fuzz::accepted([&] { read(input); });
  std::string file = input;
  seal(file);
  fuzz::accepted([&] { read(file); });

  const std::string begin = std::string(kBefore) + R"(00000000","xtape.checkpoint":)";
  file = framed(begin + xtape::io::json_quoted(input) + "}}", "");
  seal(file);
  fuzz::accepted([&] { read(file); });

  // The bytes of the tensors follow the first zero byte.
  const std::size_t zero = std::min(input.find('\0'), input.size());
  file = framed(
      begin +
          xtape::io::json_quoted(R"({"version":1,"epoch":0,"batch":0,"step":0,"tape_seed":0,)"
                                 R"("random_index":0,"numbers":{},"texts":{},"optimizer":{}})") +
          "}" + input.substr(0, zero) + "}",
      zero < input.size() ? input.substr(zero + 1) : "");
  seal(file);
  fuzz::accepted([&] { read(file); });
  return 0;
}
