#include "io/tensors.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace xtape {

namespace {

struct DTypeInfo {
  const char* name;
  std::size_t width;
};
constexpr std::array<DTypeInfo, 13> kDTypes = {{{"BOOL", 1},
                                                {"U8", 1},
                                                {"I8", 1},
                                                {"I16", 2},
                                                {"U16", 2},
                                                {"F16", 2},
                                                {"BF16", 2},
                                                {"I32", 4},
                                                {"U32", 4},
                                                {"F32", 4},
                                                {"F64", 8},
                                                {"I64", 8},
                                                {"U64", 8}}};

}  // namespace

std::string to_string(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)].name; }

std::size_t width(DType dtype) noexcept { return kDTypes[static_cast<std::size_t>(dtype)].width; }

namespace io {

bool valid_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80                    ? 1
                               : lead >= 0xC2 && lead <= 0xDF ? 2
                               : lead >= 0xE0 && lead <= 0xEF ? 3
                               : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                              : 0;
    if (length == 0 || length > text.size() - i) return false;
    for (std::size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      // The second byte rules out overlong forms, surrogates, and what lies beyond U+10FFFF.
      const unsigned char low = k > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
      const unsigned char high = k > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
      if (next < low || next > high) return false;
    }
    i += length;
  }
  return true;
}

std::string escaped(std::string_view text, std::size_t longest) {
  constexpr const char* digits = "0123456789abcdef";
  const bool cut = text.size() > longest;
  while (cut && longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xC0U) == 0x80)
    --longest;
  text = text.substr(0, longest);
  const bool plain = valid_utf8(text);
  std::string out;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u == 0x7F || (u > 0x7F && !plain)) {
      out += "\\x";
      out += digits[u >> 4U];
      out += digits[u & 15U];
    } else {
      out += c;
    }
  }
  return cut ? out + "..." : out;
}

std::string printable(std::string_view name) {
  std::string out = "'";
  out += escaped(name, 120);
  return out += '\'';
}

std::optional<std::string> name_problem(std::string_view name) {
  if (name.size() > kMaxNameLength) return std::to_string(name.size()) + " bytes long";
  if (name.find('\0') != std::string_view::npos) return "with a NUL character";
  if (!valid_utf8(name)) return "not UTF-8";
  return std::nullopt;
}

std::optional<std::size_t> checked_bytes(const Shape& shape, DType dtype) noexcept {
  // Strides multiply the extents beside a zero one too, so these must not overflow either.
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

namespace {

template <std::size_t N>
void reorder(const View& view, std::byte* out) {
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

}  // namespace

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

Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace io
}  // namespace xtape
