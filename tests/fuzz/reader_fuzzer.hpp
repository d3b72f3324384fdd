#pragma once
// Properties of a reader of files, for any bytes. It throws only xtape::Error, with a message. The result
// is no larger than the file, and reads the same when it is written again.

#include "io/views.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace fuzz {

using xtape::io::Bytes;
using xtape::io::Views;

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "reader fuzzer: %s\n", what);
  std::abort();
}

inline bool same(const Views& a, const Views& b) {
  if (a.size() != b.size()) return false;
  auto other = b.begin();
  for (const auto& [name, view] : a) {
    const xtape::StoredTensor x = xtape::io::to_stored(view);
    const xtape::StoredTensor y = xtape::io::to_stored(other->second);
    if (name != other->first || x.dtype != y.dtype || x.shape != y.shape || x.bytes != y.bytes) {
      return false;
    }
    ++other;
  }
  return true;
}

inline void check_bounded(const Views& views, std::size_t size) {
  std::size_t total = 0;
  for (const auto& [name, view] : views) {
    total += view.bytes.size();
    if (view.bytes.size() != xtape::io::checked_bytes(view.shape, view.dtype)) {
      fail("a tensor that contradicts itself");
    }
    try {  // as a load does
      static_cast<void>(xtape::io::convert<float>(view, name));
    } catch (const xtape::Error&) {
    }
  }
  if (total > size) fail("more bytes than the file has");
}

/// Runs fn; false when it threw an xtape::Error.
template <class F> bool accepted(F&& fn) {
  try {
    fn();
    return true;
  } catch (const xtape::Error& e) {
    const std::string text = e.what();
    if (text.size() < 20) fail("an error without a message");
    if (text.size() > 2000) fail("an error of more than 2000 characters");
    if (!xtape::io::valid_utf8(text)) fail("an error that is not UTF-8");
    for (const char c : text) {
      if (static_cast<unsigned char>(c) < 0x20) fail("an error with control characters");
    }
    return false;
  }
}

/// A writer's bytes, in memory.
class Memory {
 public:
  [[nodiscard]] xtape::io::Sink sink() {
    return [this](Bytes bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); };
  }
  [[nodiscard]] Bytes bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

inline Bytes input(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const std::byte*>(data), size};
}

}  // namespace fuzz
