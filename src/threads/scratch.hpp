#pragma once
// Memory a thread uses again and again within one call: contents do not outlive the call.

#include <cstddef>

namespace xtape::detail {

/// At least `bytes`, 64-byte aligned, of the calling thread's buffer number `slot` (0 to 3); it stays
/// valid until the thread asks for the same slot again. Null when there is no memory.
void* scratch_bytes(std::size_t slot, std::size_t bytes) noexcept;

template <class T>
T* scratch(std::size_t slot, std::ptrdiff_t count) noexcept {
  return static_cast<T*>(scratch_bytes(slot, static_cast<std::size_t>(count) * sizeof(T)));
}

}  // namespace xtape::detail
