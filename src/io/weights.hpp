#pragma once
// What files of weights and checkpoints share.

#include "io/tensors.hpp"

#include <type_traits>

namespace xtape::io {

template <class T>
inline constexpr DType real_dtype = std::is_same_v<T, float> ? DType::f32 : DType::f64;

template <class T>
View view_of(const Array<T>& array) {
  return {real_dtype<T>,
          array.shape(),
          {reinterpret_cast<const std::byte*>(array.data()), array.size() * sizeof(T)}};
}

/// Every parameter's array by path. ParameterError naming those that are not built.
template <class T>
Views views_of(const Params<T>& params, const std::string& path);

/// Runs fn; what it says of parameters gets the file's name in front.
template <class F>
void naming(const std::string& path, F&& fn) {
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
