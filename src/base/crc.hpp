#pragma once
// Checksums of bytes. `before` is the checksum of the bytes before these.

#include <cstddef>
#include <cstdint>
#include <span>

namespace xtape::detail {

/// Returns the CRC-32 of zip archives.
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

/// Returns the CRC-32C (Castagnoli) of checkpoints and event files.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

}  // namespace xtape::detail
