#pragma once
// The caching allocator of Array<T>. Users include <xtape/array/array.hpp>.

#include <xtape/base/language.hpp>

#include <cstddef>
#include <cstdint>

namespace xtape::detail {

inline constexpr std::size_t kAlignment = 64;  // a cache line, and a full AVX-512 register

/// Returns storage for `count` objects of `size` bytes, aligned to 64 bytes, from the cache if it has any. Throws
/// MemoryError if the system has none.
[[nodiscard]] void* allocate(std::size_t count, std::size_t size = 1);

/// Gives storage back. `bytes` must be the product that allocate() got. Any thread may free what another one allocated.
void deallocate(void* pointer, std::size_t bytes) noexcept;

}  // namespace xtape::detail

namespace xtape {

/// The caching allocator with the interface of the standard library. It has no state, so all instances are equal.
template <class T> class Allocator {
 public:
  /// The types that a standard allocator names.
  /// @{
  using value_type = T;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using pointer = T*;
  using const_pointer = const T*;
  using reference = T&;
  using const_reference = const T&;
  /// @}

  Allocator() noexcept = default;
  /// Converts from an allocator of another type.
  template <class U> Allocator(const Allocator<U>&) noexcept {}

  /// Returns memory for `count` elements. MemoryError if there is none.
  [[nodiscard]] T* allocate(std::size_t count) {
    return static_cast<T*>(detail::allocate(count, sizeof(T)));
  }
  /// Returns the memory of `count` elements to the cache.
  void deallocate(T* p, std::size_t count) noexcept { detail::deallocate(p, count * sizeof(T)); }

  /// The allocator of another type.
  template <class U> struct rebind {
    using other = Allocator<U>;  ///< the allocator
  };

  /// Returns true: all allocators share one pool.
  template <class U> friend bool operator==(const Allocator&, const Allocator<U>&) noexcept {
    return true;
  }
  /// Returns false: all allocators share one pool.
  template <class U> friend bool operator!=(const Allocator&, const Allocator<U>&) noexcept {
    return false;
  }
};

}  // namespace xtape
