#pragma once
// Weights as a text, for what a checkpoint keeps of callbacks.

#include <xtape/io/tensors.hpp>

#include <string>

namespace xtape::detail {

/// A safetensors file in base 64.
std::string to_text(const Tensors& tensors);
/// The opposite. FormatError with `name` in front.
Tensors from_text(const std::string& text, const std::string& name);

}  // namespace xtape::detail
