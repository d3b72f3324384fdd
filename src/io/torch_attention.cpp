// PyTorch has an attention's projections as rows of one matrix. Keras and xtape have a kernel (features,
// heads, dim) for each.

#include "base/instantiate.hpp"
#include "base/message.hpp"
#include "io/torch_layers.hpp"

#include <array>

namespace xtape {

using detail::fail;

namespace {

template <class T> class Importer {
 public:
  Importer(const std::string& path, const Tensors& tensors, int num_heads,
           const std::string& prefix)
      : path_(path), tensors_(tensors), prefix_(prefix) {
    if (num_heads < 1) {
      fail<ValueError>(path_, "num_heads out of range: it is ", num_heads,
                       ", expected at least 1; give the num_heads of the PyTorch layer");
    }
    heads_ = static_cast<std::size_t>(num_heads);
    for (const char* name : {"bias_k", "bias_v"}) {
      if (find(name) != nullptr) {
        fail<ValueError>(path_, "add_bias_kv: the weights have '", prefix_, name,
                         "', expected none; MultiHeadAttention has no such option");
      }
    }
  }

  detail::LayerValues<T> values() {
    const Array<T> out = get("out_proj.weight");
    if (out.dimension() != 2 || out.shape()[0] != out.shape()[1] || out.shape()[0] % heads_ != 0) {
      fail<ShapeError>(path_, "weights do not fit: '", prefix_, "out_proj.weight' is ",
                       to_string(out.shape()), ", expected (E, E) with E a multiple of ", heads_,
                       " heads; check num_heads");
    }
    width_ = out.shape()[0];
    const bool packed = find("in_proj_weight") != nullptr;
    const bool bias = find("in_proj_bias") != nullptr;
    Array<T> weights;
    Array<T> biases;
    if (packed) weights = checked("in_proj_weight", {3 * width_, width_});
    if (bias) biases = checked("in_proj_bias", {3 * width_});
    constexpr std::array<const char*, 3> names = {"query", "key", "value"};
    for (std::size_t i = 0; i < 3; ++i) {
      const std::string scope = detail::below(path_, names[i]);
      if (packed) {
        put(scope, kernel(weights, i * width_));
      } else {
        const std::string own = std::string(1, *names[i]) + "_proj_weight";
        const Array<T> w = get(own);
        if (w.dimension() != 2 || w.shape()[0] != width_) refuse(own, w.shape(), "(E, features)");
        put(scope, kernel(w, 0));
      }
      if (bias) put_bias(scope, biases, i * width_, {heads_, width_ / heads_});
    }
    const std::string scope = detail::below(path_, "attention_output");
    Array<T> projection(Shape{heads_, width_ / heads_, width_});
    for (std::size_t row = 0; row < width_; ++row) {
      for (std::size_t o = 0; o < width_; ++o) {
        projection.data()[row * width_ + o] = out.data()[o * width_ + row];
      }
    }
    put(scope, std::move(projection));
    if (find("out_proj.bias") != nullptr) {
      put_bias(scope, checked("out_proj.bias", {width_}), 0, {width_});
    }
    return std::move(values_);
  }

 private:
  [[nodiscard]] const StoredTensor* find(const std::string& name) const {
    return detail::find_tensor(tensors_, prefix_ + name);
  }

  [[nodiscard]] Array<T> get(const std::string& name) const {
    return detail::torch_tensor<T>(tensors_, path_, "torch.nn.MultiheadAttention", prefix_, name);
  }

  [[noreturn]] void refuse(const std::string& name, const Shape& shape,
                           const std::string& expected) const {
    fail<ShapeError>(path_, "weights do not fit: '", prefix_, name, "' is ", to_string(shape),
                     ", expected ", expected, " with E = ", width_, "; they are of another layer");
  }

  [[nodiscard]] Array<T> checked(const std::string& name, const Shape& shape) const {
    Array<T> array = get(name);
    if (array.shape() != shape) refuse(name, array.shape(), to_string(shape));
    return array;
  }

  /// Returns rows begin ... begin + E - 1 of w as (features, heads, dim).
  [[nodiscard]] Array<T> kernel(const Array<T>& w, std::size_t begin) const {
    const std::size_t features = w.shape()[1];
    Array<T> out(Shape{features, heads_, width_ / heads_});
    for (std::size_t d = 0; d < features; ++d) {
      for (std::size_t row = 0; row < width_; ++row) {
        out.data()[d * width_ + row] = w.data()[(begin + row) * features + d];
      }
    }
    return out;
  }

  void put(const std::string& scope, Array<T> kernel) {
    values_.emplace(scope + "/kernel", std::move(kernel));
  }

  void put_bias(const std::string& scope, const Array<T>& from, std::size_t begin,
                const Shape& shape) {
    Array<T> bias(shape);
    for (std::size_t i = 0; i < bias.size(); ++i) bias.data()[i] = from.data()[begin + i];
    values_.emplace(scope + "/bias", std::move(bias));
  }

  const std::string& path_;
  const Tensors& tensors_;
  const std::string& prefix_;
  std::size_t heads_ = 1;
  std::size_t width_ = 0;
  detail::LayerValues<T> values_;
};

}  // namespace

template <class T>
detail::LayerValues<T> detail::torch_attention_values(const std::string& path,
                                                      const Tensors& tensors, int num_heads,
                                                      const std::string& prefix) {
  return Importer<T>(path, tensors, num_heads, prefix).values();
}
namespace detail {
XTAPE_FOR_REALS(torch_attention_values);
}  // namespace detail

template <class T>
void load_torch_attention(Params<T>& params, const std::string& path, const Tensors& tensors,
                          int num_heads, const std::string& prefix) {
  detail::load_layer(params, path,
                     detail::torch_attention_values<T>(path, tensors, num_heads, prefix));
}
XTAPE_FOR_REALS(load_torch_attention);

}  // namespace xtape
