// Bytes are read as a vocabulary, as they are and behind a first line that fits.

#include "reader_fuzzer.hpp"

#include <xtape/data/vocabulary.hpp>

#include <algorithm>

namespace {

void check(fuzz::Bytes bytes) {
  const auto v = xtape::Vocabulary::parse(bytes, "input");
  if (v.specials() > v.size() || v.size() > bytes.size()) fuzz::fail("more tokens than bytes");
  for (std::size_t i = 0; i < v.size(); ++i) {
    const auto id = static_cast<std::int64_t>(i);
    if (v.id(v.token(id)) != id) fuzz::fail("a token with another's id");
  }
  const std::string text = v.to_text();
  if (!(xtape::Vocabulary::parse(std::as_bytes(std::span(text)), "again") == v)) {
    fuzz::fail("written again it is another vocabulary");
  }
  if (!(xtape::Vocabulary(v.tokens(), v.specials()) == v)) fuzz::fail("not what it is made of");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::accepted([&] { check(fuzz::input(data, size)); });
  const auto lines = std::count(data, data + size, std::uint8_t{'\n'});
  std::string text = "vocabulary\t1\t0\t" + std::to_string(lines) + "\n";
  text.append(reinterpret_cast<const char*>(data), size);
  fuzz::accepted([&] { check(std::as_bytes(std::span(text))); });
  return 0;
}
