#pragma once
/// \file
/// Tensors in files: .safetensors and .npz, as PyTorch, Keras and NumPy exchange them.
///
/// Reading trusts nothing. A file is checked against every rule of its format before anything the
/// size of its claims is allocated, so memory is bounded by a small multiple of the file's own size.
/// Nothing in a file is executed. A FormatError names the file, the tensor and the byte that breaks a
/// rule; an IoError has the path and the system's cause. Rules beyond the formats' own: rank <= 32,
/// at most a million tensors, names of at most 4096 bytes of UTF-8 without NUL, every key once, no
/// unknown keys, no holes, overlaps or trailing bytes.
///
/// Writing is atomic: a temporary file `<path>.tmp.<pid>` beside the target is written, flushed to
/// the disk and renamed. After a failure the previous file is still there (after the rename: the new
/// one) and the temporary is gone. The same tensors give the same bytes.
///
/// .npz holds stored (not compressed) members below 4 GiB, without zip64: numpy.savez, not
/// numpy.savez_compressed. .safetensors has no such limit.

#include <xtape/array/array.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace xtape {

/// Element types of stored tensors, in the order safetensors sorts them.
enum class DType : std::uint8_t {
  boolean,
  u8,
  i8,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64
};

/// The name safetensors uses: "BOOL", "U8", ..., "F16", "BF16", "F32", "F64", "I64", "U64".
std::string to_string(DType dtype);

/// Bytes per element.
std::size_t width(DType dtype) noexcept;

/// An array as it lies in a file: little-endian, row-major, packed.
struct StoredTensor {
  DType dtype = DType::f32;      ///< type of the elements
  Shape shape;                   ///< extents of the axes
  std::vector<std::byte> bytes;  ///< elements, little-endian and row-major
};

/// Tensors by name.
using Tensors = std::map<std::string, StoredTensor>;
/// The texts a safetensors file may carry, by key.
using Metadata = std::map<std::string, std::string>;

/// The contents of a safetensors file.
struct TensorFile {
  Tensors tensors;    ///< arrays by name
  Metadata metadata;  ///< texts by name
};

/// Returns the array as a stored tensor of its own dtype. T: float, double, bool, std::uint8_t,
/// std::int32_t, std::int64_t.
template <class T> StoredTensor to_tensor(const Array<T>& array);

/// Returns the tensor as an array; `name` is for messages. float and double take F16, BF16, F32 and F64:
/// widening is exact, F64 to float rounds. ValueError for a value beyond float's range.
/// ParameterError for any other dtype. The other T (see to_tensor) take their own dtype only.
template <class T>
Array<T> to_array(const StoredTensor& tensor, const std::string& name = "tensor");

/// Reads a whole file. IoError, FormatError.
TensorFile read_safetensors(const std::string& path);
/// Reads bytes in memory; `name` is for messages.
TensorFile parse_safetensors(std::span<const std::byte> bytes,
                             const std::string& name = "safetensors");
/// Writes tensors and metadata, atomically. ValueError for names the format cannot hold and for
/// tensors whose bytes do not fit their shape; IoError.
void write_safetensors(const std::string& path, const Tensors& tensors,
                       const Metadata& metadata = {});

/// Reads a whole file of .npy members; names come without ".npy". Versions 1.0 to 3.0, dtypes <f2
/// <f4 <f8 <i4 <i8 <u2 |u1 |b1; arrays in Fortran order are reordered. IoError, FormatError.
Tensors read_npz(const std::string& path);
/// Reads bytes in memory; `name` is for messages.
Tensors parse_npz(std::span<const std::byte> bytes, const std::string& name = "npz");
/// Writes tensors, atomically. ValueError as write_safetensors, and for other dtypes; IoError.
void write_npz(const std::string& path, const Tensors& tensors);

/// Removes temporaries of this file that killed processes left beside it. IoError.
void remove_temporaries(const std::string& path);

}  // namespace xtape
