#pragma once
// Parameters as views, for files of weights and checkpoints.

#include "io/views.hpp"

#include <xtape/params/params.hpp>

#include <type_traits>

namespace xtape::io {

template <class T>
inline constexpr DType real_dtype = std::is_same_v<T, float> ? DType::f32 : DType::f64;

template <class T> View view_of(const Array<T>& array) {
  return {real_dtype<T>,
          array.shape(),
          {reinterpret_cast<const std::byte*>(array.data()), array.size() * sizeof(T)}};
}

/// Returns every parameter's array by path. ParameterError naming those that are not built.
template <class T> Views views_of(const Params<T>& params, const std::string& path);

/// Returns the views' elements as T, by name; `path` leads the messages.
template <class T>
std::map<std::string, Array<T>> arrays_of(const Views& views, const std::string& path) {
  std::map<std::string, Array<T>> arrays;
  for (const auto& [name, view] : views) {
    arrays.emplace_hint(arrays.end(), name, convert<T>(view, path + ": tensor " + printable(name)));
  }
  return arrays;
}

/// Runs fn, and puts the file's name in front of its errors about parameters.
template <class F> void naming(const std::string& path, F&& fn) {
  try {
    fn();
  } catch (const ShapeError& e) {
    throw ShapeError(path + ": " + e.what());
  } catch (const ValueError& e) {
    throw ValueError(path + ": " + e.what());
  } catch (const ParameterError& e) {
    throw ParameterError(path + ": " + e.what());
  }
}

}  // namespace xtape::io
