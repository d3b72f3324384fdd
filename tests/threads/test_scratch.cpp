// Buffers of a thread: as large as asked for, aligned, and apart from each other.
#include "threads/scratch.hpp"

#include "base/sanitizers.hpp"
#include "support/catch.hpp"

#include <malloc.h>
#include <cstdint>
#include <cstring>
#include <set>
#include <thread>

using xtape::detail::scratch;
using xtape::detail::scratch_bytes;

TEST_CASE("a buffer holds what was asked for") {
  for (const std::size_t bytes : {1U, 64U, 4095U, 4096U, 4097U, 100000U, 50U}) {
    void* p = scratch_bytes(0, bytes);
    REQUIRE(p != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
    CHECK(malloc_usable_size(p) >= bytes);
    std::memset(p, 1, bytes);
  }
  CHECK(malloc_usable_size(scratch<double>(1, 1000)) >= 8000);
}

TEST_CASE("slots and threads have buffers of their own, and a smaller request keeps one") {
  std::set<void*> all;
  for (std::size_t slot = 0; slot < 4; ++slot) all.insert(scratch_bytes(slot, 5000));
  CHECK(all.size() == 4);
  void* first = scratch_bytes(0, 5000);
  CHECK(scratch_bytes(0, 8192) == first);  // rounded up to pages
  void* other = first;
  std::thread([&] { other = scratch_bytes(0, 5000); }).join();
  CHECK(other != first);
  CHECK(scratch_bytes(0, 1) == first);
}

TEST_CASE("a buffer that no memory is there for is null, and the next request is served") {
  if (!xtape::detail::kAddressSanitizer &&
      !xtape::detail::kThreadSanitizer) {  // they end the program
    CHECK(scratch_bytes(2, SIZE_MAX / 4) == nullptr);
  }
  CHECK(scratch_bytes(2, 100) != nullptr);
}
