#include "threads/scratch.hpp"

#include <cstdlib>

namespace xtape::detail {
namespace {

struct Buffers {
  void* data[4] = {};
  std::size_t size[4] = {};
  ~Buffers() {
    for (void* p : data) std::free(p);
  }
};

}  // namespace

void* scratch_bytes(std::size_t slot, std::size_t bytes) noexcept {
  thread_local Buffers buffers;
  if (buffers.size[slot] < bytes) {
    std::free(buffers.data[slot]);
    buffers.data[slot] = nullptr;
    buffers.size[slot] = 0;
    const std::size_t rounded = (bytes + 4095) / 4096 * 4096;
    buffers.data[slot] = std::aligned_alloc(64, rounded);
    if (buffers.data[slot] == nullptr) return nullptr;
    buffers.size[slot] = rounded;
  }
  return buffers.data[slot];
}

}  // namespace xtape::detail
