#include "base/crc.hpp"

#include <array>
#include <cstring>

namespace xtape::detail {
namespace {

// tables[k][b] is the checksum of byte b followed by k zero bytes. With it run() does eight bytes at a time.
using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables(std::uint32_t polynomial) {
  Tables tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = (c & 1U) != 0 ? polynomial ^ (c >> 1U) : c >> 1U;
    tables[0][i] = c;
  }
  for (std::size_t t = 1; t < tables.size(); ++t) {
    for (std::size_t i = 0; i < 256; ++i) {
      const std::uint32_t c = tables[t - 1][i];
      tables[t][i] = tables[0][c & 255U] ^ (c >> 8U);
    }
  }
  return tables;
}

constexpr Tables kCrc32 = make_tables(0xEDB88320U);
constexpr Tables kCrc32c = make_tables(0x82F63B78U);

std::uint32_t run(const Tables& tables, std::span<const std::byte> bytes,
                  std::uint32_t before) noexcept {
  std::uint32_t c = ~before;
  std::size_t i = 0;
  for (; bytes.size() - i >= 8; i += 8) {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    std::memcpy(&low, bytes.data() + i, 4);
    std::memcpy(&high, bytes.data() + i + 4, 4);
    low ^= c;
    c = tables[7][low & 255U] ^ tables[6][(low >> 8U) & 255U] ^ tables[5][(low >> 16U) & 255U] ^
        tables[4][low >> 24U] ^ tables[3][high & 255U] ^ tables[2][(high >> 8U) & 255U] ^
        tables[1][(high >> 16U) & 255U] ^ tables[0][high >> 24U];
  }
  for (; i < bytes.size(); ++i) {
    c = tables[0][(c ^ static_cast<std::uint32_t>(bytes[i])) & 255U] ^ (c >> 8U);
  }
  return ~c;
}

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
  return run(kCrc32, bytes, before);
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
  return run(kCrc32c, bytes, before);
}

}  // namespace xtape::detail
