#pragma once
// The caching allocator behind Array<T>; the public face is <xtape/array/array.hpp>.

#include <xtape/base/language.hpp>

#include <cstddef>
#include <cstdint>
#include <new>

namespace xtape::detail {

inline constexpr std::size_t kAlignment = 64;  // a cache line, and a full AVX-512 register

/// 64-byte aligned storage from the cache, or from the system when the cache has none.
/// Throws std::bad_alloc.
[[nodiscard]] void* allocate(std::size_t bytes);

/// Gives storage back; `bytes` must be what was asked for. Any thread may free what another got.
void deallocate(void* pointer, std::size_t bytes) noexcept;

}  // namespace xtape::detail

namespace xtape {

/// The standard allocator interface over the caching allocator. Stateless: all instances are equal.
template <class T>
class Allocator {
 public:
  using value_type = T;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using pointer = T*;
  using const_pointer = const T*;
  using reference = T&;
  using const_reference = const T&;

  Allocator() noexcept = default;
  template <class U>
  Allocator(const Allocator<U>&) noexcept {}

  [[nodiscard]] T* allocate(std::size_t count) {
    if (count > static_cast<std::size_t>(PTRDIFF_MAX) / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(detail::allocate(count * sizeof(T)));
  }
  void deallocate(T* p, std::size_t count) noexcept { detail::deallocate(p, count * sizeof(T)); }

  template <class U>
  struct rebind {
    using other = Allocator<U>;
  };

  template <class U>
  friend bool operator==(const Allocator&, const Allocator<U>&) noexcept {
    return true;
  }
  template <class U>
  friend bool operator!=(const Allocator&, const Allocator<U>&) noexcept {
    return false;
  }
};

}  // namespace xtape
