#pragma once
// Files for tests: a directory that goes away, bytes in and out, and safetensors made by hand.

#include "support/arrays.hpp"

#include <bit>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace xtape::test {

/// Returns the path of a file of tests/golden.
std::string golden_path(const std::string& name);

/// A directory of its own, removed with all in it.
class Directory {
 public:
  Directory();
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return (path_ / name).string();
  }
  /// Names of what is in it.
  [[nodiscard]] std::vector<std::string> files() const;

 private:
  std::filesystem::path path_;
};

std::string read_text(const std::string& path);
void write_file(const std::string& path, const std::string& text);

inline std::span<const std::byte> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// A safetensors file of this header, with its length in front.
inline std::string safetensors(const std::string& header, const std::string& data = "") {
  const std::uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + data;
}

/// Equal in dtype, shape and every bit.
inline bool same(const StoredTensor& a, const StoredTensor& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes;
}
inline bool same(const Tensors& a, const Tensors& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) {
           return x.first == y.first && same(x.second, y.second);
         });
}

/// Equal in shape and every bit.
template <class T> bool same_bits(const Array<T>& a, const Array<T>& b) {
  return a.shape() == b.shape() &&
         (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// Returns the values that tests/golden/make/weights.py puts into an array of this shape.
template <class T> Array<T> golden_ramp(const Shape& shape) {
  Array<T> a(shape);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a.data()[i] = static_cast<T>(static_cast<int>((i * 37 + 11) % 101) - 50);
  }
  return a;
}

}  // namespace xtape::test
