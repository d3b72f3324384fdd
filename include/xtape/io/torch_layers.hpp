#pragma once
/// \file
/// Layers of PyTorch: torch.nn.Linear, TransformerEncoderLayer and TransformerDecoderLayer, as their
/// state_dict() names them (<xtape/io/weights.hpp> has MultiheadAttention).
///
///     const TensorFile file = read_safetensors("torch.safetensors");
///     load_torch_linear(params, "head", file.tensors, "classifier.");
///     load_torch_transformer(params, "encoder/0", file.tensors, 8, "encoder.layers.0.");
///
/// Construct the layers first. ParameterError names tensors that are missing and parameters below the path that
/// find none; when layers are made and none of them is at the path, it says so. Nothing is changed then.

#include <xtape/io/weights.hpp>

namespace xtape {

/// Sets the Dense at `path` from a Linear whose tensors are named below `prefix`: kernel (in, out) is the
/// transpose of weight (out, in), bias is bias, if there is one.
template <class T>
void load_torch_linear(Params<T>& params, const std::string& path, const Tensors& tensors,
                       const std::string& prefix = "");

/// Sets the TransformerEncoder or TransformerDecoder at `path` from a TransformerEncoderLayer or, where
/// there is "multihead_attn", a TransformerDecoderLayer. The options of the block must say the same:
/// num_heads, use_bias, normalize_first (norm_first) and activation. ValueError for num_heads out of range.
template <class T>
void load_torch_transformer(Params<T>& params, const std::string& path, const Tensors& tensors,
                            int num_heads, const std::string& prefix = "");

}  // namespace xtape
