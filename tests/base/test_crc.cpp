#include "support/catch.hpp"
#include "support/files.hpp"

#include "base/crc.hpp"

using namespace xtape;
using namespace xtape::test;
using detail::crc32;
using detail::crc32c;

namespace {

/// By the definition, bit by bit.
std::uint32_t by_bits(std::uint32_t polynomial, const std::string& text) {
  std::uint32_t c = 0xFFFFFFFFU;
  for (const char byte : text) {
    c ^= static_cast<unsigned char>(byte);
    for (int k = 0; k < 8; ++k) c = (c & 1U) != 0 ? polynomial ^ (c >> 1U) : c >> 1U;
  }
  return ~c;
}

}  // namespace

TEST_CASE("checksums have the check values of their catalogue") {
  CHECK(crc32(as_bytes("123456789")) == 0xCBF43926);
  CHECK(crc32c(as_bytes("123456789")) == 0xE3069283);
  CHECK(crc32({}) == 0);
  CHECK(crc32c({}) == 0);
  // RFC 3720, B.4: 32 bytes of zeros, of ones, and counting up.
  CHECK(crc32c(as_bytes(std::string(32, '\0'))) == 0x8A9136AA);
  CHECK(crc32c(as_bytes(std::string(32, '\xFF'))) == 0x62A8AB43);
  std::string up;
  for (char c = 0; c < 32; ++c) up += c;
  CHECK(crc32c(as_bytes(up)) == 0x46DD794E);
}

TEST_CASE("checksums of every length, and in two pieces, equal those by bits") {
  RandomStream stream(1, 2);
  std::string text;
  for (std::size_t length = 0; length < 70; ++length) {
    INFO(length);
    const std::uint32_t zip = by_bits(0xEDB88320U, text);
    const std::uint32_t castagnoli = by_bits(0x82F63B78U, text);
    CHECK(crc32(as_bytes(text)) == zip);
    CHECK(crc32c(as_bytes(text)) == castagnoli);
    for (std::size_t cut = 0; cut <= length; ++cut) {
      const std::string head = text.substr(0, cut);
      const std::string tail = text.substr(cut);
      CHECK(crc32(as_bytes(tail), crc32(as_bytes(head))) == zip);
      CHECK(crc32c(as_bytes(tail), crc32c(as_bytes(head))) == castagnoli);
    }
    text += static_cast<char>(stream.bits() & 0xFFU);
  }
}
