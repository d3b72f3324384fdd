#pragma once
// Buffers of a thread, whose contents do not outlive one call of the library.

#include <cstddef>

namespace xtape::detail {

/// Returns at least `bytes` of the calling thread's buffer `slot` (0 to 3), aligned to 64 bytes; null if there is no
/// memory. The buffer stays valid until the thread asks for the same slot again.
void* scratch_bytes(std::size_t slot, std::size_t bytes) noexcept;

/// Returns `count` elements of such a buffer.
template <class T> T* scratch(std::size_t slot, std::ptrdiff_t count) noexcept {
  return static_cast<T*>(scratch_bytes(slot, static_cast<std::size_t>(count) * sizeof(T)));
}

}  // namespace xtape::detail
