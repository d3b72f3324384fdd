#pragma once
// Weights as a text, for the state of callbacks in a checkpoint.

#include <xtape/io/tensors.hpp>

#include <string>

namespace xtape::detail {

/// Returns a safetensors file in base 64.
std::string to_text(const Tensors& tensors);
/// Reads the tensors of to_text. FormatError with `name` in front.
Tensors from_text(const std::string& text, const std::string& name);

}  // namespace xtape::detail
