#pragma once
// Numbers and texts as bytes, for messages between ranks of one program.

#include "base/message.hpp"

#include <xtape/run/team.hpp>

#include <cstring>
#include <string>
#include <type_traits>

namespace xtape::detail {

template <class V> void put(std::string& bytes, std::type_identity_t<V> value) {
  static_assert(std::is_trivially_copyable_v<V>);
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof(V));
  std::memcpy(bytes.data() + at, &value, sizeof(V));
}
inline void put_text(std::string& bytes, const std::string& text) {
  put<std::uint64_t>(bytes, text.size());
  bytes += text;
}

/// Reads what put() and put_text() wrote, in order. TeamError past the end: the ranks are out of step.
class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {}
  template <class V> V get() {
    V value;
    std::memcpy(&value, take(sizeof(V)), sizeof(V));
    return value;
  }
  std::string text() {
    const auto size = get<std::uint64_t>();
    return {take(size), size};
  }
  [[nodiscard]] bool done() const noexcept { return at_ == bytes_.size(); }

 private:
  const char* take(std::size_t size) {
    if (size > bytes_.size() - at_) {
      fail<TeamError>("team", "message out of form: it has ", bytes_.size(),
                      " bytes, expected more; start the same program on all ranks");
    }
    at_ += size;
    return bytes_.data() + at_ - size;
  }
  const std::string& bytes_;
  std::size_t at_ = 0;
};

}  // namespace xtape::detail
