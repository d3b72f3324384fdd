#include "io/views.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace xtape::io {

std::optional<std::string> name_problem(std::string_view name) {
  if (name.size() > kMaxNameLength) return std::to_string(name.size()) + " bytes long";
  if (name.find('\0') != std::string_view::npos) return "with a NUL character";
  if (!valid_utf8(name)) return "not UTF-8";
  return std::nullopt;
}

std::optional<std::size_t> checked_bytes(const Shape& shape, DType dtype) noexcept {
  // Strides multiply the other extents even when one is zero, so their product must not overflow.
  std::int64_t bound = static_cast<std::int64_t>(width(dtype));
  bool empty = false;
  for (const std::size_t extent : shape) {
    empty = empty || extent == 0;
    if (extent > static_cast<std::size_t>(INT64_MAX)) return std::nullopt;
    const auto factor = static_cast<std::int64_t>(std::max<std::size_t>(extent, 1));
    if (__builtin_mul_overflow(bound, factor, &bound)) return std::nullopt;
  }
  return empty ? 0 : static_cast<std::size_t>(bound);
}

template <std::size_t N> static void reorder(const View& view, std::byte* out) {
  const std::size_t rank = view.shape.size();
  std::array<std::size_t, kMaxFileRank> index{};
  std::array<std::size_t, kMaxFileRank> stride{};
  std::size_t step = 1;
  for (std::size_t d = 0; d < rank; ++d) {
    stride[d] = step;
    step *= view.shape[d];
  }
  const std::size_t count = view.bytes.size() / N;
  std::size_t from = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(out + i * N, view.bytes.data() + from * N, N);
    for (std::size_t d = rank; d-- > 0;) {
      from += stride[d];
      if (++index[d] < view.shape[d]) break;
      from -= stride[d] * view.shape[d];
      index[d] = 0;
    }
  }
}

void copy_row_major(const View& view, std::byte* out) {
  if (view.bytes.empty()) return;
  if (!view.fortran_order) {
    std::memcpy(out, view.bytes.data(), view.bytes.size());
    return;
  }
  switch (width(view.dtype)) {
    case 1: return reorder<1>(view, out);
    case 2: return reorder<2>(view, out);
    case 4: return reorder<4>(view, out);
    default: return reorder<8>(view, out);
  }
}

StoredTensor to_stored(const View& view) {
  StoredTensor tensor{view.dtype, view.shape, std::vector<std::byte>(view.bytes.size())};
  copy_row_major(view, tensor.bytes.data());
  return tensor;
}

View view_of(const StoredTensor& tensor) { return {tensor.dtype, tensor.shape, tensor.bytes}; }

Views views_of(const Tensors& tensors) {
  Views views;
  for (const auto& [name, tensor] : tensors) views.emplace_hint(views.end(), name, view_of(tensor));
  return views;
}

Tensors to_stored(const Views& views) {
  Tensors tensors;
  for (const auto& [name, view] : views) {
    tensors.emplace_hint(tensors.end(), name, to_stored(view));
  }
  return tensors;
}

void check_size(const View& view, const std::string& what, std::uint64_t at, std::uint64_t begin,
                const Source& source) {
  const auto bytes = checked_bytes(view.shape, view.dtype);
  if (!bytes) {
    source.fail(at, "shape overflows: ", what, " is ", to_string(view.dtype), " of shape ",
                to_string(view.shape), ", expected a size below 2^63 bytes; the file is damaged");
  }
  if (*bytes != view.bytes.size()) {
    source.fail(begin, "size and shape differ: ", what, " has ", view.bytes.size(),
                " bytes, expected ", *bytes, " for ", to_string(view.dtype), " of shape ",
                to_string(view.shape), "; the file is damaged");
  }
}

void check_writable(const std::string& path, const Views& tensors) {
  if (tensors.size() > kMaxTensors) {
    detail::fail<ValueError>(path, "too many tensors: there are ", tensors.size(),
                             ", expected at most ", kMaxTensors, "; write several files");
  }
  for (const auto& [name, tensor] : tensors) {
    if (const auto problem = name_problem(name)) {
      detail::fail<ValueError>(path, "name a file cannot hold: tensor ", printable(name), " is ",
                               *problem, ", expected at most ", kMaxNameLength,
                               " bytes of UTF-8 without NUL; rename it");
    }
    const auto bytes = checked_bytes(tensor.shape, tensor.dtype);
    if (tensor.shape.size() > kMaxFileRank || bytes != tensor.bytes.size()) {
      detail::fail<ValueError>(path, "tensor that contradicts itself: ", printable(name), " is ",
                               to_string(tensor.dtype), " of shape ", to_string(tensor.shape),
                               " with ", tensor.bytes.size(),
                               " bytes, expected rank <= ", kMaxFileRank,
                               " and the bytes of its shape; see to_tensor()");
    }
  }
}

}  // namespace xtape::io
