#pragma once
// Shared by the loaders of PyTorch's layers.

#include <xtape/io/weights.hpp>

#include <map>
#include <string>

namespace xtape::detail {

template <class T> using LayerValues = std::map<std::string, Array<T>>;

/// Returns the path of a part of the layer at `path`, which is "" for the root.
inline std::string below(const std::string& path, const std::string& part) {
  return path.empty() ? part : path + "/" + part;
}

/// Returns the tensor of this name, or null.
const StoredTensor* find_tensor(const Tensors& tensors, const std::string& name);

/// Returns the tensor as an array. ParameterError naming those there are; `path` and `layer` are for
/// messages.
template <class T>
Array<T> torch_tensor(const Tensors& tensors, const std::string& path, const char* layer,
                      const std::string& prefix, const std::string& name);

/// Returns the values of the MultiHeadAttention at `path`. Errors as load_torch_attention.
template <class T>
LayerValues<T> torch_attention_values(const std::string& path, const Tensors& tensors,
                                      int num_heads, const std::string& prefix);

/// Sets the values of the layer at `path`, all or nothing. ParameterError unless they are exactly the
/// parameters below the path, once layers are made.
template <class T>
void load_layer(Params<T>& params, const std::string& path, const LayerValues<T>& values);

}  // namespace xtape::detail
