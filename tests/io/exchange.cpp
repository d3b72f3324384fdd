// The other side of check_python.py and check_keras.py: reads and writes files as a program with
// xtape does.
//     exchange copy IN OUT               reads tensors, writes them again
//     exchange write OUT                 writes tensors the script knows
//     exchange run float|double WEIGHTS INPUT.npz OUTPUT.npz   the model of check_keras.py
//     exchange init float|double WEIGHTS INPUT.npz             writes new weights of that model
//     exchange checkpoint OUT            writes a checkpoint the script knows
//     exchange again IN OUT              loads that checkpoint, saves it again
//     exchange events FOLDER PNG         writes events the script knows, and that picture
//     exchange resume FOLDER             a run that goes on there, from step 50
//     exchange config        reads a config of attention from the input, and prints what it is here

#include <xtape/xtape.hpp>

#include <bit>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <span>
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

/// Element i is (i * 37 + 11) % 101 - 50, as in tests/golden/make/weights.py.
template <class T> StoredTensor ramp(const Shape& shape) {
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

template <class T> class Model {
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

template <class T> void model(const std::vector<std::string>& args) {
  Params<T> params({.seed = 12});
  const Model<T> network(params);
  const auto ids = to_array<std::int64_t>(read_npz(args[3]).at("ids"));
  static_cast<void>(network(ids));  // builds
  if (args[0] == "init") return save(params, args[2]);
  load(params, args[2]);
  write_npz(args[4], {{"output", to_tensor(network(ids).value())}});
}

/// The parameters and the optimizer of a checkpoint.
struct Trained {
  Params<float> params;
  Adam<float> adam;
  Trained() {
    const Shape shapes[] = {{2, 3}, {3}};
    const char* names[] = {"kernel", "bias"};
    for (std::size_t i = 0; i < 2; ++i) {
      (params.scope() / "dense").reserve(names[i]).build(shapes[i], "ones", {});
    }
  }
};

void checkpoint(const std::string& path) {
  Trained t;
  const auto kernel = to_array<float>(ramp<float>({2, 3}));
  const auto bias = to_array<float>(ramp<float>({3}));
  t.params.load({{"dense/kernel", kernel}, {"dense/bias", bias}});
  t.adam.load_state({{{"adam/m/dense/kernel", kernel},
                      {"adam/m/dense/bias", bias},
                      {"adam/v/dense/kernel", kernel},
                      {"adam/v/dense/bias", bias}},
                     {{"adam/steps", 12}, {"adam/learning_rate", 0.1}}},
                    t.params);
  save_checkpoint(path, t.params, t.adam,
                  {.epoch = 1,
                   .batch = 2,
                   .step = 12,
                   .tape_seed = 18446744073709551615U,
                   .random_index = 5,
                   .numbers = {{"third", 1.0 / 3},
                               {"minus zero", -0.0},
                               {"most", 1.7976931348623157e308},
                               {"least", 5e-324},
                               {"best", HUGE_VAL}},
                   .texts = {{"note", "\u4f60\u597d \"quoted\"\n"}}});
}

void again(const std::string& from, const std::string& to) {
  Trained t;
  const TrainingProgress progress = load_checkpoint(from, t.params, t.adam);
  save_checkpoint(to, t.params, t.adam, progress);
}

void events(const std::string& folder, const std::string& picture) {
  std::ifstream file(picture, std::ios::binary);
  const std::string png{std::istreambuf_iterator<char>(file), {}};
  EventWriter writer(folder);
  for (int step = 0; step < 100; ++step) writer.scalar("loss/train", 1.0 / (1 + step), step);
  writer.text("note", "**bold** \u4f60\u597d", 3);
  writer.histogram("weights", to_array<double>(ramp<double>({10, 10})), 4);
  writer.image("map", std::as_bytes(std::span(png)), 5);
  writer.scalar("loss/valid", 0.5, -1);
}

void resume(const std::string& folder) {
  EventWriter writer(folder, {.purge_step = 50});
  for (int step = 50; step < 60; ++step) writer.scalar("loss/train", 7, step);
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
  } else if (command == "checkpoint" && args.size() == 2) {
    checkpoint(args[1]);
  } else if (command == "again" && args.size() == 3) {
    again(args[1], args[2]);
  } else if (command == "events" && args.size() == 3) {
    events(args[1], args[2]);
  } else if (command == "resume" && args.size() == 2) {
    resume(args[1]);
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
