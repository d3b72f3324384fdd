#pragma once
// Views of tensors in a file's bytes, with checked sizes, for the readers and writers.

#include "io/text.hpp"

#include <xtape/io/tensors.hpp>

#include <bit>
#include <optional>

namespace xtape::io {

static_assert(std::endian::native == std::endian::little, "files are written as memory lies");
static_assert(sizeof(std::size_t) == 8, "sizes in files have 64 bits");

inline constexpr std::size_t kMaxFileRank = 32;
inline constexpr std::size_t kMaxTensors = 1'000'000;
inline constexpr std::size_t kMaxNameLength = 4096;

/// A tensor whose bytes are not its own.
struct View {
  DType dtype = DType::f32;
  Shape shape;
  Bytes bytes;
  bool fortran_order = false;
};
using Views = std::map<std::string, View>;

/// Returns the dtype of a name as safetensors has it.
std::optional<DType> dtype_named(std::string_view name) noexcept;

/// Returns the reason why a tensor may not have this name, or nothing.
std::optional<std::string> name_problem(std::string_view name);

/// Returns the bytes of a tensor; nothing when the product of the extents overflows, a zero counted as 1.
std::optional<std::size_t> checked_bytes(const Shape& shape, DType dtype) noexcept;

/// Copies into row-major order.
void copy_row_major(const View& view, std::byte* out);
StoredTensor to_stored(const View& view);
Tensors to_stored(const Views& views);
View view_of(const StoredTensor& tensor);
Views views_of(const Tensors& tensors);

/// Throws FormatError unless the view has the bytes of its shape. `at` is where the file has the shape,
/// `begin` where the bytes begin.
void check_size(const View& view, const std::string& what, std::uint64_t at, std::uint64_t begin,
                const Source& source);

/// Throws ValueError when a file cannot hold these names, ranks or sizes.
void check_writable(const std::string& path, const Views& tensors);

/// Returns the view's elements as T; see to_array. `where` leads the messages.
template <class T> Array<T> convert(const View& view, const std::string& where);

Views parse_safetensors_views(Bytes bytes, const Source& source, Metadata* metadata);
void write_safetensors_to(const Sink& sink, const std::string& path, const Views& tensors,
                          const Metadata& metadata);
Views parse_npz_views(Bytes bytes, const Source& source);
/// The views must be row-major.
void write_npz_to(const Sink& sink, const std::string& path, const Views& tensors);

}  // namespace xtape::io
