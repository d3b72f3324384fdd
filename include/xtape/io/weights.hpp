#pragma once
/// \file
/// Weights of a model in .safetensors and .npz files (<xtape/io/tensors.hpp> has their rules).
///
///     save(params, "model.safetensors");
///     load(params, "model.safetensors");
///
/// docs/weights.md describes the exchange with Keras and PyTorch.

#include <xtape/io/tensors.hpp>
#include <xtape/params/params.hpp>

#include <string>

namespace xtape {

/// Writes every parameter under its path, in its own type, to `path`: safetensors or npz by the
/// ending. ParameterError when a parameter is not built yet, ValueError for another ending, and for
/// metadata in an npz; IoError.
template <class T>
void save(const Params<T>& params, const std::string& path, const Metadata& metadata = {});

/// Sets parameters from a file that save (or another program) wrote, as Params::load: by default the
/// file must have exactly the model's names, before or after the layers are made. Converts F16, BF16,
/// F32 and F64 as to_array does. Changes nothing when anything is wrong. IoError, FormatError, and
/// the errors of Params::load.
template <class T>
LoadReport load(Params<T>& params, const std::string& path, LoadOptions options = {});

/// Sets the MultiHeadAttention at `path` from the weights of a torch.nn.MultiheadAttention (batch
/// first or not), as its state_dict() names them below `prefix` ("encoder.self_attn."):
/// in_proj_weight (3E, E), or q_proj_weight, k_proj_weight and v_proj_weight where kdim or vdim
/// differ; in_proj_bias; out_proj.weight; out_proj.bias. Row n * K + k of a projection belongs to
/// head n, so
///     query/kernel[d, n, k] = in_proj_weight[n * K + k, d]     query/bias[n, k] = in_proj_bias[...]
///     attention_output/kernel[n, v, o] = out_proj.weight[o, n * V + v]
/// with the keys' rows after E and the values' after 2E. The layer's options are num_heads heads,
/// key_dim = value_dim = E / num_heads, and use_bias as in PyTorch. PyTorch's boolean attn_mask and
/// key_padding_mask are the negation of xtape's masks. ParameterError naming missing tensors,
/// ShapeError, ValueError for add_bias_kv; nothing is changed then.
template <class T>
void load_torch_attention(Params<T>& params, const std::string& path, const Tensors& tensors,
                          int num_heads, const std::string& prefix = "");

}  // namespace xtape
