#include <xtape/tape/tape_state.hpp>

#include <algorithm>

namespace xtape::detail {

constexpr std::size_t kChunk = std::size_t{64} << 10U;

Arena::~Arena() {
  for (const Chunk& chunk : chunks_) deallocate(chunk.data, chunk.bytes);
}

void* Arena::allocate_in_next(std::size_t bytes) {
  std::size_t next = chunks_.empty() ? 0 : at_.chunk + 1;
  // A chunk from before a rewind may be too small for a large node.
  while (next < chunks_.size() && chunks_[next].bytes < bytes) ++next;
  if (next >= chunks_.size()) {
    const std::size_t size = std::max(kChunk, bytes);
    chunks_.reserve(chunks_.size() + 1);
    chunks_.push_back({static_cast<std::byte*>(detail::allocate(size)), size});
    next = chunks_.size() - 1;
  }
  at_ = {next, bytes};
  return chunks_[next].data;
}

}  // namespace xtape::detail
