// Fine-tunes weights from Python: an encoder of PyTorch is loaded and frozen, and a new output layer learns.
// The file is what safetensors.torch.save_file(model.state_dict(), path) writes.
#include <xtape/xtape.hpp>

#include <cstdio>
#include <filesystem>

namespace xp = xtape;

namespace {

struct Model {
  xp::TransformerEncoder<float> encoder;
  xp::GlobalMaxPooling<float> pooling;
  xp::Dense<float> head;
  explicit Model(const xp::Scope<float>& s)
      : encoder(s / "encoder", {.hidden_dim = 8, .num_heads = 2, .intermediate_dim = 12}),
        head(s / "head", {.units = 1, .activation = "sigmoid"}) {}
  xp::Var<float> operator()(const xp::Var<float>& x) const { return head(pooling(encoder(x))); }
};

// Sequences (n, 5, 8); the label is 1 where the first half of a sequence is larger.
std::pair<xp::Array<float>, xp::Array<std::int64_t>> make_data(std::size_t n) {
  xp::RandomStream random(1, 0);
  xp::Array<float> x(xp::Shape{n, 5, 8});
  xp::Array<std::int64_t> y(xp::Shape{n});
  for (std::size_t i = 0; i < n; ++i) {
    double difference = 0;
    for (std::size_t k = 0; k < 40; ++k) {
      const double value = random.normal();
      x.data()[i * 40 + k] = static_cast<float>(value);
      difference += k % 8 < 4 ? value : -value;
    }
    y(i) = difference > 0 ? 1 : 0;
  }
  return {x, y};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string path = argc > 1 ? argv[1] : "tests/golden/weights/torch_layers.safetensors";
  const auto data = make_data(800);
  const auto& x = data.first;
  const auto& y = data.second;

  xp::Params<float> params({.seed = 1});
  const Model model(params.scope());
  const xp::TensorFile file = xp::read_safetensors(path);
  xp::load_torch_transformer(params, "encoder", file.tensors, 2, "encoder.");
  // A whole Linear would be: xp::load_torch_linear(params, "head", file.tensors, "head.");
  params.set_trainable("encoder", false);
  std::printf("%s\n",
              xp::summary(params, [&](xp::Tape<float>& tape) { model(tape.input(x)); }).c_str());

  xp::Adam<float> adam({.learning_rate = 0.02});
  xp::Accuracy accuracy;
  const auto train = [&](const char* what, std::int64_t epochs) {
    std::printf("%s\n", what);
    return xp::fit(params, adam, model, x, y,
                   {.loss = "binary_crossentropy",
                    .metrics = {&accuracy},
                    .epochs = epochs,
                    .validation_split = 0.2})["val_loss"]
        .back();
  };
  const auto before = params.at("encoder/feed_forward/output/kernel").value();
  const double frozen = train("the head alone:", 5);
  const bool kept = before == params.at("encoder/feed_forward/output/kernel").value();
  params.set_trainable("encoder", true);
  adam.set_learning_rate(2e-3);
  const double tuned = train("then everything, in smaller steps:", 5);

  const std::string out = std::filesystem::temp_directory_path() / "xtape_fine_tuned.safetensors";
  xp::save(params, out);  // Python: safetensors.numpy.load_file(out)
  xp::Params<float> again;
  const Model copy(again.scope());
  xp::load(again, out);
  const bool same = xp::predict(again, copy, x) == xp::predict(params, model, x);
  std::filesystem::remove(out);
  std::printf("held out: loss %.3f with a frozen encoder, %.3f after all\n", frozen, tuned);
  return kept && same && tuned < frozen ? 0 : 1;
}
