// The other side of check_python.py and check_keras.py: reads and writes files as a program with
// xtape does.
//     exchange copy IN OUT               reads tensors, writes them again
//     exchange write OUT                 writes tensors the script knows
//     exchange run float|double WEIGHTS INPUT.npz OUTPUT.npz   the model of check_keras.py
//     exchange init float|double WEIGHTS INPUT.npz             writes new weights of that model
//     exchange config        reads a config of attention from the input, and prints what it is here

#include <xtape/xtape.hpp>

#include <bit>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace {

using namespace xtape;

Tensors read(const std::string& path) {
  return path.ends_with(".npz") ? read_npz(path) : read_safetensors(path).tensors;
}

void write(const std::string& path, const Tensors& tensors) {
  if (path.ends_with(".npz")) return write_npz(path, tensors);
  write_safetensors(path, tensors, {{"written by", "exchange"}});
}

/// Element i is (i * 37 + 11) % 101 - 50, as in tests/golden/weights.py.
template <class T>
StoredTensor ramp(const Shape& shape) {
  Array<T> a(shape);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a.data()[i] = static_cast<T>(static_cast<int>((i * 37 + 11) % 101) - 50);
  }
  return to_tensor(a);
}

Tensors known() {
  Array<float> special(Shape{3});
  special.data()[0] = std::bit_cast<float>(0xFFC12345U);
  special.data()[1] = std::bit_cast<float>(0x80000000U);
  special.data()[2] = std::bit_cast<float>(1U);
  Array<bool> flag(Shape{2}, true);
  flag.data()[1] = false;
  return {{"block/0/kernel", ramp<float>({3, 4, 2})},
          {"double", ramp<double>({2, 3})},
          {"int", ramp<std::int32_t>({5})},
          {"long", ramp<std::int64_t>({1, 5})},
          {"scalar", ramp<double>({})},
          {"empty", ramp<float>({2, 0})},
          {"n\u00e4me", ramp<float>({1})},
          {"flag", to_tensor(flag)},
          {"special", to_tensor(special)}};
}

template <class T>
class Model {
 public:
  explicit Model(Params<T>& params)
      : words_(params.scope() / "embedding", {.input_dim = 11, .output_dim = 8}),
        attention_(params.scope() / "multi_head_attention",
                   {.num_heads = 2, .key_dim = 3, .value_dim = 5}),
        normal_(params.scope() / "layer_normalization", {}),
        out_(params.scope() / "dense", {.units = {4}, .activation = "tanh"}) {}

  Var<T> operator()(const Array<std::int64_t>& ids) const {
    const Var<T> x = words_(ids);
    return out_(normal_(x + attention_(x, x)));
  }

 private:
  Embedding<T> words_;
  MultiHeadAttention<T> attention_;
  LayerNormalization<T> normal_;
  Dense<T> out_;
};

template <class T>
void model(const std::vector<std::string>& args) {
  Params<T> params({.seed = 12});
  const Model<T> network(params);
  const auto ids = to_array<std::int64_t>(read_npz(args[3]).at("ids"));
  static_cast<void>(network(ids));  // builds
  if (args[0] == "init") return save(params, args[2]);
  load_strict(params, args[2]);
  write_npz(args[4], {{"output", to_tensor(network(ids).value())}});
}

void config() {
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  Params<float> params;
  const MultiHeadAttention<float> layer(params.scope() / "attention",
                                        MultiHeadAttention<float>::from_config(text));
  std::cout << layer.get_config();
}

int run(const std::vector<std::string>& args) {
  const std::string command = args.empty() ? "" : args[0];
  if (command == "copy" && args.size() == 3) {
    write(args[2], read(args[1]));
  } else if (command == "write" && args.size() == 2) {
    write(args[1], known());
  } else if ((command == "run" && args.size() == 5) || (command == "init" && args.size() == 4)) {
    args[1] == "float" ? model<float>(args) : model<double>(args);
  } else if (command == "config" && args.size() == 1) {
    config();
  } else {
    std::fprintf(stderr, "usage: see the first lines of exchange.cpp\n");
    return 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
