#pragma once
/// \file
/// What an initializer, a regularizer or a constraint was made from, so that it can be written down.

#include <xtape/array/array.hpp>

#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace xtape::detail {

/// Keras's name of the class and its parameters, under Keras's names. Without a class name it is a
/// function of the user's, which nothing describes.
struct Description {
  using Value = std::variant<bool, double, std::string, Axes>;
  using Parameters = std::vector<std::pair<std::string, Value>>;

  std::string class_name = {};
  Parameters parameters = {};

  friend bool operator==(const Description&, const Description&) = default;
};

/// Gives an object its description.
struct Describe {
  template <class Object>
  static Object as(Object object, Description description) {
    object.description_ = std::move(description);
    return object;
  }
};

}  // namespace xtape::detail
