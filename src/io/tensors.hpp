#pragma once
// What the readers and writers share: views of tensors in a file's bytes, checked sizes, and the
// wording of their errors.

#include "base/message.hpp"

#include <xtape/io/weights.hpp>

#include <bit>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

namespace xtape::io {

static_assert(std::endian::native == std::endian::little, "files are written as memory lies");
static_assert(sizeof(std::size_t) == 8, "sizes in files have 64 bits");

using Bytes = std::span<const std::byte>;

inline constexpr std::size_t kMaxFileRank = 32;
inline constexpr std::size_t kMaxTensors = 1'000'000;
inline constexpr std::size_t kMaxNameLength = 4096;

/// A tensor whose bytes belong to someone else.
struct View {
  DType dtype = DType::f32;
  Shape shape;
  Bytes bytes;
  bool fortran_order = false;
};
using Views = std::map<std::string, View>;

/// Where a writer's bytes go.
using Sink = std::function<void(Bytes)>;

/// The file's name for messages, and how they are thrown.
class Source {
 public:
  explicit Source(std::string name) : name_(std::move(name)) {}
  [[nodiscard]] const std::string& name() const { return name_; }

  /// FormatError "name: parts (at byte offset)".
  template <class... Parts>
  [[noreturn]] void fail(std::uint64_t offset, const Parts&... parts) const {
    throw FormatError(detail::message(name_, parts..., " (at byte ", offset, ")"), offset);
  }

 private:
  std::string name_;
};

/// Text from a file as it may be printed: shortened, and what could disturb a terminal escaped.
std::string escaped(std::string_view text, std::size_t longest);
/// The same of a name, in quotes.
std::string printable(std::string_view name);

bool valid_utf8(std::string_view text) noexcept;

/// Why a tensor may not have this name, or nothing.
std::optional<std::string> name_problem(std::string_view name);

/// Bytes of a tensor; nothing when the product overflows, also of extents beside a zero one.
std::optional<std::size_t> checked_bytes(const Shape& shape, DType dtype) noexcept;

/// Copies into row-major order.
void copy_row_major(const View& view, std::byte* out);
StoredTensor to_stored(const View& view);
View view_of(const StoredTensor& tensor);

/// ValueError when a file cannot hold these: names, ranks, sizes.
void check_writable(const std::string& path, const Views& tensors);

/// The view's elements as T; see to_array in <xtape/io/weights.hpp>. `where` leads the messages.
template <class T>
Array<T> convert(const View& view, const std::string& where);

Bytes bytes_of(std::string_view text);

Views parse_safetensors_views(Bytes bytes, const Source& source, Metadata* metadata);
void write_safetensors_to(const Sink& sink, const std::string& path, const Views& tensors,
                          const Metadata& metadata);
Views parse_npz_views(Bytes bytes, const Source& source);
/// The views must be row-major.
void write_npz_to(const Sink& sink, const std::string& path, const Views& tensors);

}  // namespace xtape::io
