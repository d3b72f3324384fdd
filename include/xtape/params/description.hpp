#pragma once
/// \file
/// The name and options of an initializer, a regularizer or a constraint, for configs.

#include <xtape/array/array.hpp>

#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace xtape::detail {

/// A class of Keras and its parameters, under Keras's names. The class name is empty for a user's
/// function, which nothing describes.
struct Description {
  using Value = std::variant<bool, double, std::string, Axes>;
  using Parameters = std::vector<std::pair<std::string, Value>>;

  std::string class_name = {};
  Parameters parameters = {};

  friend bool operator==(const Description&, const Description&) = default;
};

}  // namespace xtape::detail
