#pragma once
/// \file
/// Arrays: row-major xtensor arrays over the library's caching allocator, and what one can ask of
/// that allocator.

#include <xtape/array/memory.hpp>
#include <xtape/array/xtensor.hpp>
#include <xtape/base/error.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <type_traits>
#include <vector>

namespace xtape {

/// A dense row-major array of any rank. It is an ordinary xtensor container: any xtensor expression
/// can be assigned to it, and it can stand in any xtensor expression.
template <class T>
using Array = xt::xarray_container<xt::uvector<T, Allocator<T>>, xt::layout_type::row_major,
                                   xt::svector<std::size_t, 4, std::allocator<std::size_t>, true>>;

/// Extents of an array, outermost first. The empty shape is a scalar.
using Shape = Array<float>::shape_type;

/// Axis numbers; negative ones count from the last axis (-1).
using Axes = std::vector<int>;

/// The largest rank any operation takes.
inline constexpr std::size_t kMaxRank = 16;

/// The scalar types xtape differentiates.
template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

/// "(2, 3)", "(3,)" or "()": shapes as NumPy prints them.
std::string to_string(const Shape& shape);

/// Number of elements of an array of this shape: the product of its extents.
std::size_t size_of(const Shape& shape) noexcept;

/// An array of this shape, every element 0. Mind that Array<T>({2, 3}) holds the two values 2 and 3.
template <class T>
Array<T> zeros(const Shape& shape) {
  return Array<T>(shape, T(0));
}

/// An array of this shape, every element 1.
template <class T>
Array<T> ones(const Shape& shape) {
  return Array<T>(shape, T(1));
}

/// An array of this shape, every element `value`.
template <class T>
Array<T> full(const Shape& shape, std::type_identity_t<T> value) {
  return Array<T>(shape, value);
}

/// start, start + step, ... as long as they lie before stop, computed as start + i * step; empty where
/// none does. After NumPy. ValueError for a step of 0, and for numbers that are not finite.
template <class T>
Array<T> arange(std::type_identity_t<T> start, std::type_identity_t<T> stop,
                std::type_identity_t<T> step = T(1));

/// 0, 1, ... stop - 1.
template <class T>
Array<T> arange(std::type_identity_t<T> stop) {
  return arange<T>(T(0), stop);
}

/// The elements in NumPy's form: at most eight digits after the point, columns aligned, and an ellipsis
/// for the middle of arrays of more than 1000 elements. For float, double, bool, int, std::int64_t,
/// std::uint64_t and std::uint8_t.
template <class T>
std::string to_string(const Array<T>& array);

/// Writes to_string(array).
template <class T>
std::ostream& operator<<(std::ostream& out, const Array<T>& array);

/// Counters of the caching allocator, in bytes except where said. Each thread adds up its small
/// blocks by itself and reports them every 64 KiB, so figures that involve other running threads
/// are good to that; those of the calling thread are exact.
struct MemoryStats {
  std::int64_t in_use = 0;  ///< handed out and not yet given back
  std::int64_t peak = 0;    ///< the largest in_use since the start or reset_peak_memory()
  std::int64_t cached = 0;  ///< kept for reuse
  std::int64_t system_allocations = 0;  ///< how often the system was asked for a block (a count)
};

/// The counters now.
MemoryStats memory_stats();

/// Sets the peak to what is in use now, to measure the peak of a stretch of a program.
void reset_peak_memory();

/// Gives the shared cache and the calling thread's cache back to the system.
void trim();

namespace detail {
/// An array of this shape, its elements not set.
template <class T>
Array<T> empty(const Shape& shape) {
  return Array<T>(shape);
}
/// An array of this shape, every element `value`.
template <class T>
Array<T> full(const Shape& shape, T value) {
  return Array<T>(shape, value);
}
}  // namespace detail

}  // namespace xtape
