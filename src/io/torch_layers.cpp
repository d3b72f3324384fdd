#include "io/torch_layers.hpp"

#include "base/instantiate.hpp"
#include "params/name_check.hpp"

#include <xtape/io/torch_layers.hpp>

namespace xtape {

namespace detail {

const StoredTensor* find_tensor(const Tensors& tensors, const std::string& name) {
  const auto it = tensors.find(name);
  return it == tensors.end() ? nullptr : &it->second;
}

template <class T>
Array<T> torch_tensor(const Tensors& tensors, const std::string& path, const char* layer,
                      const std::string& prefix, const std::string& name) {
  const StoredTensor* tensor = find_tensor(tensors, prefix + name);
  if (tensor == nullptr) {
    std::string names;
    for (const auto& [known, unused] : tensors) {
      if (names.size() < 500) names += " '" + known + "'";
    }
    fail<ParameterError>(path, "missing tensor: there is no '", prefix, name,
                         "', expected the weights of ", layer, " below '", prefix,
                         "'; there are:", names.empty() ? " none" : names);
  }
  return to_array<T>(*tensor, path + ": tensor '" + prefix + name + "'");
}
XTAPE_FOR_REALS(torch_tensor);

template <class T>
void load_layer(Params<T>& params, const std::string& path, const LayerValues<T>& values) {
  const std::vector<std::string> paths = params.paths();
  NameCheck check;
  for (const auto& [name, value] : values) {
    if (!params.contains(name)) {
      if (!paths.empty()) check.unexpected("'" + name + "'");
      continue;
    }
    const Parameter<T> parameter = params.at(name);
    if (!parameter.built() || parameter.value().shape() == value.shape()) continue;
    fail<ShapeError>(name, "shape differs: value is ", to_string(value.shape()), ", expected ",
                     to_string(parameter.value().shape()), "; nothing was changed");
  }
  for (const std::string& known : paths) {
    const bool inside = path.empty() || known.starts_with(path + "/");
    if (inside && !values.contains(known)) check.missing("'" + known + "'");
  }
  check.finish(path, "make the layer first, at this path and with the options of PyTorch's");
  params.load(values, {.strict = false});
}
XTAPE_FOR_REALS(load_layer);

namespace {

/// Puts kernel and bias of a Linear.
template <class T>
void put_linear(LayerValues<T>& values, const std::string& path, const Tensors& tensors,
                const char* layer, const std::string& prefix) {
  const Array<T> weight = torch_tensor<T>(tensors, path, layer, prefix, "weight");
  if (weight.dimension() != 2) {
    fail<ShapeError>(path, "weights do not fit: '", prefix, "weight' is ",
                     to_string(weight.shape()), ", expected (out, in); it is of another layer");
  }
  const std::size_t out = weight.shape()[0], in = weight.shape()[1];
  Array<T> kernel(Shape{in, out});
  for (std::size_t i = 0; i < in; ++i) {
    for (std::size_t o = 0; o < out; ++o) kernel.data()[i * out + o] = weight.data()[o * in + i];
  }
  values.emplace(below(path, "kernel"), std::move(kernel));
  if (find_tensor(tensors, prefix + "bias") == nullptr) return;
  Array<T> bias = torch_tensor<T>(tensors, path, layer, prefix, "bias");
  if (bias.shape() != Shape{out}) {
    fail<ShapeError>(path, "weights do not fit: '", prefix, "bias' is ", to_string(bias.shape()),
                     ", expected ", to_string(Shape{out}), " as the weight says");
  }
  values.emplace(below(path, "bias"), std::move(bias));
}

/// Puts gamma and beta of a LayerNorm.
template <class T>
void put_norm(LayerValues<T>& values, const std::string& path, const Tensors& tensors,
              const char* layer, const std::string& prefix) {
  values.emplace(path + "/gamma", torch_tensor<T>(tensors, path, layer, prefix, "weight"));
  if (find_tensor(tensors, prefix + "bias") == nullptr) return;
  values.emplace(path + "/beta", torch_tensor<T>(tensors, path, layer, prefix, "bias"));
}

}  // namespace

}  // namespace detail

template <class T>
void load_torch_linear(Params<T>& params, const std::string& path, const Tensors& tensors,
                       const std::string& prefix) {
  detail::LayerValues<T> values;
  detail::put_linear(values, path, tensors, "torch.nn.Linear", prefix);
  detail::load_layer(params, path, values);
}
XTAPE_FOR_REALS(load_torch_linear);

template <class T>
void load_torch_transformer(Params<T>& params, const std::string& path, const Tensors& tensors,
                            int num_heads, const std::string& prefix) {
  const bool decoder =
      detail::find_tensor(tensors, prefix + "multihead_attn.out_proj.weight") != nullptr;
  const char* layer =
      decoder ? "torch.nn.TransformerDecoderLayer" : "torch.nn.TransformerEncoderLayer";
  const auto at = [&](const char* name) { return detail::below(path, name); };
  detail::LayerValues<T> values;
  const auto put_attention = [&](const char* ours, const char* theirs) {
    values.merge(detail::torch_attention_values<T>(at(ours), tensors, num_heads, prefix + theirs));
  };
  const auto put_norm = [&](const char* ours, const char* theirs) {
    detail::put_norm(values, at(ours), tensors, layer, prefix + theirs);
  };
  put_attention("self_attention", "self_attn.");
  put_norm("self_attention_norm", "norm1.");
  if (decoder) {
    put_attention("cross_attention", "multihead_attn.");
    put_norm("cross_attention_norm", "norm2.");
  }
  detail::put_linear(values, at("feed_forward/intermediate"), tensors, layer, prefix + "linear1.");
  detail::put_linear(values, at("feed_forward/output"), tensors, layer, prefix + "linear2.");
  put_norm("feed_forward_norm", decoder ? "norm3." : "norm2.");
  detail::load_layer(params, path, values);
}
XTAPE_FOR_REALS(load_torch_transformer);

}  // namespace xtape
