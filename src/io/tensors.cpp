#include <xtape/io/tensors.hpp>

#include "io/views.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace xtape {

using detail::fail;

namespace {

struct DTypeInfo {
  std::string_view name;
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

std::string to_string(DType dtype) {
  return std::string(kDTypes[static_cast<std::size_t>(dtype)].name);
}

std::size_t width(DType dtype) noexcept { return kDTypes[static_cast<std::size_t>(dtype)].width; }

namespace io {

std::optional<DType> dtype_named(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kDTypes.size(); ++i) {
    if (kDTypes[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

namespace {

template <class T> constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, double>) return DType::f64;
  if constexpr (std::is_same_v<T, bool>) return DType::boolean;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u8;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::i32;
  return DType::i64;
}

float from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

float from_float16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16U;
  const std::uint32_t exponent = (bits >> 10U) & 31U;
  const std::uint32_t fraction = bits & 0x3FFU;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | (fraction << 13U));
  if (exponent == 0) {  // zero, or a subnormal: a normal float
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return sign == 0 ? magnitude : -magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23U) | (fraction << 13U));
}

template <class Stored, class T, class F>
void each(const std::byte* from, Array<T>& to, F&& convert_one) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, from + i * sizeof(Stored), sizeof(Stored));
    to.data()[i] = convert_one(stored);
  }
}

template <class T>
void convert_real(DType dtype, const std::byte* from, Array<T>& to, const std::string& where) {
  switch (dtype) {
    case DType::f16:
      each<std::uint16_t>(from, to,
                          [](std::uint16_t b) { return static_cast<T>(from_float16(b)); });
      return;
    case DType::bf16:
      each<std::uint16_t>(from, to,
                          [](std::uint16_t b) { return static_cast<T>(from_bfloat16(b)); });
      return;
    case DType::f32: each<float>(from, to, [](float x) { return static_cast<T>(x); }); return;
    case DType::f64:
      each<double>(from, to, [&](double x) {
        const T rounded = static_cast<T>(x);
        if (std::isinf(rounded) && !std::isinf(x)) {
          fail<ValueError>(where, "value out of range: an element is ", x,
                           ", expected at most 3.40282e+38 in magnitude to fit float; load it into "
                           "Params<double>");
        }
        return rounded;
      });
      return;
    default:
      fail<ParameterError>(where, "not floating point: dtype is ", to_string(dtype),
                           ", expected F16, BF16, F32 or F64; leave this tensor out, or take it "
                           "from read_safetensors() or read_npz()");
  }
}

}  // namespace

template <class T> Array<T> convert(const View& view, const std::string& where) {
  if constexpr (!std::is_floating_point_v<T>) {
    if (view.dtype != dtype_of<T>()) {
      fail<ParameterError>(where, "another dtype: dtype is ", to_string(view.dtype), ", expected ",
                           to_string(dtype_of<T>()), "; ask for the type the file has");
    }
  }
  Array<T> out(view.shape);
  Bytes bytes = view.bytes;
  std::vector<std::byte> ordered;
  if (view.fortran_order) {
    ordered.resize(bytes.size());
    copy_row_major(view, ordered.data());
    bytes = ordered;
  }
  if constexpr (std::is_same_v<T, bool>) {  // a byte of 2 would be no bool
    each<std::uint8_t>(bytes.data(), out, [](std::uint8_t b) { return b != 0; });
  } else {
    if (view.dtype == dtype_of<T>()) {  // bit for bit: also what a NaN carries
      if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
      return out;
    }
    if constexpr (std::is_floating_point_v<T>) convert_real(view.dtype, bytes.data(), out, where);
  }
  return out;
}

}  // namespace io

template <class T> StoredTensor to_tensor(const Array<T>& array) {
  StoredTensor tensor{io::dtype_of<T>(), array.shape(),
                      std::vector<std::byte>(array.size() * sizeof(T))};
  if (!tensor.bytes.empty()) std::memcpy(tensor.bytes.data(), array.data(), tensor.bytes.size());
  return tensor;
}

template <class T> Array<T> to_array(const StoredTensor& tensor, const std::string& name) {
  const auto bytes = io::checked_bytes(tensor.shape, tensor.dtype);
  if (bytes != tensor.bytes.size()) {
    fail<ValueError>(name, "tensor that contradicts itself: ", to_string(tensor.dtype),
                     " of shape ", to_string(tensor.shape), " with ", tensor.bytes.size(),
                     " bytes, expected the bytes of its shape; see to_tensor()");
  }
  return io::convert<T>(io::view_of(tensor), name);
}

#define XTAPE_INSTANTIATE(T)                                              \
  template Array<T> io::convert<T>(const View& view, const std::string&); \
  template StoredTensor to_tensor<T>(const Array<T>&);                    \
  template Array<T> to_array<T>(const StoredTensor&, const std::string&);
XTAPE_INSTANTIATE(float)
XTAPE_INSTANTIATE(double)
XTAPE_INSTANTIATE(bool)
XTAPE_INSTANTIATE(std::uint8_t)
XTAPE_INSTANTIATE(std::int32_t)
XTAPE_INSTANTIATE(std::int64_t)
#undef XTAPE_INSTANTIATE

}  // namespace xtape
