// Two hundred steps of the model of examples/dates.cpp, against PyTorch's: everything that a training
// run is made of, together.

#include "support/golden.hpp"

#include <xtape/xtape.hpp>

namespace xtape {
namespace {

using test::golden_array;
using test::Json;

/// One encoder and one decoder layer, normalized before each part and once more behind.
struct Dates {
  Embedding<double> source, target;
  SinePositionEncoding<double> positions;
  TransformerEncoder<double> encoder;
  TransformerDecoder<double> decoder;
  LayerNormalization<double> memory_norm, final_norm;
  Dense<double> head;

  Dates(const Scope<double>& s, int size, const TransformerOptions<double>& options)
      : source(s / "source", {.input_dim = size, .output_dim = options.hidden_dim}),
        target(s / "target", {.input_dim = size, .output_dim = options.hidden_dim}),
        encoder(s / "encoder" / "0", options),
        decoder(s / "decoder" / "0", options),
        memory_norm(s / "memory_norm"),
        final_norm(s / "final_norm"),
        head(s / "head", {.units = size}) {}

  /// Logits (batch, target, characters).
  Var<double> operator()(const Tokens<double>& read, const Tokens<double>& written,
                         const Array<bool>& mask) const {
    const Var<double> x = source(read);
    const Var<double> memory = memory_norm(encoder(x + positions(x), {.padding_mask = mask}));
    const Var<double> y = target(written);
    return head(final_norm(decoder(y + positions(y), memory, {.encoder_padding_mask = mask})));
  }
};

TEST_CASE("the losses of two hundred steps are PyTorch's") {
  const Json c = test::golden("loss_curve").at(0);
  const Json& o = c.at("adam");
  Params<double> params;
  for (const auto& [path, json] : c.at("weights").items()) {
    params.set(path, golden_array<double>(json));
  }
  const auto size = static_cast<int>(c.at("weights").at("head/bias").at("shape").at(0));
  const Dates model(params.scope(), size,
                    {.hidden_dim = c.at("width"),
                     .num_heads = c.at("heads"),
                     .intermediate_dim = c.at("hidden"),
                     .normalize_first = true});
  Adam<double> adam({.learning_rate = o.at("learning_rate").get<double>(),
                     .beta_1 = o.at("beta_1"),
                     .beta_2 = o.at("beta_2"),
                     .epsilon = o.at("epsilon")});
  const Json& batches = c.at("batches");
  const Array<double> losses = golden_array<double>(c.at("losses"));
  REQUIRE(losses.size() == 200);

  Tape<double> tape({.training = true});
  test::Errors errors("loss_curve", 1e-9);
  for (std::size_t step = 0; step < losses.size(); ++step) {
    errors.begin("step " + std::to_string(step));
    const Json& batch = batches.at(step % batches.size());
    const auto read = golden_array<std::int64_t>(batch.at("source"));
    const Array<bool> mask = xt::not_equal(read, 0);
    const auto logits =
        model(tape.input(read), tape.input(golden_array<std::int64_t>(batch.at("input"))), mask);
    const auto loss =
        sparse_categorical_crossentropy(logits, golden_array<std::int64_t>(batch.at("output")),
                                        {.from_logits = true, .ignore_class = 0});
    errors.add("loss", std::abs(loss.item() - losses(step)) / losses(step));
    adam.step(params, tape.backward(loss));
    if (step == 0) params.check_pending();  // every weight found its layer
  }
  CHECK(losses(199) < 0.3 * losses(0));
}

}  // namespace
}  // namespace xtape
