#pragma once
/// \file
/// Arrays: row-major xtensor arrays over the library's caching allocator, and the counters of that allocator.

#include <xtape/array/memory.hpp>
#include <xtape/array/xtensor.hpp>
#include <xtape/base/error.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace xtape {

/// A dense row-major array of any rank. It is an xtensor container: it takes any xtensor expression, and stands in
/// any.
template <class T>
using Array = xt::xarray_container<xt::uvector<T, Allocator<T>>, xt::layout_type::row_major,
                                   xt::svector<std::size_t, 4, std::allocator<std::size_t>, true>>;

namespace detail {
template <class E>
concept XExpression = xt::is_xexpression<std::decay_t<E>>::value;
template <class I>
concept Integer = std::integral<I> && !std::same_as<I, bool>;
// An xtensor expression whose elements are T. Integers of any width convert to integers.
template <class E, class T>
concept ExpressionOf = XExpression<E> &&
    (std::same_as<typename std::decay_t<E>::value_type, T> ||
     (Integer<T> && Integer<typename std::decay_t<E>::value_type>));
}  // namespace detail

/// An argument that is an array of T: refers to an Array<T>, evaluates another expression of T. Nothing else
/// converts, because a float mask or label would lose its meaning. Lives as long as the call.
template <class T> class ArrayArg {
 public:
  /// Refers to an array, which must live as long.
  ArrayArg(const Array<T>& array) : array_(&array) {}
  /// Holds the array of an expression.
  template <detail::ExpressionOf<T> E>
  requires(!std::same_as<std::decay_t<E>, Array<T>>) ArrayArg(const E& expression)
      : made_(expression), array_(&*made_) {}
  ArrayArg(const ArrayArg&) = delete;
  ArrayArg& operator=(const ArrayArg&) = delete;
  /// Returns the array.
  operator const Array<T>&() const { return *array_; }
  /// Returns the array.
  const Array<T>& operator*() const { return *array_; }
  /// Returns the shape.
  [[nodiscard]] const auto& shape() const { return array_->shape(); }
  /// Returns the number of axes.
  [[nodiscard]] std::size_t dimension() const { return array_->dimension(); }
  /// Returns the number of elements.
  [[nodiscard]] std::size_t size() const { return array_->size(); }
  /// Returns the elements, row-major.
  [[nodiscard]] const T* data() const { return array_->data(); }

 private:
  std::optional<Array<T>> made_;
  const Array<T>* array_;
};

/// An array of T, or none. Expressions of other types do not convert. An additive mask of floats (0 and -infinity)
/// is not a mask of bool: MultiHeadAttention takes it as its attention_bias.
template <class T> class OptionalArray : public std::optional<Array<T>> {
 public:
  OptionalArray() = default;
  /// Holds nothing.
  OptionalArray(std::nullopt_t) {}
  /// Holds an array.
  OptionalArray(Array<T> array) : std::optional<Array<T>>(std::move(array)) {}
  /// Holds an array or nothing.
  OptionalArray(std::optional<Array<T>> array) : std::optional<Array<T>>(std::move(array)) {}
  /// Holds the array of an expression.
  template <detail::ExpressionOf<T> E>
  requires(!std::same_as<std::decay_t<E>, Array<T>>) OptionalArray(E&& expression)
      : std::optional<Array<T>>(Array<T>(std::forward<E>(expression))) {}
  // A compiler's message quotes the line of the name.
  template <detail::XExpression E>
  requires(!detail::ExpressionOf<E, T>)
      OptionalArray(E&& not_bool__additive_masks_go_into_attention_bias)
  = delete;
};

/// Extents of an array, outermost first. The empty shape is a scalar.
using Shape = Array<float>::shape_type;

/// Axis numbers; negative ones count from the last axis (-1).
using Axes = std::vector<int>;

/// The largest rank any operation takes.
inline constexpr std::size_t kMaxRank = 16;

/// The scalar types xtape differentiates.
template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

/// Returns the shape as NumPy prints it: "(2, 3)", "(3,)" or "()".
std::string to_string(const Shape& shape);

/// Returns the number of elements of an array of this shape: the product of its extents, or the largest
/// std::size_t if that is smaller.
std::size_t size_of(const Shape& shape) noexcept;

namespace detail {

/// Returns the shape. Throws ShapeError, which names `op`, if the extents other than 0 multiply to 2^60 or more:
/// bytes and strides of such an array would leave 64 bits. Results of operations and values of Vars are checked.
const Shape& checked(const char* op, const Shape& shape);
/// Throws ValueError for a moved-from array, whose shape is () and which has no element; else as checked().
template <class T> void check_array(const char* op, const Array<T>& array) {
  if (array.dimension() == 0 && array.storage().empty()) fail_no_value("Array");
  checked(op, array.shape());
}

}  // namespace detail

/// Returns an array of zeros of this shape. Note that Array<T>({2, 3}) holds the two values 2 and 3. Throws
/// ShapeError for 2^60 elements or more, as ones() and full() do.
template <class T> Array<T> zeros(const Shape& shape) {
  return Array<T>(detail::checked("zeros", shape), T(0));
}

/// Returns an array of ones of this shape.
template <class T> Array<T> ones(const Shape& shape) {
  return Array<T>(detail::checked("ones", shape), T(1));
}

/// Returns an array of this shape with every element `value`.
template <class T> Array<T> full(const Shape& shape, std::type_identity_t<T> value) {
  return Array<T>(detail::checked("full", shape), value);
}

/// Returns start + i * step for i = 0, 1, ... while it lies before stop, as in NumPy. Throws ValueError for a step of 0
/// and for numbers that are not finite, and ShapeError for 2^60 elements or more.
template <class T>
Array<T> arange(std::type_identity_t<T> start, std::type_identity_t<T> stop,
                std::type_identity_t<T> step = T(1));

/// Returns 0, 1, ... stop - 1.
template <class T> Array<T> arange(std::type_identity_t<T> stop) { return arange<T>(T(0), stop); }

/// Returns the elements in NumPy's form: at most eight digits after the point, columns aligned, and an ellipsis for the
/// middle of arrays of more than 1000 elements. T is float, double, bool, int, std::int64_t, std::uint64_t or
/// std::uint8_t.
template <class T> std::string to_string(const Array<T>& array);

/// Writes to_string(array).
template <class T> std::ostream& operator<<(std::ostream& out, const Array<T>& array);

/// Counters of the caching allocator, in blocks: arrays from 1 to 256 MiB have up to twice the bytes of their elements,
/// larger and smaller ones up to 1.25 times, and up to 4 KiB whole 64 bytes. They are exact for the calling thread.
/// Each other running thread may have up to 64 KiB of small blocks that it has not reported yet.
struct MemoryStats {
  std::int64_t in_use = 0;  ///< bytes of blocks in use
  std::int64_t peak = 0;    ///< maximum of in_use since the start or reset_peak_memory()
  std::int64_t cached = 0;  ///< bytes kept for reuse
  std::int64_t system_allocations = 0;  ///< number of blocks that came from the system
};

/// Returns the counters.
MemoryStats memory_stats();

/// Sets the peak to what is in use, to measure the peak of one part of a program.
void reset_peak_memory();

/// Returns the shared cache and the calling thread's cache to the system.
void trim();

namespace detail {
/// Returns an array of this shape with unset elements.
template <class T> Array<T> empty(const Shape& shape) { return Array<T>(shape); }
/// Returns an array of this shape with every element `value`.
template <class T> Array<T> full(const Shape& shape, T value) { return Array<T>(shape, value); }
}  // namespace detail

}  // namespace xtape
